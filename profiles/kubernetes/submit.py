#!/usr/bin/env python3
"""Submit one of Snakemake's job scripts as a Kubernetes Job: `submit.py SCRIPT` prints the Job's name.

The script lies on the volume that all pods mount. Its second line, `# properties = {...}`, is Snakemake's description
of the job; `job.yaml` next to this file is the Job with places for it.
"""

from __future__ import annotations

import json
import string
import subprocess
import sys
from pathlib import Path
from typing import Any


def job(template: str, script: Path) -> str:
    """Return the template with a job script's rule, cores, memory, time and GPUs filled in.

    Raises:
        KeyError: the template asks for something else.
        ValueError: the script has no line of properties.
    """
    mark = "# properties = "
    lines = [line for line in script.read_text().splitlines() if line.startswith(mark)]
    if not lines:
        raise ValueError(f"{script}: no line '{mark}...', not a job script of Snakemake's")
    properties: dict[str, Any] = json.loads(lines[0].removeprefix(mark))
    resources = properties["resources"]
    return string.Template(template).substitute(
        rule=properties["rule"].replace("_", "-"),  # names in Kubernetes have no underscore
        script=script.resolve(),
        cores=properties["threads"],
        mem_mb=resources["mem_mb"],
        runtime_s=60 * resources["runtime"],
        gpus=resources["gpu"],
    )


def main() -> None:
    """Create the Job of the script that is the only argument."""
    text = job(Path(__file__).with_name("job.yaml").read_text(), Path(sys.argv[1]))
    done = subprocess.run(
        ["kubectl", "create", "-f", "-", "-o", "name"], input=text, stdout=subprocess.PIPE, text=True, check=True
    )
    print(done.stdout.strip().removeprefix("job.batch/"))


if __name__ == "__main__":
    main()
