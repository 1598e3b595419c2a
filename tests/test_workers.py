from __future__ import annotations

import os

import pytest

from heap.errors import DataError
from heap.workers import PHOTOS_PER_WORKER, Crew, Reading, one_thread, spread, workers_for


class Square:
    """A job that travels; `calls` shows that a worker keeps its copy."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, value: int) -> tuple[int, int, int]:
        if value < 0:
            raise DataError(f"{value}: negative")
        self.calls += 1
        return value * value, self.calls, os.getpid()


def test_results_come_in_order_from_other_processes() -> None:
    values = list(range(300))
    results = list(spread(Square(), values, 2))
    assert [square for square, _, _ in results] == [value * value for value in values]
    processes = {process for _, _, process in results}
    assert os.getpid() not in processes
    assert sum(max(c for _, c, p in results if p == process) for process in processes) == len(values)


def test_one_worker_is_this_process() -> None:
    assert {process for _, _, process in spread(Square(), range(5), 1)} == {os.getpid()}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_job_is_raised_here(workers: int) -> None:
    with pytest.raises(DataError, match="-3: negative"):
        list(spread(Square(), [1, 2, -3, *range(100)], workers))


def test_a_job_keeps_to_its_cores_and_few_photos_are_not_worth_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert workers_for(10**9) == len(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for ours, expected in (("", 8), ("3", 3), ("64", 8), ("2,1", 8)):
        monkeypatch.setenv("OMP_NUM_THREADS", ours)
        assert workers_for(100 * PHOTOS_PER_WORKER) == expected
    assert workers_for(PHOTOS_PER_WORKER - 1) == 1


def count_of(opened: list[int], item: int) -> int:
    opened.append(item)
    return len(opened)


def test_files_are_opened_once_in_each_process() -> None:
    assert list(spread(Reading(list, count_of), range(5), 1)) == [1, 2, 3, 4, 5]


class Threads:
    """A job that says how many threads its process's libraries may use."""

    def __call__(self, value: int) -> tuple[str | None, int]:
        return os.environ.get("OPENBLAS_NUM_THREADS"), os.getpid()


def test_a_crew_stays_for_many_rounds_and_each_worker_is_one_core() -> None:
    with Crew(Threads(), 2) as crew:
        rounds = [list(crew.map(range(8), chunk=2)) for _ in range(3)]
    assert {threads for results in rounds for threads, _ in results} == {"1"}
    assert len({process for results in rounds for _, process in results}) <= 2


def test_one_thread_keeps_in_mind_how_many_cores_there_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "6")
    cores = one_thread()
    assert cores == 6
    assert os.environ["OMP_NUM_THREADS"] == os.environ["OPENBLAS_NUM_THREADS"] == "1"
    assert workers_for(10**6, cores=cores) == 6
    assert workers_for(90, photos_per_worker=30, cores=cores) == 3
