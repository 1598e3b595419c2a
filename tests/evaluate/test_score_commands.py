"""The commands teach: an example each, and one message for what is the user's to mend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heap.cli import app

COMMANDS = ("saliency", "discovery", "instances", "retrieval", "semantic")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example_of_itself(command: str) -> None:
    text = CliRunner().invoke(app, ["score", command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    assert "Example:" in text
    assert f"heap score {command} --pred" in text
    for option in ("--truth", "--out", "--per-image", "--bootstrap", "--seed", "--method", "--dataset"):
        assert option in text
    assert command in CliRunner().invoke(app, ["score", "--help"]).output


def test_comparing_shows_an_example_too() -> None:
    text = CliRunner().invoke(app, ["compare", "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    assert "heap compare results/" in text


def test_errors_are_one_message_without_a_traceback(tmp_path: Path) -> None:
    options = ["--pred", str(tmp_path), "--truth", str(tmp_path / "x")]
    command = [sys.executable, "-m", "heap", "score", "saliency", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"heap: error: {tmp_path / 'x'}: no such file or folder\n"
