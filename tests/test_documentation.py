"""README and docs: configurations parse, commands and their options exist, links lead somewhere, examples run."""

from __future__ import annotations

import copy
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import yaml

from heap.cli import app
from heap.settings import parse
from heap.settings.config import read
from heap.settings.keys import all_keys

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
def test_files_of_the_project_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(
        r"(?<![\w./-])(?:heap|benchmarks|tests|envs|profiles|workflow|config)/[\w./-]*\w", page.read_text()
    )
    assert [name for name in named if not (REPOSITORY / name).exists()] == []


def overrides() -> list[tuple[str, list[str]]]:
    """Every `snakemake ... --config` line of the pages: its words after `--config`."""
    found = []
    for page, name in zip(PAGES, IDS, strict=True):
        for line in page.read_text().replace("\\\n", " ").splitlines():
            if "snakemake " in line and "--config " in line:
                after = line.partition("--config ")[2].partition("`")[0]
                words = [word for word in shlex.split(after, comments=True) if "=" in word]
                found.append((f"{name}: {after}", words))
    return found


@pytest.mark.parametrize(("line", "words"), overrides(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_key_that_a_page_sets_on_the_command_line_exists(line: str, words: list[str]) -> None:
    shipped = read(REPOSITORY / "config/config.yaml")
    for word in words:
        section, _, value = word.partition("=")
        shipped = merged(shipped, {section: yaml.safe_load(value)})
    assert words
    parse(shipped, line)


SECTIONS = (
    "encoders|models|train|datasets|collections|benchmarks|baselines|group|cluster|segment|pictures|evaluate|report"
)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_key_that_a_page_names_exists(page: Path) -> None:
    patterns = [key.pattern for key in all_keys()]
    for named in re.findall(rf"`((?:{SECTIONS})\.[A-Za-z_.]+)`", page.read_text()):
        # NAME and X stand for any name, as `*` does; so does the name of an entry.
        parts = named.split(".")
        if parts[0] in ("encoders", "models", "datasets", "collections", "benchmarks"):
            parts[1] = "*"
        key = ".".join(parts)
        assert any(one == key or one.startswith(f"{key}.") or key.startswith(f"{one}.") for one in patterns), named


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


@pytest.mark.slow
def test_the_site_loads_nothing_from_a_server(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    subprocess.run(build, cwd=REPOSITORY, check=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    for page in tmp_path.rglob("*.html"):
        assert not re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="?https?:[^>]*', page.read_text()), page
