#!/usr/bin/env python3
"""Report to Snakemake how a job stands: `status.py ID` prints running, success or failed.

Asks the scheduler whose commands are there: LSF (bjobs), SGE (qacct), else PBS (qstat). Where the scheduler itself does
not answer, the job counts as running and is asked for again: a server that restarts must not fail a week's jobs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys


def asked(*command: str) -> tuple[int, str, str]:
    """Run a command; return its exit status, output and complaints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def of_lsf(job: str) -> str:
    """`bjobs -noheader -o stat` says DONE, EXIT, or a state of a job that has not ended."""
    _, text, complaint = asked("bjobs", "-noheader", "-o", "stat", job)
    if not text.strip():
        return unsure(complaint, "is not found")
    return {"DONE": "success", "EXIT": "failed"}.get(text.strip(), "running")


def of_sge(job: str) -> str:
    """`qstat -j` knows waiting and running jobs, `qacct -j` those that have ended."""
    if asked("qstat", "-j", job)[0] == 0:
        return "running"
    status, text, complaint = asked("qacct", "-j", job)
    if status:
        return unsure(complaint, None)  # between the two, for some seconds, neither knows it
    fields = dict(re.findall(r"^(failed|exit_status)\s+(\d+)", text, re.MULTILINE))
    return "success" if fields == {"failed": "0", "exit_status": "0"} else "failed"


def of_pbs(job: str) -> str:
    """`qstat -x -f` says job_state F for a job that has ended, its Exit_status unless deleted in the queue."""
    _, text, complaint = asked("qstat", "-x", "-f", job)
    fields = dict(re.findall(r"^\s*(job_state|Exit_status) = (\S+)", text, re.MULTILINE))
    if "job_state" not in fields:
        return unsure(complaint, "Unknown Job Id")
    if fields["job_state"] not in ("F", "C"):  # C: Torque's
        return "running"
    return "success" if fields.get("Exit_status") == "0" else "failed"


def unsure(complaint: str, unknown: str | None) -> str:
    """Count a job as failed that the scheduler says is `unknown` to it, as running where it says anything else."""
    print(f"status.py: {complaint.strip() or 'no answer'}", file=sys.stderr)
    return "failed" if unknown is not None and unknown in complaint else "running"


def main() -> None:
    """Print the state of the job that is the only argument."""
    job = sys.argv[1]
    ask = of_lsf if shutil.which("bjobs") else of_sge if shutil.which("qacct") else of_pbs
    print(ask(job))


if __name__ == "__main__":
    main()
