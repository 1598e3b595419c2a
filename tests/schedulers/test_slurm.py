"""The demo through a real Slurm with accounting: `make test-slurm` starts one on this machine, runs this, stops it.

Nothing is submitted unless HEAP_SLURM=account:partition names where: no test suite may use a cluster unasked.
"""

from __future__ import annotations

import filecmp
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from schedulers.submitting import PATIENCE_S, Submitted, await_, with_site
from workflow.running import Run

from heap import paths
from heap.files import read_json

# The whole demo is one fixture; on a busy machine it takes longer than the ten minutes that stop a hanging test.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

DEMO = paths.metrics("demo")
# Snakemake gives a job as many threads as its rule may have, and sums of floats depend on how many add them up.
LIKE_SLURM = ("--set-scatter", "extract=4", "--max-threads", "1")
# What a first attempt of `train` asks for with `train.resident_gb: 1` (1,000 MB a GB, and 4,000); no other rule does.
FIRST_TRAIN_MB = 5000
# Memory of the killed training's second attempt, the most that any job of this test asks for.
NODE_MB = 2 * FIRST_TRAIN_MB


def told(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@dataclass(frozen=True)
class Cluster:
    """A Slurm that these tests may use, as others may at the same time."""

    account: str
    partition: str

    def sbatch(self, *options: str) -> str:
        """Submit a job of no output; return its id."""
        return told(
            "sbatch", "--parsable", "-A", self.account, "-p", self.partition, "--mem=1", "--output=/dev/null", *options,
            "--wrap", "sleep 3000",
        )  # fmt: skip

    @contextmanager
    def occupied(self) -> Iterator[None]:
        """Keep every core busy, so that what is submitted meanwhile waits in the queue, next to a stranger's job."""
        cores = told("sinfo", "--noheader", "-p", self.partition, "-o", "%c").split()[0]
        job, stranger = self.sbatch("-n", cores), self.sbatch("--hold", "--chdir=/")
        await_("the job that occupies the node", lambda: told("squeue", "-h", "-j", job, "-t", "R", "-o", "%i"))
        try:
            yield
        finally:
            told("scancel", job, stranger)

    def waiting(self, run: Run) -> list[str]:
        """Ids of a run's own jobs that wait in the queue: those that were submitted from its folder."""
        lines = told("squeue", "--noheader", "-A", self.account, "-t", "PD", "-o", "%i %Z").splitlines()
        jobs = [line.split(maxsplit=1) for line in lines]
        return [job for job, folder in jobs if Path(folder) == run.folder]


@dataclass(frozen=True)
class Job:
    """One job as Slurm's accounting remembers it."""

    rule: str
    memory: str
    state: str
    start: str
    end: str


def jobs_of(text: str) -> list[Job]:
    """The jobs that a run of Snakemake submitted, in order."""
    submitted = re.findall(r"submitted with SLURM jobid (\d+) \(log: \S+/rule_(\w+)/", text)
    found = []
    for number, rule in submitted:
        command = ("sacct", "-X", "-n", "-P", "--noconvert", "-j", number, "-o", "ReqMem,State,Start,End")
        # The daemon writes to its database a moment after the job has ended.
        line = await_(f"job {number} in the accounting", lambda command=command: ended(told(*command)))
        memory, state, start, end = line.split("|")
        found.append(Job(rule, memory, state.split()[0], start, end))  # "CANCELLED by 0"
    return found


def ended(line: str) -> str | None:
    return line if line and line.split("|")[1] not in ("PENDING", "RUNNING", "COMPLETING") else None


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    asked = os.environ.get("HEAP_SLURM")
    if not asked:
        pytest.skip("no Slurm named: HEAP_SLURM=account:partition, or `make test-slurm`")
    account, partition = asked.split(":")
    told("sacctmgr", "--noheader", "list", "cluster")  # from here on a Slurm that does not answer fails the tests
    memory_mb = int(told("sinfo", "--noheader", "-p", partition, "-o", "%m").split()[0].rstrip("+"))
    if memory_mb < NODE_MB:
        pytest.skip(f"a node has {memory_mb} MB, these jobs ask for up to {NODE_MB}")
    return Cluster(account, partition)


@pytest.fixture(scope="module")
def config(small_config: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    config = small_config()
    config["train"]["resident_gb"] = 1.0
    config["benchmarks"]["demo"]["methods"] = ["heap", "everything"]  # a job each; the others would only take time
    return config


@pytest.fixture(scope="module")
def edited(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration after an edit of a value that the extraction reads, and one that the training reads."""
    changed = json.loads(json.dumps(config))
    changed["datasets"]["scenes"]["max_px"] = 100
    changed["train"]["learning_rate"] = 1e-3
    return changed


@pytest.fixture(scope="module")
def local(cluster: Cluster, config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same without a scheduler."""
    run = Run(tmp_path_factory.mktemp("local"), config)
    run.snakemake(DEMO, *LIKE_SLURM)
    return run


@pytest.fixture(scope="module")
def run(cluster: Cluster, config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Submitted]:
    folder = tmp_path_factory.mktemp("slurm")
    site = {"account": cluster.account, "partition": cluster.partition, "gpu_partition": cluster.partition}
    profile = with_site("slurm", {**site, "gpus": "0", "cores": "1"}, folder / "profiles")
    # This Slurm has no control groups, so nothing enforces memory. In its place the shell of the job that has too
    # little is killed, as the kernel kills it; shells read the file that BASH_ENV names first.
    kernel = folder / "kernel.sh"
    granted = '[ -z "${SLURM_JOB_ID:-}" ] || [ "$(squeue --noheader -j $SLURM_JOB_ID -o %m)"'
    kernel.write_text(f"{granted} != {FIRST_TRAIN_MB}M ] || kill -9 $$\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BASH_ENV", str(kernel))
        yield Submitted(folder, config, profile, "--slurm-init-seconds-before-status-checks", "2")


@pytest.fixture(scope="module")
def told_by_snakemake(cluster: Cluster, run: Submitted, edited: dict[str, Any]) -> str:
    """The whole demo through Slurm; the configuration is edited while the extraction waits in the queue."""
    text = run.submit(paths.manifest("scenes"))
    with run.submitting(DEMO) as snakemake:
        with cluster.occupied():
            await_("four waiting jobs", lambda: snakemake.poll() is not None or len(cluster.waiting(run)) == 4)
            run.edit(edited)
        rest, _ = snakemake.communicate()
    assert snakemake.returncode == 0, rest[-6000:]
    return text + rest


def test_extraction_is_scattered_and_training_comes_after_it(told_by_snakemake: str, run: Submitted) -> None:
    jobs = jobs_of(told_by_snakemake)
    extraction = [job for job in jobs if job.rule == "extract"]
    assert [job.state for job in extraction] == ["COMPLETED"] * 4
    assert min(job.start for job in jobs if job.rule == "train") >= max(job.end for job in extraction)
    parts = [json.loads(p.read_text()) for p in (run.folder / "results/features/scenes.parts").glob("*.json")]
    assert len(parts) == 4
    assert all(part["photos_encoded"] > 0 for part in parts)


def test_a_killed_job_is_tried_again_with_twice_the_memory(told_by_snakemake: str) -> None:
    training = [(job.state, job.memory) for job in jobs_of(told_by_snakemake) if job.rule == "train"]
    once, again = ("FAILED", f"{FIRST_TRAIN_MB}M"), ("COMPLETED", f"{2 * FIRST_TRAIN_MB}M")
    assert set(training) == {once, again}
    assert training.count(once) == training.count(again)  # a job each seed


def test_waiting_jobs_keep_the_values_they_were_submitted_with(told_by_snakemake: str, run: Submitted) -> None:
    extraction = json.loads((run.folder / paths.settings("extract", "scenes.1-of-4")).read_text())
    training = json.loads((run.folder / paths.settings("train", "demo.0")).read_text())
    assert extraction["max_px"] is None
    assert training["train"]["learning_rate"] == 5e-4
    # The edit is not forgotten either: it is what the next run would put into force.
    assert {"extract", "train", "evaluate"} <= run.planned(DEMO, *LIKE_SLURM)


def test_results_are_those_of_a_local_run(told_by_snakemake: str, run: Submitted, local: Run) -> None:
    masks = sorted(str(path.relative_to(local.folder)) for path in (local.folder / "results/masks").rglob("*.png"))
    same = [DEMO, paths.metrics_photos("demo"), paths.clusters("scenes"), paths.masks("scenes"), *masks]
    assert len(masks) == 16
    assert [path for path in same if not filecmp.cmp(run.folder / path, local.folder / path, shallow=False)] == []


def test_a_cancelled_job_is_made_up_for_by_the_same_command(
    told_by_snakemake: str, cluster: Cluster, run: Submitted, local: Run, edited: dict[str, Any]
) -> None:
    target = paths.features("scenes")
    run.edit(edited)
    with run.submitting(target, "--retries", "0") as snakemake:  # else the profile's retry would make up for it at once
        with cluster.occupied():
            await_("four waiting jobs", lambda: snakemake.poll() is not None or len(cluster.waiting(run)) == 4)
            told("scancel", cluster.waiting(run)[0])
        text, _ = snakemake.communicate(timeout=PATIENCE_S)
    assert snakemake.returncode != 0
    states = sorted(job.state for job in jobs_of(text))
    assert states == ["CANCELLED", "COMPLETED", "COMPLETED", "COMPLETED"]
    # Three parts are there; the same command makes the fourth and gathers.
    assert [job.rule for job in jobs_of(run.submit(target))] == ["extract", "gather"]
    local.edit(edited)
    local.snakemake(target, *LIKE_SLURM)
    receipts = [read_json(one.folder / target) for one in (run, local)]  # without the checksum, which the root is in
    assert [receipt.pop("root") for receipt in receipts] == [
        str(one.folder / "resources/scenes") for one in (run, local)
    ]
    assert receipts[0] == receipts[1]
    store = Path("results/features/scenes") / f"{receipts[0]['fingerprint']}.zarr/features"
    shards = [path.relative_to(local.folder) for path in (local.folder / store / "c").rglob("*") if path.is_file()]
    assert len(shards) == receipts[0]["shards"]
    assert [path for path in shards if not filecmp.cmp(run.folder / path, local.folder / path, shallow=False)] == []
