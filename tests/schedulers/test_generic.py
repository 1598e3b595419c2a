"""profiles/generic and profiles/kubernetes, against a stand-in for the scheduler: queues, runs, status, cancelling."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from schedulers.submitting import Submitted, await_, with_site

from heap import paths

pytestmark = pytest.mark.slow  # jobs through a queue

SITE = {"account": "mine", "queue": "small", "gpu_queue": "large", "gpus": "2", "cores": "1"}


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the stand-in's jobs."""
    return tmp_path_factory.mktemp("queue")


@pytest.fixture(scope="module", autouse=True)
def _commands(queue: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The stand-in under its four names, first on the search path."""
    folder = tmp_path_factory.mktemp("bin")
    for name in ("qsub", "qstat", "qdel", "kubectl"):
        (folder / name).symlink_to(Path(__file__).with_name("stand_in.py"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder), prepend=":")
        patch.setenv("STAND_IN", str(queue))
        yield


@pytest.fixture(scope="module")
def config(small_config: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    return small_config()


@pytest.fixture(scope="module")
def pbs(config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Submitted:
    folder = tmp_path_factory.mktemp("pbs")
    profile = with_site("generic", SITE, folder / "profiles")
    return Submitted(folder, config, profile, "--seconds-between-status-checks", "1")


def jobs(queue: Path) -> list[dict[str, Any]]:
    """What the stand-in was asked, in order."""
    paths_ = sorted(queue.glob("*.json"), key=lambda path: int(path.name.split(".")[0]))
    return [{"id": path.stem, **json.loads(path.read_text())} for path in paths_]


def test_ctrl_c_cancels_what_waits(pbs: Submitted, queue: Path) -> None:
    paused = queue / "paused"
    paused.touch()
    # While Snakemake asks for the state of its jobs it knows of none that it could cancel: so it asks seldom, and
    # Ctrl-C comes after its first question.
    pbs.command += ["--seconds-between-status-checks", "30"]
    with pbs.submitting(paths.manifest("scenes")) as snakemake:
        await_("a status", lambda: snakemake.poll() is not None or list(queue.glob("*.asked-for")))
        time.sleep(5)
    del pbs.command[-2:]
    paused.unlink()
    (waiting,) = jobs(queue)
    assert (queue / f"{waiting['id']}.exit").read_text() == "271"
    assert not (pbs.folder / paths.manifest("scenes")).exists()


def test_the_same_command_goes_on_and_says_what_each_job_needs(pbs: Submitted, queue: Path) -> None:
    before = len(jobs(queue))
    pbs.submit(paths.features("scenes"), "--set-scatter", "extract=2")
    asked = [" ".join(job["asked"]) for job in jobs(queue)[before:]]
    assert len(asked) == 4
    manifest, *extraction, gather = asked
    assert "-N manifest -A mine -q small -l walltime=60:00 -l select=1:ncpus=1:mem=2000mb:ngpus=0" in manifest
    for line in extraction:
        assert "-N extract -A mine -q large -l walltime=720:00 -l select=1:ncpus=1:mem=8000mb:ngpus=2" in line
    assert "-N gather -A mine -q small" in gather
    assert json.loads((pbs.folder / paths.features("scenes")).read_text())["dataset"] == "scenes"


def test_kubernetes_gets_a_pod_a_job(config: dict[str, Any], pbs: Submitted, queue: Path) -> None:
    profile = with_site("kubernetes", {}, pbs.folder / "profiles")
    run = Submitted(pbs.folder, config, profile, "--seconds-between-status-checks", "1")
    before = len(jobs(queue))
    # Fetched already; a forced manifest is one job.
    run.submit(paths.manifest("scenes"), "--forcerun", "manifest")
    (job,) = jobs(queue)[before:]
    (pod,) = job["asked"]
    assert "generateName: heap-manifest-" in pod
    assert 'requests: {cpu: "4", memory: "2000M"}' in pod
    assert "activeDeadlineSeconds: 3600" in pod
    assert 'nvidia.com/gpu: "0"' in pod
    assert "$" not in pod.split("apiVersion")[1]
