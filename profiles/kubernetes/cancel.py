#!/usr/bin/env python3
"""Delete Kubernetes Jobs, and so their pods: `cancel.py NAME...`, for Snakemake after Ctrl-C."""

from __future__ import annotations

import subprocess
import sys


def main() -> None:
    """Delete the Jobs that are the arguments, without waiting until they are gone."""
    subprocess.run(["kubectl", "delete", "job", "--wait=false", "--ignore-not-found", *sys.argv[1:]], check=True)


if __name__ == "__main__":
    main()
