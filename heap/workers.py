"""Photo after photo through one function, on one core or on all."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

# A worker needs two to three seconds to start (zarr, pandas); this many photos take as long (about 5 ms each, measured
# on 300 of ECSSD with two methods). Fewer are not worth a worker.
PHOTOS_PER_WORKER = 500
# Photos sent to a worker at once: enough to hide the sending, few enough to keep all workers busy at the end.
_CHUNK = 16
# Chunks on their way for each worker. With it memory does not grow with the number of photos.
_AHEAD = 4

_job: Callable[[Any], Any] | None = None


def cores_allowed() -> int:
    """Return how many cores this job may use, at least 1.

    They are those of the process; Snakemake says by OMP_NUM_THREADS how many of them are this job's.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux: respects cgroups' and Slurm's pinning
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    told = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(told)) if told.isdigit() else cores)


def workers_for(photos: int) -> int:
    """Return how many processes to use: one for each core allowed to us, but only as many as the photos occupy."""
    return max(1, min(cores_allowed(), photos // PHOTOS_PER_WORKER))


def spread(job: Callable[[T], R], items: Sequence[T], workers: int | None = None) -> Iterator[R]:
    """Yield `job(item)` in the order of the items.

    Threads do not help here (measured: the histograms and the labelling hold the interpreter lock), and a fork after
    Zarr was read hangs, so workers are spawned processes.

    Args:
        job: picklable; each worker gets one copy and keeps it, so it may keep open what it reads.
        items: picklable.
        workers: processes; 1 works in this one, None chooses by the number of items.
    """
    count = workers_for(len(items)) if workers is None else workers
    if count <= 1:
        yield from map(job, items)
        return
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_start, initargs=(job,))
    waiting: deque[Future[list[R]]] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_work, chunk))
            if len(waiting) >= count * _AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start(job: Callable[[Any], Any]) -> None:
    global _job
    _job = job


def _work(chunk: Sequence[Any]) -> list[Any]:
    assert _job is not None
    return [_job(item) for item in chunk]
