#!/usr/bin/env python3
"""A scheduler as small as it can be, in place of PBS's qsub, qstat and qdel and of kubectl, which no test machine has.

Of Slurm it plays no more than what Snakemake asks before its first job; test_slurm.py runs the real one.

Called under the name of the command it stands for. Jobs are files below $STAND_IN: `ID.json` says what was asked,
`ID.pid` which process group runs it, `ID.exit` how it ended, `ID.asked-for` that its state was. Two run at
once; none starts while `paused` is there.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ["STAND_IN"])
SLOTS = 2
CANCELLED = 271  # PBS's exit status of a job that was deleted: 256 and the signal


def submit(script: str, asked: list[str]) -> str:
    """Queue a script; return its id."""
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        job = f"{len(list(FOLDER.glob('*.json'))) + 1}.standin"
        (FOLDER / f"{job}.json").write_text(json.dumps({"script": script, "asked": asked}))
    # Its own session, as a daemon's children are: what ends Snakemake must not end the job too.
    subprocess.Popen(
        [sys.executable, __file__, "run", job], start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return job


def run(job: str) -> None:
    """Wait for a free slot, then run the job's script to its end."""
    while True:
        for slot in range(SLOTS):
            if ended(job) is not None:
                return  # deleted while it waited
            with (FOLDER / f"slot{slot}").open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                if (FOLDER / "paused").exists():
                    continue
                script = json.loads((FOLDER / f"{job}.json").read_text())["script"]
                with (FOLDER / f"{job}.out").open("w") as out:
                    child = subprocess.Popen(["/bin/sh", script], stdout=out, stderr=out, start_new_session=True)
                (FOLDER / f"{job}.pid").write_text(str(child.pid))
                status = child.wait()
                if ended(job) is None:
                    end(job, status)
                return
        time.sleep(0.1)


def ended(job: str) -> int | None:
    path = FOLDER / f"{job}.exit"
    return int(path.read_text()) if path.exists() else None


def end(job: str, status: int) -> None:
    half = FOLDER / f"{job}.exit.tmp"
    half.write_text(str(status))
    half.rename(FOLDER / f"{job}.exit")


def cancel(jobs: list[str]) -> None:
    for job in jobs:
        if ended(job) is not None:
            continue
        end(job, CANCELLED)
        pid = FOLDER / f"{job}.pid"
        if pid.exists():
            os.killpg(int(pid.read_text()), signal.SIGKILL)


def qsub(arguments: list[str]) -> None:
    print(submit(arguments[-1], arguments[:-1]))


def qdel(arguments: list[str]) -> None:
    cancel(arguments)


def qstat(arguments: list[str]) -> None:
    """`qstat -x -f ID`, in the form that PBS prints."""
    job = arguments[-1]
    if not (FOLDER / f"{job}.json").exists():
        sys.exit(f"qstat: Unknown Job Id {job}")
    status = ended(job)
    started = (FOLDER / f"{job}.pid").exists()
    state = "F" if status is not None else "R" if started else "Q"
    print(f"Job Id: {job}\n    Job_Name = heap\n    job_state = {state}")
    if status is not None and started:
        print(f"    Exit_status = {status}")
    (FOLDER / f"{job}.asked-for").touch()


def kubectl(arguments: list[str]) -> None:
    """`create -f -`, `get job NAME` and `delete job NAME...`; the container's command is run on this machine."""
    if arguments[0] == "create":
        manifest = sys.stdin.read()
        command = re.search(r'command: \["/bin/sh", "(.+)"\]', manifest)
        assert command, manifest
        print(f"job.batch/{submit(command[1], [manifest])}")
    elif arguments[0] == "get":
        if not (FOLDER / f"{arguments[2]}.json").exists():
            sys.exit(f'Error from server (NotFound): jobs.batch "{arguments[2]}" not found')
        status = ended(arguments[2])
        print("1/" if status == 0 else "/" if status is None else "/1")
    elif arguments[:2] == ["delete", "job"]:
        cancel([name for name in arguments[2:] if not name.startswith("--")])
    else:
        sys.exit(f"stand-in: kubectl {arguments[0]} is not played")


def sinfo(arguments: list[str]) -> None:
    """`sinfo --noheader --exact -p PARTITION -o ...`: what stands in the file of the partition."""
    nodes = FOLDER / f"{arguments[arguments.index('-p') + 1]}.nodes"
    print(nodes.read_text() if nodes.exists() else "", end="")


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        run(sys.argv[2])
    else:
        played = {"qsub": qsub, "qstat": qstat, "qdel": qdel, "kubectl": kubectl, "sinfo": sinfo}
        played |= dict.fromkeys(("squeue", "scontrol"), print)
        played[Path(sys.argv[0]).name](sys.argv[1:])
