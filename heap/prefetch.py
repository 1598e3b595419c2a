"""What is needed next, made by threads while the present is used.

Photos that an extraction or `heap predict` decodes, pools of shards and batches of a training all come through here.
torch's DataLoader was tried for them (docs/explanation/speed.md says what it cost): its workers are processes, which
get photos and features by copies through shared memory, know no limit in bytes, and ask for items long before they are
needed, whereas shards are claimed from other processes one by one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Prefetch(Iterator[R], Generic[T, R]):
    """The results of `work` for each of `items`, in order, made ahead by threads.

    Items are asked for by the thread that takes the results, no earlier than they can be begun. None among them is a
    barrier, passed on as None: nothing behind it is asked for before it was taken. An error of `work` or of `items` is
    raised where its result would have come. Leaving a `with` drops what was not begun and waits for the threads.

    Args:
        work: from an item to its result; called from several threads.
        items: may be without end.
        threads: how many.
        enough: whether these items, not yet taken, are as many as should wait; a number: that many behind the next.

    Attributes:
        waited_s: seconds that `next` has blocked so far.
    """

    def __init__(
        self, work: Callable[[T], R], items: Iterable[T | None], threads: int, enough: int | Callable[[list[T]], bool]
    ) -> None:
        self.waited_s = 0.0
        self._work, self._items = work, iter(items)
        self._enough = (lambda waiting: len(waiting) > enough) if isinstance(enough, int) else enough
        self._waiting: deque[tuple[T | None, Future[Any]]] = deque()
        self._more = True
        self._pool = ThreadPoolExecutor(threads, "prefetch")

    def __enter__(self) -> Prefetch[T, R]:
        return self

    def __exit__(self, *error: object) -> None:
        self._more = False
        self._waiting.clear()
        self._pool.shutdown(cancel_futures=True)

    def __next__(self) -> R:
        """Return the next result.

        Raises:
            StopIteration: there are no more, or the `with` was left.
        """
        started = time.perf_counter()
        self._fill()
        if not self._waiting:
            raise StopIteration
        result: R = self._waiting.popleft()[1].result()
        self.waited_s += time.perf_counter() - started
        return result

    def _fill(self) -> None:
        while self._more:
            waiting = [item for item, _ in self._waiting if item is not None]
            if self._waiting and (self._waiting[-1][0] is None or self._enough(waiting)):
                return
            done: Future[Any] = Future()
            try:
                item = next(self._items)
            except StopIteration:
                self._more = False
                return
            except Exception as error:  # noqa: BLE001 - raised in its turn
                self._more, item = False, None
                done.set_exception(error)
            else:
                if item is None:
                    done.set_result(None)
                else:
                    done = self._pool.submit(self._work, item)
            self._waiting.append((item, done))
