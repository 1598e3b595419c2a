"""A clone of the repository whose path has a space in it, in which a user types commands."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import yaml
from workflow.running import LOGGER, REPOSITORY

from workflow import killing

CLONED = ("Snakefile", "workflow", "heap", "profiles", "envs")
KEPT = (*CLONED, "config")
# The report's two curves that tell how fast a training was.
SPEED = re.compile(rb'<figure><div role="img" aria-label="(photos_per_s|waiting_share) .*?</figure>', re.DOTALL)


class Clone:
    """A working folder with a configuration, and an environment whose Python can be told where to die.

    Args:
        folder: does not exist yet; the clone is a folder in it.
        config: what `config/config.yaml` will say.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = folder / "a clone"
        (self.folder / "config").mkdir(parents=True)
        for name in CLONED:
            (self.folder / name).symlink_to(REPOSITORY / name)
        (self.folder / "config/datasets.yaml").write_text("{}\n")  # all of it stands in the other file
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        self.bin = environment(folder / "environment")
        self.note, self.release = folder / "dying", folder / "release"
        self.orphans: list[Path] = []

    def type(self, command: str, *kill: dict[str, Any], code: int | None = 0) -> str:
        """Type one line of shell, as the README has it; returns what it printed.

        Args:
            command: the line.
            kill: how jobs of it shall die, see `killing`.
            code: exit status expected; None expects that it is killed.
        """
        path = os.pathsep.join([str(self.bin), os.environ["PATH"]])
        variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        variables |= {"PATH": path, "OMP_NUM_THREADS": "1"}
        orders = [{"note": str(self.note), "release": str(self.release), **order} for order in kill]
        variables[killing.ORDER] = json.dumps(orders)
        for stale in (self.note, self.release):
            stale.unlink(missing_ok=True)
        output = self.folder.parent / "output"
        with output.open("w") as stream:
            # `exec`, so that the process a terminal would know is Snakemake itself, the leader of its group.
            done = subprocess.run(
                ["bash", "-c", f"exec {command}"], cwd=self.folder, env=variables, stdout=stream, stderr=stream,
                start_new_session=True, timeout=1200, check=False,
            )  # fmt: skip
        if self.note.exists() and any(order["kind"] == "snakemake" for order in kill):
            self.orphans.append(Path("/proc", self.note.read_text()))
        text = output.read_text()
        expected = -signal.SIGKILL if code is None else code
        assert done.returncode == expected, f"{command} {kill}: {done.returncode}\n{text[-6000:]}"
        return text

    def wait_for_orphans(self) -> None:
        """Wait until the jobs that outlived their Snakemake have ended; pytest's timeout is the limit."""
        while any(map(alive, self.orphans)):
            time.sleep(0.05)

    def results(self) -> dict[str, bytes]:
        """Return every file that is promised to be the same after any history, by its path."""
        found = {}
        for top in ("results", "resources"):
            for path in sorted((self.folder / top).rglob("*")):
                name = path.relative_to(self.folder).as_posix()
                if path.is_file() and not path.name.startswith(".") and promised(name):
                    found[name] = SPEED.sub(b"", path.read_bytes()) if path.suffix == ".html" else path.read_bytes()
        return found

    def clear(self) -> None:
        """Make it a fresh clone again."""
        for path in self.folder.iterdir():
            if path.name not in KEPT:
                shutil.rmtree(path)


def alive(process: Path) -> bool:
    """Return whether a folder of /proc is of a process that runs; one that ended and was not waited for does not."""
    try:
        return "Z" not in (process / "stat").read_text().rsplit(")", 1)[-1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def promised(name: str) -> bool:
    """Return whether a file is the same in every run: all are but those that tell times."""
    # Logs, Snakemake's measurements, seconds that a part took, photos a second in the histories of training.
    return not (
        name.startswith(("results/logs/", "results/benchmarks/"))
        or ".parts/" in name
        or "progress" in name
        or (name.startswith(("results/head/", "results/heads/", "results/found/")) and name.endswith(".csv"))
    )


def environment(folder: Path) -> Path:
    """Make a virtual environment of the running one's packages, with `killing` loaded at the start; return its bin."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    # The line order is the order on sys.path; the last line is run, which is how coverage tools start too.
    packages_of_ours = f"import site; site.addsitedir({sysconfig.get_paths()['purelib']!r})"
    lines = [packages_of_ours, str(LOGGER), "import killing; killing.arm()"]
    shutil.copy(killing.__file__, packages / "killing.py")
    (packages / "killing.pth").write_text("\n".join(lines) + "\n")
    snakemake = folder / "bin/snakemake"
    snakemake.write_text(f"#!{folder}/bin/python\nfrom snakemake.cli import main\n\nmain()\n")
    snakemake.chmod(0o755)
    return folder / "bin"
