"""Loaded by every Python of a `Clone` (tests/workflow/clone.py): lets a job die at a chosen event of the file system.

The product knows nothing of this: an audit hook counts the renames by which results appear, and the process dies
just before the one that was ordered, so that a test kills at the same point on any machine.
"""

from __future__ import annotations

import fnmatch
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

ORDER = "HEAP_TEST_KILL"


def arm() -> None:
    """Look whether this process is a job that was ordered to die, and if so listen."""
    text = os.environ.get(ORDER)
    if text is not None and sys.orig_argv[1:4] == ["-m", "heap", "stage"]:
        for order in json.loads(text):
            if order["stage"] == sys.orig_argv[4]:
                obey(order)


def obey(order: dict[str, Any]) -> None:
    """Die at the event of the order; or let the job go on that outlived an earlier Snakemake."""
    if order["kind"] == "release":
        Path(order["release"]).touch()
        return
    seen = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event != "os.rename" or not fnmatch.fnmatch(os.fsdecode(str(arguments[1])), order["renames"]):
            return
        seen += 1
        if seen == order["nth"]:
            die(order)

    sys.addaudithook(hook)


def die(order: dict[str, Any]) -> None:
    """End this process (`rule`), the whole group that Snakemake leads (`group`), or Snakemake alone (`snakemake`).

    A job that outlives its Snakemake goes on once the same stage of the next run has started (`release`), so that both
    are at work together, which is the worst that can happen.
    """
    Path(order["note"]).write_text(str(os.getpid()))
    if order["kind"] == "rule":
        os.kill(os.getpid(), signal.SIGKILL)
    if order["kind"] == "group":
        os.killpg(os.getpgid(0), signal.SIGKILL)
    os.kill(os.getpgid(0), signal.SIGKILL)  # Snakemake was started as the leader of its group
    while not Path(order["release"]).exists():
        time.sleep(0.02)
