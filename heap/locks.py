"""One process at a time in an output folder: a killed workflow's orphan and its successor never mix their files.

The lock is the system's (flock), by the `filelock` library: it vanishes with its process, however that ends. The
feature store has locks of its own (`heap.cache.lock`), by which many processes share one store.
"""

from __future__ import annotations

import errno
import functools
import inspect
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from filelock import FileLock, Timeout

from heap import paths
from heap.errors import DataError
from heap.files import make_folder

P = ParamSpec("P")
R = TypeVar("R")
log = logging.getLogger("heap")

# `off` for file systems that know no locks; whoever sets it sees to it that no two processes write the same.
SWITCH = "HEAP_CACHE_LOCKS"
# Who waits, waits for minutes; asking more often would only load the file server.
_SECONDS_BETWEEN_TRIES = 0.5
# What a file system says that knows no locks.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock of an output folder, an empty file next to it; wait for the process that holds it.

    What a killed predecessor left in the folder belongs to nobody else meanwhile.

    Raises:
        DataError: the file system knows no locks; says what to do.
    """
    if os.environ.get(SWITCH) == "off":
        yield
        return
    path = folder.with_name(f".{folder.name}.lock")
    make_folder(folder.parent)
    # Never filelock's own substitute where there are no locks of the system: it outlives a killed process.
    lock = FileLock(path, fallback_to_soft=False, preserve_lock_file=True)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("%s: another process writes there; waiting until it ends (heap status says how far it is)", folder)
            lock.acquire(poll_interval=_SECONDS_BETWEEN_TRIES)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise DataError(
            f"{path}: cannot be locked ({error.strerror}). If only one process writes to {folder}, set {SWITCH}=off"
        ) from error
    try:
        yield
    finally:
        lock.release()


def alone(output: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a stage: it holds, from its first line to its last, the lock of the folder that belongs to an output.

    Args:
        output: name of the stage's argument that is the path of a small file; its folder is that of the same name.
    """

    def decorate(stage: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(stage)

        @functools.wraps(stage)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with alone_in(paths.folder_of(signature.bind(*args, **kwargs).arguments[output])):
                return stage(*args, **kwargs)

        return run

    return decorate
