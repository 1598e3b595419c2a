"""The command line: help that teaches, one message for what is the user's to put right."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heap import __version__
from heap.cli import app
from heap.stages import STAGES, parser

REPOSITORY = Path(__file__).resolve().parents[1]


def heap(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "heap", *arguments], capture_output=True, text=True, check=False)


COMMANDS = (
    "show",
    "compare",
    "curves",
    "encoders",
    "check",
    "schema",
    "export",
    "predict",
    "search",
    "explain",
    "status",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_its_options(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    assert result.output.count("│") == 0 or "--help" in result.output
    assert f"{command}" in result.output


def test_commands_and_stages_are_listed_and_the_version_is_shown() -> None:
    text, stages = heap("--help").stdout, heap("stage", "--help").stdout
    assert all(command in text for command in COMMANDS)
    assert all(stage in stages for stage in STAGES)
    assert heap("--version").stdout.strip() == f"heap {__version__}"


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_of_the_table_is_a_function_with_as_many_arguments(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module, function = STAGES[name].run.split(":")
    known = list(inspect.signature(getattr(import_module(module), function)).parameters.values())
    given = STAGES[name].spec.split()
    assert len(given) <= len([one for one in known if one.kind is not one.KEYWORD_ONLY])
    assert all(one.default is not one.empty for one in known[len(given) :])
    assert STAGES[name].own_threads == ("cores" in [one.name for one in known])
    with pytest.raises(SystemExit):
        parser().parse_args([name, "--help"])
    text = capsys.readouterr().out
    assert all(f"--{option}" in text for option in STAGES[name].options)


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
