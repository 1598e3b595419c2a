"""The repository itself: pins, environments and licence of what is shipped stay in step."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "envs"))

from pin import conda_text  # noqa: E402


def dependencies() -> list[Requirement]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    found = [Requirement(text) for text in (*project["dependencies"], *extras["dev"], *extras["cluster"])]
    return [one for one in found if one.name != project["name"]]  # an extra may name another one


def test_every_dependency_is_pinned_within_its_range() -> None:
    lines = (REPOSITORY / "envs/constraints.txt").read_text().splitlines()
    pins = {re.sub(r"[-_.]+", "-", n).lower(): v for n, v in (line.split("==") for line in lines if "==" in line)}
    for dependency in dependencies():
        if dependency.name == "faiss-cpu":
            continue  # Linux x86-64, where the pins were made, has faiss-gpu
        pinned = pins[re.sub(r"[-_.]+", "-", dependency.name).lower()]
        assert dependency.specifier.contains(pinned), dependency


def test_the_lock_has_the_pinned_versions_and_hashes() -> None:
    text = (REPOSITORY / "envs/lock.txt").read_text()
    locked: dict[str, set[str]] = {}
    for name, version, rest in re.findall(r"^([\w.-]+)==([^\s;]+)(.*(?:\n    .*)*)", text, re.MULTILINE):
        locked.setdefault(re.sub(r"[-_.]+", "-", name).lower(), set()).add(version)
        assert "--hash=sha256:" in rest, name
    assert {re.sub(r"[-_.]+", "-", one.name).lower() for one in dependencies()} <= set(locked), "run `make pins`"
    for line in (REPOSITORY / "envs/constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        assert version in locked.get(re.sub(r"[-_.]+", "-", name).lower(), {version}), f"{name}: run `make pins`"


def test_the_conda_environment_has_the_pinned_versions() -> None:
    constraints = (REPOSITORY / "envs/constraints.txt").read_text()
    assert (REPOSITORY / "envs/heap.yaml").read_text() == conda_text(constraints), "run `make pins`"


@pytest.mark.slow
def test_the_package_is_found_from_the_folder_above_a_clone_of_its_name(tmp_path: Path) -> None:
    clone, installed = tmp_path / "heap", tmp_path / "installed"
    for name in ("heap", "workflow/logger"):
        shutil.copytree(REPOSITORY / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, clone)
    backend = tomllib.loads((clone / "pyproject.toml").read_text())["build-system"]["build-backend"]
    build = f"import {backend} as backend; print(backend.build_editable('..'))"
    wheel = subprocess.run([sys.executable, "-c", build], cwd=clone, check=True, capture_output=True, text=True).stdout
    with zipfile.ZipFile(tmp_path / wheel.splitlines()[-1]) as packed:
        packed.extractall(installed)
    # The current folder comes first, as for a script or a notebook there.
    look = f"import site; site.addsitedir({str(installed)!r}); import heap; print(heap.__version__, heap.__file__)"
    found = subprocess.run([sys.executable, "-IS", "-c", f"import sys; sys.path[:0] = ['']; {look}"], cwd=tmp_path,
                           check=True, capture_output=True, text=True).stdout  # fmt: skip
    assert found.split()[1] == str(clone / "heap/__init__.py")
