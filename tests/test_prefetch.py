"""Items made ahead: the same, in order; errors where they belong; barriers; no thread left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count

import pytest

from heap.prefetch import Prefetch


def double(n: int) -> int:
    if n == 3:
        raise OSError("the disk went away")
    return 2 * n


@pytest.mark.parametrize("threads", [1, 4])
def test_all_results_come_in_order_and_then_the_end(threads: int) -> None:
    with Prefetch(lambda n: -n, range(50), threads, 3) as ahead:
        assert list(ahead) == [-n for n in range(50)]
        assert list(ahead) == []
    assert not [t for t in threading.enumerate() if t.name.startswith("prefetch")]


@pytest.mark.parametrize(("enough", "asked"), [(3, 4), (lambda waiting: sum(waiting) >= 10, 5)], ids=["number", "rule"])
def test_no_more_than_enough_is_asked_for_ahead(enough: object, asked: int) -> None:
    items: list[int] = []

    def source() -> Iterator[int]:
        for n in count():
            items.append(n)
            yield n

    with Prefetch(lambda n: n, source(), 2, enough) as ahead:
        assert next(ahead) == 0
        assert items == list(range(asked))
        assert next(ahead) == 1
        assert len(items) > asked - (asked == 5)


def test_nothing_behind_a_barrier_is_asked_for_before_it_was_taken() -> None:
    items: list[int | None] = []

    def source() -> Iterator[int | None]:
        for item in (1, 2, None, 4):
            items.append(item)
            yield item

    with Prefetch(double, source(), 2, 10) as ahead:
        assert [next(ahead), next(ahead), next(ahead)] == [2, 4, None]
        assert items == [1, 2, None]
        assert list(ahead) == [8]


def test_an_error_is_raised_where_its_result_would_have_come() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    with Prefetch(double, source(), 1, 5) as ahead:
        assert next(ahead) == 2
        with pytest.raises(ValueError, match="no more"):
            next(ahead)
        assert list(ahead) == []
    with Prefetch(double, range(2, 5), 1, 5) as ahead:
        assert next(ahead) == 4
        with pytest.raises(OSError, match="went away"):
            next(ahead)
        assert list(ahead) == [8]


def test_leaving_drops_what_was_not_begun() -> None:
    begun: list[int] = []
    may_end = threading.Event()

    def slow(n: int) -> int:
        begun.append(n)
        assert n == 0 or may_end.wait(30)
        return n

    with Prefetch(slow, count(), 1, 5) as ahead:
        next(ahead)
        threading.Timer(0.05, may_end.set).start()
    assert begun in ([0], [0, 1])
    with pytest.raises(StopIteration):
        next(ahead)
