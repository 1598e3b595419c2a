"""Photo after photo through one function, on one core or on all."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Generic, TypeVar

F = TypeVar("F")
T = TypeVar("T")
R = TypeVar("R")

# A worker needs two to three seconds to start (zarr, pandas); this many photos take as long (about 5 ms each, measured
# on 300 of ECSSD with two methods). Fewer are not worth a worker.
PHOTOS_PER_WORKER = 500
# Photos sent to a worker at once: enough to hide the sending, few enough to keep all workers busy at the end.
_CHUNK = 16
# Chunks on their way for each worker. With it memory does not grow with the number of photos.
_AHEAD = 4
# Each worker is one core's work. Libraries that start threads of their own read these when they are loaded.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

# Threads of what is trained, however many cores there are: each thread sums its share, and other shares round otherwise
# and end in other weights. On one core four threads took 7 % more time than one (32 photos of 784 patches, D = 384).
TRAINING_THREADS = 4

_job: Callable[[Any], Any] | None = None


def cores_allowed() -> int:
    """Return how many cores this job may use, at least 1.

    They are those of the process; Snakemake says by OMP_NUM_THREADS how many of them are this job's.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux: respects cgroups' and Slurm's pinning
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    ours = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(ours)) if ours.isdigit() else cores)


@contextmanager
def fixed_threads(count: int = TRAINING_THREADS) -> Iterator[None]:
    """Compute with this many threads, on fewer cores too, so that sums are the same on every number of cores."""
    import faiss
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads(), faiss.omp_get_max_threads()
    try:
        with threadpool_limits(count):
            torch.set_num_threads(count)
            faiss.omp_set_num_threads(count)
            yield
    finally:
        torch.set_num_threads(before[0])
        faiss.omp_set_num_threads(before[1])


def workers_for(photos: int, photos_per_worker: int = PHOTOS_PER_WORKER, cores: int | None = None) -> int:
    """Return how many processes to use: one for each core allowed to us, but only as many as the photos occupy.

    Args:
        photos: how many there are.
        photos_per_worker: how many take as long as a worker needs to start.
        cores: allowed to us; None asks.
    """
    return max(1, min(cores_allowed() if cores is None else cores, photos // photos_per_worker))


def one_thread() -> int:
    """Let the libraries that this process has yet to load use one thread each; return the cores that it may use.

    For work whose last bits decide a threshold: products are then rounded alike however many cores a job has.
    """
    cores = cores_allowed()
    for name in _THREADS:
        os.environ[name] = "1"
    return cores


class Crew(Generic[T, R]):
    """Processes that stay for many rounds of work; one alone works in this process.

    Threads do not help here (measured: the histograms and the labelling hold the interpreter lock), and a fork after
    Zarr was read hangs, so workers are spawned processes. joblib sends the job with each batch, so that a job opened
    its files 68 times for 640 items in batches of 16 (here once a worker), and it keeps all results that wait.

    Args:
        job: picklable; each worker gets one copy and keeps it, so it may keep open what it reads.
        workers: processes.
    """

    def __init__(self, job: Callable[[T], R], workers: int) -> None:
        self.job, self.workers = job, workers
        self._pool: ProcessPoolExecutor | None = None
        if workers > 1:
            context = multiprocessing.get_context("spawn")
            # As bytes, because unpickling the job loads its libraries, and they must find the number of threads set.
            self._pool = ProcessPoolExecutor(
                workers, mp_context=context, initializer=_start, initargs=(pickle.dumps(job),)
            )

    def __enter__(self) -> Crew[T, R]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(self, items: Sequence[T], chunk: int = _CHUNK) -> Iterator[R]:
        """Yield `job(item)` in the order of the (picklable) items, of which `chunk` are sent to a worker at once."""
        if self._pool is None:
            yield from map(self.job, items)
            return
        waiting: deque[Future[list[R]]] = deque()
        for start in range(0, len(items), chunk):
            waiting.append(self._pool.submit(_work, items[start : start + chunk]))
            if len(waiting) >= self.workers * _AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


@dataclass
class Reading(Generic[F, T, R]):
    """A job on files that are read for every item: each process opens them once, where it first works.

    Attributes:
        open_files: opens them; picklable.
        work: what is done with them and an item; picklable.
    """

    open_files: Callable[[], F]
    work: Callable[[F, T], R]

    @cached_property
    def files(self) -> F:
        """What is open."""
        return self.open_files()

    def __call__(self, item: T) -> R:
        """Work on an item."""
        return self.work(self.files, item)


def spread(job: Callable[[T], R], items: Sequence[T], workers: int | None = None, chunk: int = _CHUNK) -> Iterator[R]:
    """Yield `job(item)` in the order of the items.

    Args:
        job: picklable, see `Crew`.
        items: picklable.
        workers: processes; 1 works in this one, None chooses by the number of items.
        chunk: items that are sent to a worker at once.
    """
    with Crew(job, workers_for(len(items)) if workers is None else workers) as crew:
        yield from crew.map(items, chunk)


def _start(job: bytes) -> None:
    global _job
    one_thread()
    _job = pickle.loads(job)  # noqa: S301 (our own bytes, from the process that started this one)


def _work(chunk: Sequence[Any]) -> list[Any]:
    assert _job is not None
    return [_job(item) for item in chunk]
