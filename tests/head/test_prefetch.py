"""Items made ahead: the same, in order; errors where they belong; no thread left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from heap.head.prefetch import Prefetch


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "prefetch"]


def test_all_items_come_in_order_and_then_the_end() -> None:
    with Prefetch(iter(range(50)), 3) as ahead:
        assert list(ahead) == list(range(50))
        assert list(ahead) == []
    assert not threads()


def test_no_more_than_the_depth_is_made_ahead() -> None:
    made, may_end = [], threading.Event()

    def source() -> Iterator[int]:
        for n in range(100):
            made.append(n)
            if n == 4:
                may_end.set()
            yield n

    with Prefetch(source(), 3) as ahead:
        next(ahead)
        assert may_end.wait(30)  # 0 taken, 1 to 3 in the queue, 4 in the thread's hand
        assert made == [0, 1, 2, 3, 4]


def test_an_error_is_raised_where_its_item_would_have_come_and_again() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("the disk went away")

    with Prefetch(source(), 3) as ahead:
        assert next(ahead) == 1
        for _ in range(2):
            with pytest.raises(OSError, match="went away"):
                next(ahead)


def test_close_ends_thread_and_source_though_nobody_takes_the_items() -> None:
    closed = []

    def source() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.append(True)

    ahead = Prefetch(source(), 1)
    next(ahead)
    ahead.close()
    assert closed == [True]
    assert not threads()
    with pytest.raises(StopIteration):
        next(ahead)
