"""README and docs: configurations parse, commands and their options exist, links lead somewhere, examples run."""

from __future__ import annotations

import copy
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import yaml

from heap.cli import app
from heap.settings import parse
from heap.settings.config import read

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
IDS = [str(page.relative_to(REPOSITORY)) for page in PAGES]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    for key, value in change.items():
        base[key] = merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
    return base


def commands() -> list[tuple[str, list[str]]]:
    """Every `heap ...` line of the pages, as words."""
    found = []
    for page, name in zip(PAGES, IDS, strict=True):
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("heap "):
                    found.append((f"{name}: {line}", shlex.split(line, comments=True)[1:]))
    return found


@pytest.mark.parametrize(("line", "words"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_and_option_of_the_pages_exists(line: str, words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):  # a group
        name = words.pop(0)
        if name.startswith("-") or name.isupper():
            return
        assert name in command.commands, line
        command = command.commands[name]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, line


@pytest.mark.parametrize("page", sorted((REPOSITORY / "docs/howto").glob("*.md")), ids=lambda page: page.stem)
def test_configurations_of_the_how_to_pages_are_valid(page: Path) -> None:
    shipped = read(REPOSITORY / "config/config.yaml")
    for block in blocks(page, "yaml"):
        change = yaml.safe_load(block)
        if page.stem != "cluster":  # whose blocks are lines of profiles
            shipped = merged(copy.deepcopy(shipped), change)
            parse(shipped, str(page))


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), target


def test_the_baseline_of_the_how_to_page_runs() -> None:
    from heap.baselines.patches import Answer, Patches

    (example,) = [block for block in blocks(REPOSITORY / "docs/howto/baseline.md", "text") if "def " in block]
    names: dict[str, Any] = {"np": np, "Patches": Patches, "Answer": Answer}
    exec(example, names)
    features = np.array([[1, 0], [3, 4], [0, 1], [0, 2]], np.float32)
    photo = Patches.__new__(Patches)
    object.__setattr__(photo, "features", features)

    assert names["brightest"](photo).foreground.tolist() == [0, 1, 0, 0]
