"""The disk fills in every stage behind extract (which has tests of its own): named, nothing torn, resumed."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from discover.small import Trained, config

from heap import paths
from heap.cluster.stage import cluster
from heap.discover.export import make_model
from heap.errors import HeapError
from heap.evaluate.stage import evaluate
from heap.files import read_json, write_json
from heap.group.stage import group
from heap.head.checkpoint import Checkpoint
from heap.head.select import select
from heap.head.train import train
from heap.report.stage import report
from heap.segment.stage import segment
from heap.settings import frozen_text

pytestmark = pytest.mark.slow  # needs root

DISK_BYTES = 64 * 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here ({done.stderr.strip()})")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)  # maps may still be open in this process


@dataclass(frozen=True)
class Stages:
    """Each stage, reading what the small trained model has and writing to a folder of its own."""

    trained: Trained
    frozen_folder: Path

    def frozen(self, stage: str, name: str) -> Path:
        path = self.frozen_folder / f"{stage}.json"
        path.write_text(frozen_text(config(), stage, name))
        if stage in ("evaluate", "report"):
            settings = read_json(path)
            settings["benchmark"] |= {"methods": ["heap"], "tasks": [
                {"task": "saliency", "dataset": "scenes", "split": "val"},
                {"task": "semantic", "dataset": "scenes", "split": "val"},
            ]}  # fmt: skip
            write_json(path, settings)
        return path

    def run(self, stage: str, out: Path) -> None:
        getattr(self, stage)(out)

    def train(self, out: Path) -> None:
        of = self.trained.path
        train(
            self.frozen("train", "demo"), of(paths.features("scenes")), of(paths.manifest("scenes")), 0,
            out / "head.safetensors", out / "history.csv", out / "survey.safetensors", "cpu",
        )  # fmt: skip

    def select(self, out: Path) -> None:
        files = [
            [self.trained.path(of("demo", "0"))] for of in (paths.seed_head, paths.seed_survey, paths.seed_history)
        ]
        select(self.frozen("select", "demo"), *files, out / "demo.json", out / "demo.csv")

    def group(self, out: Path) -> None:
        of = self.trained.path
        group(
            self.frozen("group", "scenes"), of(paths.features("scenes")), of(paths.head("demo")),
            out / "regions.parquet", out / "maps.json", "cpu",
        )  # fmt: skip

    def cluster(self, out: Path) -> None:
        of = self.trained.path
        cluster(
            self.frozen("cluster", "scenes"), [of(paths.regions("heap", "scenes"))], [of(paths.maps("heap", "scenes"))],
            out / "clusters.parquet", out / "index.faiss",
        )  # fmt: skip

    def segment(self, out: Path) -> None:
        of = self.trained.path
        segment(
            self.frozen("segment", "scenes"), of(paths.maps("heap", "scenes")), of(paths.clusters("scenes")),
            of(paths.manifest("scenes")), out / "masks/scenes.json", out / "instances/scenes.parquet", 1,
        )  # fmt: skip

    def model(self, out: Path) -> None:
        of = self.trained.path
        make_model(self.frozen("model", "demo"), of(paths.head("demo")), of(paths.clusters("scenes")), out / "m.json")

    def evaluate(self, out: Path) -> None:
        of = self.trained.path
        evaluate(
            self.frozen("evaluate", "demo"), [of(paths.manifest("scenes"))], [of(paths.maps("heap", "scenes"))], [],
            [of(paths.masks("scenes"))], out / "metrics.csv", 1, out / "photos.parquet",
        )  # fmt: skip

    def report(self, out: Path) -> None:
        of = self.trained.path
        if not (self.frozen_folder / "metrics.csv").exists():
            self.evaluate(self.frozen_folder)
        report(
            self.frozen("report", "demo"), self.frozen_folder / "metrics.csv", [of(paths.manifest("scenes"))],
            [of(paths.maps("heap", "scenes"))], [of(paths.clusters("scenes"))], [of(paths.masks("scenes"))],
            [of(paths.history("demo"))], out / "report.html",
        )  # fmt: skip


@pytest.fixture
def stages(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stages:
    monkeypatch.chdir(trained.folder)
    (tmp_path / "frozen").mkdir()
    return Stages(trained, tmp_path / "frozen")


def content(folder: Path) -> dict[str, bytes]:
    """Every file with its bytes; histories have photos a second, and progress is a courtesy."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("demo.csv", "history.csv") and "progress" not in path.name
    }


def refused(work: Callable[[], None], disk: Path, code: int = errno.ENOSPC) -> None:
    """The work ends with an error of ours that names a file there, or one that the command line reports so."""
    with pytest.raises((HeapError, OSError)) as caught:
        work()
    if isinstance(caught.value, OSError):
        assert caught.value.errno == code
        assert str(caught.value.filename).startswith(str(disk))
    else:
        assert str(disk) in str(caught.value)
        assert os.strerror(code) in str(caught.value)


@pytest.mark.parametrize("stage", ["train", "select", "group", "cluster", "segment", "model", "evaluate", "report"])
def test_a_full_disk_is_named_and_the_same_command_goes_on(
    stages: Stages, disk: Path, tmp_path: Path, stage: str
) -> None:
    stages.run(stage, tmp_path / "whole")
    expected = content(tmp_path / "whole")
    pages = sum(-(-len(one) // 4096) for one in expected.values())
    filler, out = disk / "filler", disk / stage
    filler.write_bytes(bytes(DISK_BYTES - 4096 * (pages // 2)))
    refused(lambda: stages.run(stage, out), disk)
    left = content(out) if out.exists() else {}
    torn = [name for name, one in left.items() if one != expected.get(name)]
    assert torn == [], "what is there is whole"
    filler.unlink()
    stages.run(stage, out)
    assert content(out) == expected


def test_no_room_for_a_checkpoint_of_training(disk: Path) -> None:
    import torch

    from heap.head.model import Head
    from heap.settings.models import HeadSettings

    settings = config().train
    head = Head(16, HeadSettings())
    checkpoint = Checkpoint(disk / "checkpoint.pt", "x")
    optimiser = torch.optim.Adam(head.parameters())
    checkpoint.write(5, head, optimiser, [], settings, None)
    kept = checkpoint.path.read_bytes()
    filler = disk / "filler"
    filler.write_bytes(bytes(DISK_BYTES - 4096 * (-(-len(kept) // 4096) + 1)))
    refused(lambda: checkpoint.write(10, head, optimiser, [], settings, None), disk)
    assert checkpoint.path.read_bytes() == kept
    assert [path.name for path in sorted(disk.iterdir())] == ["checkpoint.pt", "filler"]


def test_a_read_only_results_folder(stages: Stages, disk: Path, tmp_path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for stage in ("group", "segment", "evaluate"):
        refused(lambda stage=stage: stages.run(stage, disk / stage), disk, errno.EROFS)  # type: ignore[misc]
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    stages.run("evaluate", disk / "evaluate")
    stages.evaluate(tmp_path / "whole")
    assert content(disk / "evaluate") == content(tmp_path / "whole")
