"""Write the pinned environments from what is installed: `make pins` after testing an upgrade.

`constraints.txt` has the versions that were tested. Of them are made `lock.txt`, which `make` installs: files and their
hashes, for all platforms; and `heap.yaml`, which Snakemake builds with `--sdm conda`: what pyproject.toml names.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent / "pyproject.toml"


def conda_text(constraints: str) -> str:
    """Return heap.yaml: each dependency of pyproject.toml at the version that `constraints` pin."""
    pins = dict(line.split("==") for line in constraints.splitlines() if "==" in line)
    lines = []
    for dependency in tomllib.loads(PROJECT.read_text())["project"]["dependencies"]:
        name = re.match(r"[A-Za-z0-9_.-]+", dependency)[0]  # type: ignore[index]
        version = pins.get(name, pins.get("faiss-gpu"))
        marker = dependency.partition(";")[2].strip()
        lines.append(f'      - "{name}=={version}{"; " + marker if marker else ""}"')
    return (
        "# Written by envs/pin.py; do not edit. The environment of every rule under `snakemake --sdm conda`.\n"
        "# The package heap itself comes from this checkout (PYTHONPATH), so that an edit needs no new environment.\n"
        "channels:\n  - conda-forge\n  - nodefaults\ndependencies:\n"
        "  - python=3.11\n  - pip\n  - pip:\n" + "\n".join(lines) + "\n"
    )


def write_lock(constraints: str) -> None:
    """Write lock.txt: what the extra dev needs, for every platform, with hashes, at the versions of `constraints`.

    uv prefers the versions that a lock has already; it takes another one only where a platform or Python needs it.
    """
    lock = HERE / "lock.txt"
    lock.write_text(constraints)
    subprocess.run(
        [sys.executable, "-m", "uv", "--quiet", "pip", "compile", PROJECT, "--extra", "dev", "--universal",
         "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate", "--output-file", lock],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    header = "# Written by envs/pin.py; do not edit. For `pip install --require-hashes -r`, on any platform.\n"
    lock.write_text(header + lock.read_text())


def main() -> None:
    """Write the three files."""
    frozen = subprocess.run(
        [sys.executable, "-m", "pip", "freeze", "--exclude-editable", "--exclude", "heap-discovery"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    pins = [line for line in frozen.splitlines() if "==" in line]
    header = "# Written by envs/pin.py; do not edit. Exact versions that were tested, for `pip install -c`.\n"
    text = header + "\n".join(pins) + "\n"
    (HERE / "constraints.txt").write_text(text)
    (HERE / "heap.yaml").write_text(conda_text(text))
    write_lock(text)


if __name__ == "__main__":
    main()
