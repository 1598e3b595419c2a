"""Extractions in processes of their own, that can be killed. One process imports everything and forks for each job.

Importing takes seconds, a fork milliseconds. The farm never touches Zarr, whose thread would not survive the fork.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_cache import Tiny


class Farm:
    """Starts extractions of a `Tiny` and waits for them."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip

    def ask(self, *request: object) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def start(
        self,
        tiny: Tiny,
        part: str = "1-of-1",
        log: Path | None = None,
        hang_at: int | None = None,
        die_at: tuple[str, int] | None = None,
        count: Path | None = None,
        split: int = 8,
    ) -> int:
        """Start an extraction; returns its process id.

        Args:
            tiny: what to extract.
            part: which part of it.
            log: file that each shard about to be written is appended to.
            hang_at: stand still before writing this shard.
            die_at: be killed at this event (a file opened, renamed, ...): ("start", n) counts from the start,
                ("shard", n) from the first shard that is about to be written.
            count: file that the number of events of both kinds is written to at the end.
            split: shards at least, see `heap.cache.plan.SMALLEST_SPLIT`.
        """
        files = (log and str(log), count and str(count))
        return self.ask("start", str(tiny.folder), part, *files, hang_at, die_at, split)

    def wait(self, job: int) -> int:
        """Wait for an extraction; returns its exit status, or minus the signal that killed it."""
        return self.ask("wait", job)

    @staticmethod
    def wait_for(condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; pytest's timeout is the limit."""
        while not condition():
            time.sleep(0.02)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def child(
    folder: str,
    part: str,
    log: str | None,
    count: str | None,
    hang_at: int | None,
    die_at: list[object] | None,
    split: int,
) -> None:
    from heap.cache import plan
    from heap.cache.store import FeatureStore

    plan.SMALLEST_SPLIT = split
    tiny = Tiny.__new__(Tiny)
    tiny.folder = Path(folder)
    tiny.features = tiny.folder / "features"
    write = FeatureStore.write_shard

    phase, events = "start", {"start": 0, "shard": 0}

    def noted(store: FeatureStore, shard: int, *arguments: object) -> None:
        nonlocal phase
        assert store.done(shard) is None
        if log is not None:
            with Path(log).open("a") as stream:
                stream.write(f"{shard}\n")
        while shard == hang_at:
            time.sleep(1)
        phase = "shard"
        write(store, shard, *arguments)

    def hook(event: str, arguments: object) -> None:
        if event.startswith(("open", "os.", "fcntl", "shutil")):
            events[phase] += 1
            so_far = {"start": events["start"] + events["shard"], "shard": events["shard"]}
            if die_at is not None and so_far[str(die_at[0])] == die_at[1]:
                os.kill(os.getpid(), signal.SIGKILL)

    FeatureStore.write_shard = noted
    sys.addaudithook(hook)
    tiny.extract(part)
    if count is not None:
        Path(count).write_text(json.dumps(events))


def serve() -> None:
    import numpy as np

    from heap.cache import extract
    from heap.encoders.descriptors import Descriptors
    from heap.settings.models import DescriptorEncoder

    Descriptors(DescriptorEncoder(kind="descriptors")).encode(np.zeros((1, 16, 16, 3), np.uint8))  # imports for all
    # Waiting shorter than on a cluster, so that tests are quick.
    extract.claim.__defaults__ = (0.02,)
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        if what == "start":
            job = os.fork()
            if job == 0:
                status = 1
                try:
                    sys.stdin.close()
                    child(*arguments)
                    status = 0
                finally:
                    if status:
                        traceback.print_exc()
                    os._exit(status)
            print(job, flush=True)
        else:
            _, status = os.waitpid(arguments[0], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)


@pytest.fixture(scope="session")
def farm() -> Iterator[Farm]:
    made = Farm()
    yield made
    made.close()


if __name__ == "__main__":
    serve()
