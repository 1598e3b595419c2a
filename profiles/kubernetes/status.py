#!/usr/bin/env python3
"""Report to Snakemake how a Kubernetes Job stands: `status.py NAME` prints running, success or failed.

A Job that is not there any more has failed (somebody deleted it). Where the API does not answer, the job counts as
running and is asked for again.
"""

from __future__ import annotations

import subprocess
import sys


def main() -> None:
    """Print the state of the Job that is the only argument."""
    command = ["kubectl", "get", "job", sys.argv[1], "-o", "jsonpath={.status.succeeded}/{.status.failed}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"status.py: {done.stderr.strip()}", file=sys.stderr)
        print("failed" if "NotFound" in done.stderr else "running")
        return
    succeeded, failed = done.stdout.strip().split("/")
    print("success" if succeeded == "1" else "failed" if failed not in ("", "0") else "running")


if __name__ == "__main__":
    main()
