"""Who writes what: locks by which processes, on one machine or several, share one store without writing a shard twice.

One empty file next to the store, `.{fingerprint}.lock`, carries POSIX byte-range locks: byte 0 stands for the store's
description, byte n + 1 for shard n, and one far behind them for "in use", which many may hold. Such a lock vanishes
with its process, however that ends, so a crashed writer blocks nobody; it works across machines on NFS (version 4, or 3
with lockd), and on Lustre mounted with `flock`. The `filelock` library locks whole files: it would take one a shard.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heap.errors import CacheError
from heap.files import make_folder
from heap.locks import SWITCH

# Behind the bytes of all shards.
_IN_USE = 2**40
_HELD_BY_ANOTHER = (errno.EACCES, errno.EAGAIN)


class StoreLock:
    """The locks of one store.

    A process uses one object a store: POSIX drops all of a process's locks of a file when any handle of it is closed.
    """

    def __init__(self, store: Path) -> None:
        self.store = store
        self.path = store.with_name(f".{store.stem}.lock")
        self._handle: int | None = None

    def __enter__(self) -> StoreLock:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def use(self) -> None:
        """Say, until `close`, that the store is in use, so that nobody removes it; others may say so too."""
        self._lock(fcntl.LOCK_SH, _IN_USE, 1)

    def try_shard(self, shard: int) -> bool:
        """Take the lock of a shard, kept until `close`; False where another process holds it."""
        return self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB, shard + 1, 1)

    def try_all(self) -> bool:
        """Take every lock of the store at once, so that nobody writes to it; False where somebody does, or uses it."""
        return self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB, 0, 0)

    @contextmanager
    def description(self) -> Iterator[None]:
        """Hold the lock of the store's description, waiting for it: others hold it for moments only."""
        self._lock(fcntl.LOCK_EX, 0, 1)
        try:
            yield
        finally:
            self._lock(fcntl.LOCK_UN, 0, 1)

    def close(self) -> None:
        """Give every lock back."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _lock(self, how: int, start: int, length: int) -> bool:
        if os.environ.get(SWITCH) == "off":
            return True
        try:
            if self._handle is None:
                make_folder(self.path.parent)
                self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fcntl.lockf(self._handle, how, length, start)
        except OSError as error:
            if how & fcntl.LOCK_NB and error.errno in _HELD_BY_ANOTHER and self._handle is not None:
                return False
            raise CacheError(
                f"{self.path}: cannot be locked ({error.strerror}). If this file system knows no locks and only one "
                f"job writes to the store, set {SWITCH}=off"
            ) from error
        if os.fstat(self._handle).st_nlink == 0:
            raise CacheError(f"{self.store}: was removed meanwhile (heap cache prune); run extract again")
        return True
