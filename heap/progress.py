"""Progress of long work: a bar on a terminal, plain log lines elsewhere, and a file that others can read."""

from __future__ import annotations

import functools
import logging
import os
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil
from tqdm import tqdm

from heap.files import write_json

T = TypeVar("T")
log = logging.getLogger("heap")

# A cluster's log is read by people: one line each half minute says enough and does not bury errors.
SECONDS_BETWEEN_LINES = 30.0
# `heap status` polls this file; more often would only wear the file system.
SECONDS_BETWEEN_FILES = 5.0
# By how much two readings of when a process began may differ, where the clock was set meanwhile.
_CLOCK_S = 2.0


@functools.cache
def this_process() -> dict[str, str | int | float]:
    """Return what shows later whether this process still runs: host, pid, and when it began (pids are used again)."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "began": psutil.Process().create_time()}


def is_gone(process: dict[str, Any]) -> bool | None:
    """Return whether a process of `this_process` has ended; None where only another machine knows."""
    if process.get("host") != socket.gethostname():
        return None
    try:
        return abs(psutil.Process(process["pid"]).create_time() - process["began"]) > _CLOCK_S
    except psutil.NoSuchProcess:
        return True


class Progress:
    """Count units of work and report how far, how fast, and how long it still takes.

    Args:
        total: units of work in all.
        what: what is counted, plural ("photos").
        doing: the stage, in the continuous form ("extracting ecssd").
        file: where the state is kept as JSON for `heap status`; None keeps none.
        done: units finished by an earlier run.
    """

    def __init__(self, total: int, what: str, doing: str, file: Path | None = None, done: int = 0) -> None:
        self.total, self.what, self.doing, self.file = total, what, doing, file
        self.done = self.before = done
        self.started = self.last_line = time.monotonic()
        self.last_file = float("-inf")
        terminal = sys.stderr.isatty()
        self.bar = tqdm(total=total, initial=done, unit=what, desc=doing, file=sys.stderr) if terminal else None
        self._report(force_file=True)

    def step(self, units: int = 1) -> None:
        """Add finished units; reports at most every few seconds."""
        self.done += units
        if self.bar is not None:
            self.bar.update(units)
        self._report()

    def state(self) -> dict[str, float | int | str | None]:
        """Return count, rate in units a second, and seconds left (None while unknown)."""
        elapsed = time.monotonic() - self.started
        rate = (self.done - self.before) / elapsed if elapsed > 0 else 0.0
        left = (self.total - self.done) / rate if rate > 0 else None
        return {
            "doing": self.doing,
            "what": self.what,
            "done": self.done,
            "total": self.total,
            "rate_per_s": round(rate, 3),
            "left_s": None if left is None else round(left, 1),
            "updated": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }

    def close(self) -> None:
        """End the bar and write the last state."""
        if self.bar is not None:
            self.bar.close()
        self._report(force_file=True, force_line=True)

    def _report(self, force_file: bool = False, force_line: bool = False) -> None:
        now = time.monotonic()
        if self.file is not None and (force_file or now - self.last_file >= SECONDS_BETWEEN_FILES):
            self._write(self.file)
            self.last_file = now
        if self.bar is None and (force_line or now - self.last_line >= SECONDS_BETWEEN_LINES):
            state = self.state()
            left = "" if state["left_s"] is None else f", {state['left_s']:.0f} s left"
            log.info(
                "%s: %d of %d %s, %.2f %s/s%s",
                self.doing, self.done, self.total, self.what, state["rate_per_s"], self.what, left,
            )  # fmt: skip
            self.last_line = now

    def _write(self, file: Path) -> None:
        try:
            write_json(file, {**self.state(), "process": this_process()}, durable=False)
        except OSError as error:
            # A courtesy must not end the work, nor hide the work's own error where both meet the same full disk.
            log.warning("%s: progress cannot be written (%s); going on without", file, error)
            self.file = None


def track(items: Iterable[T], total: int, what: str, doing: str, file: Path | None = None) -> Iterator[T]:
    """Yield `items` and report each as one unit of work; after the last one the file is removed."""
    progress = Progress(total, what, doing, file)
    try:
        for item in items:
            yield item
            progress.step()
    finally:
        progress.close()
    if file is not None:
        file.unlink(missing_ok=True)
