"""Run Snakemake through a scheduler as a user of a cluster would: a shipped profile with the site's lines filled in."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workflow.running import REPOSITORY, Run, environment

# Seconds until a test that waits for a scheduler says what it waited for.
PATIENCE_S = 240


def with_site(profile: str, site: dict[str, str], folder: Path) -> Path:
    """Copy a profile and set the site's lines as an administrator would, by hand: each stands there exactly once."""
    target = folder / profile
    target.mkdir(parents=True)
    for source in (REPOSITORY / "profiles" / profile).iterdir():
        (target / source.name).write_bytes(source.read_bytes())
        (target / source.name).chmod(source.stat().st_mode)
    path = target / "config.yaml"
    # Above the rule of dashes: the lines that are the site's.
    *above, rest = path.read_text().split("# -----", maxsplit=1)
    block = "# -----".join(above)
    for key, value in site.items():
        block, times = re.subn(rf"^  {key}: \S+", f"  {key}: {value}", block, flags=re.MULTILINE)
        assert times == 1, f"{path}: {key} stands {times} times among the site's lines"
    path.write_text("# -----".join([block, rest]))
    return target


class Submitted(Run):
    """A working folder whose jobs go through a scheduler."""

    def __init__(self, folder: Path, config: dict[str, Any], profile: Path, *options: str) -> None:
        super().__init__(folder, config)
        self.command = [
            sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"),
            "--directory", str(folder), "--configfile", str(folder / "config.yaml"),
            "--workflow-profile", str(profile), "--set-scatter", "extract=4", "--printshellcmds", *options,
        ]  # fmt: skip

    def submit(self, *targets: str, ok: bool = True) -> str:
        """Make targets; return what Snakemake said."""
        with self.submitting(*targets) as running:
            text, _ = running.communicate(timeout=PATIENCE_S)
        assert (running.returncode == 0) == ok, text[-6000:]
        return text

    @contextmanager
    def submitting(self, *targets: str) -> Iterator[subprocess.Popen[str]]:
        """Start Snakemake; if the test leaves before it ends, Ctrl-C makes it cancel its jobs."""
        running = subprocess.Popen(
            [*self.command, *targets], cwd=self.folder, env=environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=_heeds_ctrl_c,
        )  # fmt: skip
        try:
            yield running
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGINT)
                running.communicate(timeout=PATIENCE_S)


def _heeds_ctrl_c() -> None:
    """Undo what a shell does to `pytest &`: its children ignore SIGINT, and so would theirs."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def await_(what: str, found: Callable[[], Any]) -> Any:
    """Return the first true value of `found`."""
    for _ in range(4 * PATIENCE_S):
        if value := found():
            return value
        time.sleep(0.25)
    raise AssertionError(f"waited {PATIENCE_S} s for {what}")
