"""What is needed next, made by a thread while the present is used; and how long the user had to wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")
# How often a blocked producer looks whether anybody still wants its products.
_SECONDS_BETWEEN_LOOKS = 0.1


class Prefetch(Iterator[T], Generic[T]):
    """The items of an iterator, in order, `depth` of them made ahead by a thread.

    An error of the iterator is raised where its item would have come. `close`, or leaving a `with`, ends the thread.

    Attributes:
        waited_s: seconds that `next` has blocked so far.
    """

    def __init__(self, source: Iterator[T], depth: int) -> None:
        self.waited_s = 0.0
        self._source = source
        self._queue: Queue[tuple[T | None, BaseException | None]] = Queue(depth)
        self._stop = threading.Event()
        self._ended: BaseException | None = None
        self._thread = threading.Thread(target=self._produce, name="prefetch", daemon=True)
        self._thread.start()

    def __enter__(self) -> Prefetch[T]:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __next__(self) -> T:
        """Return the next item.

        Raises:
            StopIteration: there are no more, or `close` was called.
        """
        if self._ended is not None:
            raise self._ended
        if self._stop.is_set():
            raise StopIteration
        started = time.perf_counter()
        item, error = self._queue.get()
        self.waited_s += time.perf_counter() - started
        if error is not None:
            self._ended = error
            raise error
        return item  # type: ignore[return-value]

    def close(self) -> None:
        """End the thread and forget what it made."""
        self._stop.set()
        while self._thread.is_alive():
            try:
                self._queue.get_nowait()
            except Empty:
                self._thread.join(_SECONDS_BETWEEN_LOOKS)

    def _produce(self) -> None:
        try:
            while not self._stop.is_set():
                self._put(next(self._source), None)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asks for the item
            self._put(None, error)
        finally:
            close = getattr(self._source, "close", None)
            if close is not None:
                close()

    def _put(self, item: T | None, error: BaseException | None) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put((item, error), timeout=_SECONDS_BETWEEN_LOOKS)
                return
            except Full:
                continue
