"""Two processes and one output folder: they take turns, and a killed one blocks nobody."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from heap import locks
from heap.errors import DataError
from heap.locks import SWITCH, alone, alone_in

# Writes its name when it begins and when it ends, as a stage would its files; the first waits to be let go.
CHILD = """
import sys
from pathlib import Path
from heap.locks import alone

@alone("out")
def stage(out, name):
    with Path(name + ".began").open("w"), Path("log").open("a") as log:
        print(name, "begins", file=log, flush=True)
        sys.stdin.readline()
        print(name, "ends", file=log)

print("ready", flush=True)
stage(Path("masks/set.json"), sys.argv[1])
"""


def start(folder: Path, name: str) -> subprocess.Popen[str]:
    path = os.pathsep.join(filter(None, sys.path))
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, name], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def let_go(child: subprocess.Popen[str]) -> None:
    child.communicate("\n")
    assert child.returncode == 0


def wait_for(path: Path, child: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert child.poll() is None


def test_an_orphan_and_its_successor_take_turns(tmp_path: Path) -> None:
    orphan = start(tmp_path, "orphan")
    wait_for(tmp_path / "orphan.began", orphan)
    successor = start(tmp_path, "successor")
    assert not (tmp_path / "successor.began").exists()
    let_go(orphan)
    let_go(successor)
    log = (tmp_path / "log").read_text().splitlines()
    assert log == ["orphan begins", "orphan ends", "successor begins", "successor ends"]


def test_a_killed_process_blocks_nobody(tmp_path: Path) -> None:
    killed = start(tmp_path, "killed")
    wait_for(tmp_path / "killed.began", killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    let_go(start(tmp_path, "next"))


def test_a_file_system_without_locks_is_an_error_that_names_the_switch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*args: object, **options: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.FileLock, "acquire", refuses)
    with pytest.raises(DataError, match=rf"\.a\.lock: cannot be locked \(No locks available\).*{SWITCH}=off"):
        alone_in(tmp_path / "a").__enter__()
    monkeypatch.setenv(SWITCH, "off")
    with alone_in(tmp_path / "a"):
        pass


def test_a_decorated_stage_is_called_as_before(tmp_path: Path) -> None:
    @alone("out")
    def stage(out: Path, factor: int = 2) -> int:
        """Doc."""
        assert out.with_name(".a.lock").exists()
        return 3 * factor

    assert stage(tmp_path / "a.json") == 6
    assert stage(factor=1, out=tmp_path / "a.json") == 3
    assert stage.__doc__ == "Doc."
