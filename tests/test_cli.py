"""The command line: help that teaches, one message for what is the user's to put right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heap import __version__
from heap.cli import app

STAGES = (
    "fetch", "weights", "manifest", "extract", "gather", "train", "group", "baseline", "cluster", "segment",
    "model", "evaluate", "seeds", "report",
)  # fmt: skip
REPOSITORY = Path(__file__).resolve().parents[1]


def heap(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "heap", *arguments], capture_output=True, text=True, check=False)


OTHERS = [
    "train-found",
    "method-masks",
    "show",
    "compare",
    "encoders",
    "check",
    "schema",
    "export",
    "predict",
    "search",
    "explain",
    "status",
]


@pytest.mark.parametrize("command", [*STAGES, *OTHERS])
def test_every_command_explains_itself_and_its_options(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    assert result.output.count("│") == 0 or "--help" in result.output
    assert f"{command}" in result.output


def test_all_stages_are_listed_and_the_version_is_shown() -> None:
    text = heap("--help").stdout
    assert all(stage in text for stage in STAGES)
    assert heap("--version").stdout.strip() == f"heap {__version__}"


def test_errors_of_the_user_are_one_message(tmp_path: Path) -> None:
    done = heap("check", str(tmp_path / "none.yaml"))
    assert done.returncode == 2
    assert done.stderr.startswith("heap: error: ")
    assert "none.yaml: no such file" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_shipped_config_is_right() -> None:
    done = heap("check", str(REPOSITORY / "config/config.yaml"))
    assert done.returncode == 0, done.stderr


def test_help_needs_no_heavy_module() -> None:
    code = "import sys, heap.cli; print([m for m in ('torch', 'timm', 'zarr', 'faiss', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
