"""A project at a glance: what runs, what is made, stale or missing, sizes on disk, GPUs, last failures. Reads only."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from heap import paths
from heap.errors import DataError, SettingsError
from heap.files import read_json
from heap.progress import is_gone
from heap.project.explain import by_rule
from heap.project.graph import Graph, Job, wanted
from heap.project.stale import stale_in
from heap.settings import load

# A running job writes its progress every five seconds, or after each unit of work where one takes longer.
SILENT_AFTER_S = 120.0
# Of a log, where the error is.
_TAIL_BYTES = 8192
_FOLDERS = {
    "photos and archives": (paths.RESOURCES,),
    "feature stores": (f"{paths.RESULTS}/features",),
    "heads": (f"{paths.RESULTS}/head", f"{paths.RESULTS}/found", f"{paths.RESULTS}/models"),
    "patch maps": (f"{paths.RESULTS}/maps", f"{paths.RESULTS}/seeds"),
    "masks and pictures": (f"{paths.RESULTS}/masks", f"{paths.RESULTS}/instances", f"{paths.RESULTS}/pictures"),
}


@dataclass(frozen=True)
class Work:
    """A job that reports its progress.

    Attributes:
        doing: what, in words (`extracting ecssd`).
        what: the unit that is counted (`photos`).
        done: units done.
        total: units in all; 0 where nobody knows.
        rate_per_s: units a second.
        left_s: seconds left, None while unknown.
        silent_s: seconds since it was last heard of.
        gone: its process has ended; None where only another machine knows.
    """

    doing: str
    what: str
    done: int
    total: int
    rate_per_s: float
    left_s: float | None
    silent_s: float
    gone: bool | None = None

    @property
    def runs(self) -> bool:
        """Its process is there; of another machine: it was heard of lately (else one unit may take very long)."""
        return self.silent_s < SILENT_AFTER_S if self.gone is None else not self.gone


@dataclass(frozen=True)
class Failure:
    """The last error in the log of a job whose output is missing or stale; or a job whose process ended unfinished.

    Attributes:
        job: rule and name, or what it was doing.
        log: the file, "" where nobody knows which.
        message: its last error.
        ago_s: seconds since.
    """

    job: str
    log: str
    message: str
    ago_s: float


@dataclass(frozen=True)
class Status:
    """All that `heap status` tells; `problem` is why nothing can be said of the jobs, "" where something can."""

    folder: str
    problem: str
    snakemake: bool
    work: list[Work]
    jobs: dict[str, int]
    stale: dict[str, list[str]]
    missing: dict[str, list[str]]
    bytes: dict[str, int]
    gpus: list[dict[str, Any]]
    failures: list[Failure]

    def record(self) -> dict[str, Any]:
        """Return what `heap status --json` prints."""
        return {**asdict(self), "work": [{**asdict(one), "runs": one.runs} for one in self.work]}


def look(folder: Path, config: Path) -> Status:
    """Look at a project; an empty folder is one too.

    Args:
        folder: where Snakemake runs.
        config: the present configuration.
    """
    now = time.time()
    problem, stale, missing, graph = "", set[Job](), set[Job](), Graph()
    try:
        loaded = load(config)
    except SettingsError as error:
        problem = str(error)
    else:
        graph = wanted(loaded, folder)
        stale, missing = stale_in(folder, loaded, graph)
    return Status(
        folder=str(folder),
        problem=problem,
        snakemake=any((folder / ".snakemake/locks").glob("*")),
        work=[work for work in _work(folder, now) if not work.gone],
        jobs={"made": len(graph) - len(stale) - len(missing), "stale": len(stale), "missing": len(missing)},
        stale=by_rule(graph, stale),
        missing=by_rule(graph, missing),
        bytes={what: sum(map(_size, (folder / name for name in names))) for what, names in _FOLDERS.items()},
        gpus=gpus(),
        failures=sorted(
            [*_failures(folder, stale | missing, now), *_killed(folder, now)], key=lambda failure: failure.ago_s
        ),
    )


def _work(folder: Path, now: float) -> Iterator[Work]:
    for root in (paths.RESOURCES, paths.RESULTS):
        for path in sorted(_files(folder / root, into_stores=False)):
            if not (path.name.startswith("progress") and path.suffix == ".json"):
                continue
            try:
                silent = now - path.stat().st_mtime
                state = read_json(path)
            except (FileNotFoundError, DataError):  # the job ended meanwhile
                continue
            keys = ("doing", "what", "done", "total", "rate_per_s", "left_s")
            gone = is_gone(state.get("process", {}))
            work = Work(**{key: state[key] for key in keys}, silent_s=round(max(silent, 0.0), 1), gone=gone)
            if work.runs or not work.total or work.done < work.total:
                yield work


def _files(folder: Path, into_stores: bool) -> Iterator[Path]:
    for at, folders, names in os.walk(folder):
        if not into_stores:
            # Progress files lie beside what is large, never in it.
            folders[:] = [name for name in folders if not name.endswith(".zarr")]
        yield from (Path(at, name) for name in names)


def _size(folder: Path) -> int:
    total = 0
    for path in _files(folder, into_stores=True):
        try:
            total += path.lstat().st_size
        except FileNotFoundError:  # a job replaced it meanwhile
            continue
    return total


def _failures(folder: Path, unmade: set[Job], now: float) -> Iterator[Failure]:
    for job in unmade:
        pattern = Path(paths.log(*job.written_as))
        for path in (folder / pattern.parent).glob(pattern.name):
            message = last_error(path)
            if message:
                yield Failure(" ".join(job), str(path.relative_to(folder)), message, now - path.stat().st_mtime)


def _killed(folder: Path, now: float) -> Iterator[Failure]:
    for work in _work(folder, now):
        if work.gone:
            of = f" of {work.total:,}" if work.total else ""
            message = f"ended at {work.done:,}{of} {work.what}: killed, or see its log; snakemake goes on with it"
            yield Failure(work.doing, "", message, work.silent_s)


def last_error(log: Path) -> str:
    """Return the error that a log ends with, "" where it ends with none."""
    with log.open("rb") as stream:
        stream.seek(max(log.stat().st_size - _TAIL_BYTES, 0))
        lines = [line for line in stream.read().decode("utf-8", "replace").splitlines() if line.strip()]
    for at in range(len(lines) - 1, -1, -1):
        if lines[at].startswith("heap: error: "):
            return "\n".join([lines[at].removeprefix("heap: error: "), *lines[at + 1 :]])
        if lines[at].startswith("Traceback "):
            return lines[-1]
    return ""


def gpus() -> list[dict[str, Any]]:
    """Return name, memory and load of each NVIDIA GPU, as nvidia-smi tells; none where there is no nvidia-smi.

    torch would tell too, after seconds of loading.
    """
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    keys = {"name": "name", "memory.used": "used_mb", "memory.total": "total_mb", "utilization.gpu": "load_percent"}
    command = [tool, f"--query-gpu={','.join(keys)}", "--format=csv,noheader,nounits"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    if said.returncode != 0:  # a tool without a driver
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in said.stdout.splitlines()]
    return [dict(zip(keys.values(), row, strict=True)) for row in rows]


def summary(jobs: dict[str, list[str]]) -> str:
    """Return jobs in one line: `train 1 (photos), group 2 (ecssd, voc12)`."""
    counts = Counter({rule: len(names) for rule, names in jobs.items()})
    return ", ".join(
        f"{rule} {counts[rule]} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for rule, names in jobs.items()
    )
