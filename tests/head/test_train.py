"""Stages train and select: a head for each seed, one chosen, nothing lost by a failure, a kill or an edit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from head.planted import planted_store, write_manifest
from head.training import choose_seed, freeze, train_model, train_seed
from safetensors.torch import load_file, save_file

from heap import paths
from heap.errors import TrainingError
from heap.files import write_json
from heap.head import folder
from heap.head.checkpoint import Checkpoint
from heap.head.fit import SPEED_COLUMNS
from heap.head.folder import describe, load, save
from heap.head.model import Head
from heap.settings import Config, parse
from heap.settings.config import read
from heap.settings.models import HeadSettings

REPOSITORY = Path(__file__).parents[2]


class World:
    """A planted store and the settings to train model `photos` on it with."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.reader, _ = planted_store(path, 20, seed=0)
        self.manifest = write_manifest(path / "manifest.parquet", self.reader)
        self.raw = read(REPOSITORY / "config/config.yaml")
        self.raw["train"] |= {"steps": 12, "batch_size": 8, "checkpoint_every": 3, **settings}
        self.raw["train"]["head"]["num_groups"] = 6
        self.raw["ablation"] = None  # its variants would have to fit the edits made here
        self.out = path / paths.head("photos")

    @property
    def config(self) -> Config:
        return parse(self.raw)

    def train(self) -> dict[str, Any]:
        train_model(self.config, "photos", self.reader.path, self.manifest, self.path)
        return json.loads(self.out.read_text())

    def seed(self, seed: int) -> Path:
        return train_seed(self.config, "photos", seed, self.reader.path, self.manifest, self.path)

    def heads(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.path)): p.read_bytes() for p in self.path.rglob("head.safetensors")}


def test_one_of_several_seeds_is_chosen_and_the_receipt_says_why(tmp_path: Path) -> None:
    world = World(tmp_path, seeds=[4, 2])
    receipt = world.train()
    assert [row["seed"] for row in receipt["seeds"]] == [4, 2]
    merits = {row["seed"]: row["merit"] for row in receipt["seeds"]}
    assert receipt["seed"] == max(merits, key=lambda seed: merits[seed])
    assert all(f"{value:.4g}" in receipt["why"] for value in merits.values())
    areas = [row["diagnostics"]["area"] for row in receipt["seeds"]]
    assert receipt["over_seeds"]["area"]["mean"] == pytest.approx(sum(areas) / 2, abs=1e-6)
    assert receipt["over_seeds"]["area"]["deviation"] == pytest.approx(abs(areas[0] - areas[1]) / 2**0.5, abs=1e-5)
    agreements = [row["diagnostics"]["agreement"] for row in receipt["seeds"]]
    assert agreements[0] == agreements[1]  # of two, each agrees with the other
    history = pd.read_csv(tmp_path / paths.history("photos"))
    assert history.groupby("seed")["chosen"].all().to_dict() == {seed: seed == receipt["seed"] for seed in (2, 4)}
    head, description = load(world.out, "cpu")
    assert description["seed"] == receipt["seed"]
    assert description["encoder"] == "planted"
    assert description["trained_on"]["photos"] == 20
    assert head.mean.abs().sum() > 0
    other = {2: 4, 4: 2}[receipt["seed"]]
    assert load(tmp_path / paths.seed_head("photos", other), "cpu")[1]["seed"] == other
    assert folder.weights_of(world.out)[1]["seeds"] == [4, 2]
    assert not list(tmp_path.rglob("checkpoint.pt"))
    assert not list(tmp_path.rglob("progress.json"))


def test_heads_of_other_seeds_than_the_settings_are_not_chosen_from(tmp_path: Path) -> None:
    world = World(tmp_path, seeds=[0], steps=1)
    world.seed(0)
    head = tmp_path / paths.seed_head("photos", "0")
    save(head, load(head, "cpu")[0], {**describe(head), "seed": 5})
    with pytest.raises(TrainingError, match=r"heads of \[\('photos', 5\)\], expected model photos with seeds \[0\]"):
        choose_seed(world.config, "photos", tmp_path)


def test_a_failed_training_leaves_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, seeds=[0])
    world.train()
    before, receipt = world.heads(), world.out.read_bytes()
    from heap.head import losses

    monkeypatch.setattr(losses, "negative", lambda *a: torch.tensor(float("nan")))
    world.raw["train"]["learning_rate"] = 1e-3
    with pytest.raises(TrainingError, match=r"models\.photos, seed 0: iteration 0: .* no checkpoint was written yet"):
        world.train()
    assert world.heads() == before
    assert world.out.read_bytes() == receipt
    # Snakemake deletes what a rule makes before it runs; the model that people use is not the rule's.
    (tmp_path / paths.seed_head("photos", "0")).unlink()
    load(world.out, "cpu")


def test_photos_that_move_between_splits_train_another_head(tmp_path: Path) -> None:
    world = World(tmp_path, seeds=[0], steps=4)
    world.raw["models"]["photos"] |= {"train_split": "train"}
    world.raw["datasets"]["photos"] = {"layout": "voc", "year": 2012, "splits": {"train": "a", "val": "b"}}
    world.raw["datasets"]["photos"]["model"] = "photos"
    moved = {"p0003": "val", "p0007": "val"}
    first = world.train()
    before = world.heads()
    write_manifest(world.manifest, world.reader, moved)
    second = world.train()
    assert (first["trained_on"]["photos"], second["trained_on"]["photos"]) == (20, 18)
    assert world.heads() != before
    write_manifest(world.manifest, world.reader)
    world.train()
    assert world.heads() == before


def test_a_checkpoint_of_other_photos_is_not_resumed(tmp_path: Path) -> None:
    names = [["a", "b"], ["a", "c"]]
    one, other = (folder.identity({"version": 1, "train": {}}, "f", ids) for ids in names)
    assert one != other


# Sends itself a signal at an iteration of a seed. SIGKILL: no handler runs, no file is closed.
KILLED = """
import os, sys
from pathlib import Path
import heap.head.fit as fit
from heap.head.train import train
number, when, seed = map(int, sys.argv[1:4])
real = fit.loss_terms
def killing(grouping, batch, settings, through, numbers, bank=None):
    if numbers == [seed, when]:
        os.kill(os.getpid(), number)
    return real(grouping, batch, settings, through, numbers, bank)
fit.loss_terms = killing
settings, features, manifest, out, history, survey = map(Path, sys.argv[4:])
train(settings, features, manifest, seed, out, history, survey, "cpu")
"""


def killed(world: World, number: int, seed: int, when: int) -> Path:
    """Train a seed in a process that gets a signal; return the file of its checkpoint."""
    settings = freeze(world.config, "train", "photos", world.path)
    files = [world.path / of("photos", str(seed)) for of in (paths.seed_head, paths.seed_history, paths.seed_survey)]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(number), str(when), str(seed), settings, world.reader.path, world.manifest,
         *files],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    expected = -signal.SIGKILL if number == signal.SIGKILL else 128 + signal.SIGTERM
    assert done.returncode == expected, done.stderr
    assert not files[0].exists()
    return files[0].with_name("checkpoint.pt")


def test_killed_twice_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL in the first seed before any checkpoint and in the second seed after one, then a run to the end."""
    worlds = [World(tmp_path / name, seeds=[0, 1], loss={"variant": "robust", "bank": 96}) for name in ("a", "b")]
    whole = worlds[0].train()
    rng = torch.Generator().manual_seed(os.getpid())  # another place each time: it must not matter
    for seed, low, high in ((0, 0, 3), (1, 4, 12)):
        kept = killed(worlds[1], signal.SIGKILL, seed, int(torch.randint(low, high, (), generator=rng)))
        assert kept.exists() == (seed == 1)
    assert worlds[1].train() == whole
    assert worlds[1].heads() == worlds[0].heads()
    histories = [
        pd.read_csv(world.path / paths.history("photos")).drop(columns=list(SPEED_COLUMNS)) for world in worlds
    ]
    pd.testing.assert_frame_equal(*histories)


def test_sigterm_keeps_the_step_and_an_edited_checkpoint_every_holds_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, seeds=[0], checkpoint_every=100)
    assert killed(world, signal.SIGTERM, 0, when=6).is_file()
    resumed: list[int] = []
    kept: list[int] = []
    read, write = Checkpoint.read, Checkpoint.write

    def reading(self: Checkpoint) -> Any:
        state = read(self)
        resumed.append(state["iteration"])
        return state

    monkeypatch.setattr(Checkpoint, "read", reading)
    monkeypatch.setattr(Checkpoint, "write", lambda self, at, *rest: (kept.append(at), write(self, at, *rest)))
    world.raw["train"]["checkpoint_every"] = 5
    world.seed(0)
    assert resumed in ([7], [8])  # the signal is seen in this step or the next
    assert kept == [10]


# Two threads of one core and one of two: the weights are those of the settings alone.
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot give a process fewer cores")
def test_cores_do_not_change_the_head(tmp_path: Path) -> None:
    world = World(tmp_path, steps=3)
    heads = []
    everything = os.sched_getaffinity(0)
    for cores, threads in ((everything, 2), ({min(everything)}, 1)):
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)
        try:
            heads.append(world.seed(0).read_bytes())
        finally:
            os.sched_setaffinity(0, everything)
    assert heads[0] == heads[1]


def test_too_few_photos_are_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.raw["models"]["photos"]["min_train_images"] = 21
    with pytest.raises(TrainingError, match="20 photos to train on, expected at least 21"):
        world.train()


def test_what_is_no_head_is_named(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    with pytest.raises(TrainingError, match="no trained head"):
        load(path, "cpu")
    path.write_bytes(b"nonsense")
    with pytest.raises(TrainingError, match="not a HEAP head"):
        load(path, "cpu")
    head = Head(8, HeadSettings(num_heads=2))
    save(path, head, {"dim": 9, "train": {"head": HeadSettings(num_heads=3).model_dump()}})
    with pytest.raises(TrainingError, match="not a HEAP head"):
        load(path, "cpu")
    write_json(tmp_path / "m.json", {})
    with pytest.raises(TrainingError, match=r"m\.json: not the receipt of a training"):
        load(tmp_path / "m.json", "cpu")


@pytest.mark.parametrize(
    ("name", "value"), [("mean", float("nan")), ("score.weight", 3e38), ("tokens", float("inf")), ("temperature", 0.0)]
)
def test_a_head_of_impossible_values_is_refused(tmp_path: Path, name: str, value: float) -> None:
    path = tmp_path / "head.safetensors"
    save(
        path, Head(8, HeadSettings(num_heads=2)), {"dim": 8, "train": {"head": HeadSettings(num_heads=2).model_dump()}}
    )
    load(path, "cpu")
    state = load_file(path)
    state[name].view(-1)[0] = value
    save_file(state, path, metadata={"heap": json.dumps(describe(path))})
    with pytest.raises(TrainingError, match=rf"head\.safetensors: {name} (holds NaN or values beyond|is 0, expected)"):
        load(path, "cpu")


def test_a_receipt_does_not_lead_to_another_head(tmp_path: Path) -> None:
    world = World(tmp_path, seeds=[0], steps=1)
    world.train()
    weights = world.out.with_suffix("") / "head.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # a flipped bit: still a head, yet not this one
    with pytest.raises(TrainingError, match=r"not the head that .* speaks of \(another sha256\)"):
        load(world.out, "cpu")
    choose_seed(world.config, "photos", tmp_path)
    assert weights.read_bytes() == whole
    weights.unlink()
    with pytest.raises(TrainingError, match="is gone; delete"):
        load(world.out, "cpu")
