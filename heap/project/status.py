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
from heap.project.records import records
from heap.settings import load

# A running job writes its progress every five seconds, or after each unit of work where one takes longer.
SILENT_AFTER_S = 120.0
# Of a log, where the error is.
_TAIL_BYTES = 8192
_FOLDERS = {
    "photos and archives": (paths.RESOURCES,),
    "feature stores": (f"{paths.RESULTS}/features",),
    "heads": (f"{paths.RESULTS}/heads", f"{paths.RESULTS}/head", f"{paths.RESULTS}/found", f"{paths.RESULTS}/models"),
    "patch maps": (f"{paths.RESULTS}/maps",),
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
    """The last error in the log of a job; or a job whose process ended unfinished.

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
    """All that `heap status` says. `problem`: why nothing can be said of edits, "" where something can.

    Attributes:
        made: how many outputs of each rule were made and are there.
        edited: outputs that were made with other settings than the configuration has now, by rule; what follows from
            them is not among them.
    """

    folder: str
    problem: str
    snakemake: bool
    work: list[Work]
    made: dict[str, int]
    edited: dict[str, list[str]]
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
    now, problem, config_now = time.time(), "", None
    try:
        config_now = load(config)
    except SettingsError as error:
        problem = str(error)
    made, edited = Counter[str](), dict[str, list[str]]()
    for record in records(folder):
        if (folder / record.output).is_file():
            made[record.rule] += 1
            if config_now is not None and record.edited(config_now):
                edited.setdefault(record.rule, []).append(record.output)
    return Status(
        folder=str(folder),
        problem=problem,
        snakemake=any((folder / ".snakemake/locks").glob("*")),
        work=[work for work in _work(folder, now) if not work.gone],
        made=dict(made),
        edited=edited,
        bytes={what: sum(map(_size, (folder / name for name in names))) for what, names in _FOLDERS.items()},
        gpus=gpus(),
        failures=sorted([*_failures(folder, now), *_killed(folder, now)], key=lambda failure: failure.ago_s),
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
            # Progress files lie next to what is large, never in it.
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


def _failures(folder: Path, now: float) -> Iterator[Failure]:
    # A job that succeeds writes its log again.
    for path in sorted((folder / paths.RESULTS / "logs").glob("*/*.log")):
        message = last_error(path)
        if message:
            job = f"{path.parent.name} {path.stem}"
            yield Failure(job, str(path.relative_to(folder)), message, now - path.stat().st_mtime)


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
