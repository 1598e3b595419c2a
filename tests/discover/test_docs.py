"""docs/tutorials/python.md: every example runs, in its order, from Python and from the shell."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from discover.small import REPOSITORY, Trained
from typer.testing import CliRunner

from heap.cli import app

TEXT = (REPOSITORY / "docs/tutorials/python.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("docs")
    for name in ("resources", "results"):
        shutil.copytree(trained.path(name), here / name)
    shutil.copy(trained.photos / "val_0001.jpg", here / "photo.jpg")
    shutil.copy(trained.photos / "val_0002.jpg", here / "other.jpg")
    return here


def test_the_python_examples_run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    examples = blocks("python")
    assert len(examples) == 9
    for number, example in enumerate(examples, start=1):
        exec(compile(example, f"docs/tutorials/python.md, example {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert "<heap.Model demo: descriptors (hand-made, no training), 3 clusters" in printed
    assert "no such photo.jpg" in printed
    assert (folder / "objects.png").is_file()


def test_the_shell_examples_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (example,) = blocks("sh")
    for line in example.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "heap"
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, (line, done.output, done.exception)
    for name in ("demo-model/model.json", "found/instances.json", "found/masks/other.png", "near.csv", "near.png"):
        assert (folder / name).is_file(), name
