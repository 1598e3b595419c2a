"""Damaged and hostile files: whatever is in them, a reader answers with a value or with an error of ours.

Quick and the same every time in the suite; `HEAP_FUZZ=1 pytest tests/fuzz` looks longer, at other damage each time.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path

import pytest
import yaml
from discover.small import Trained
from fuzz.mutations import as_json, damaged, twisted
from fuzz.readers import Reader, readers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heap.errors import HeapError

LONG = bool(os.environ.get("HEAP_FUZZ"))
BYTES, VALUES = (1500, 3000) if LONG else (12, 25)


@pytest.fixture(scope="session")
def every(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> list[Reader]:
    return readers(trained, tmp_path_factory.mktemp("files"))


def survives(reader: Reader, content: bytes) -> None:
    """Read a damaged copy; any error that is not one of ours ends the test."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in").mkdir()
        path = reader.place(Path(folder) / "in", content)
        with contextlib.suppress(HeapError):
            reader.read(path)


def search(reader: Reader, contents: st.SearchStrategy[bytes], examples: int) -> None:
    @settings(
        max_examples=examples, derandomize=not LONG, database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(contents)
    def check(content: bytes) -> None:
        survives(reader, content)

    check()


def test_the_whole_files_are_read(every: list[Reader]) -> None:
    """Else the tests below would look at the first error only."""
    for reader in every:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "in").mkdir()
            path = reader.place(Path(folder) / "in", reader.file.read_bytes())
            if reader.name == "receipt of weights":
                continue  # of a file that is not there
            reader.read(path)


NAMES = [
    "manifest", "voc", "coco", "config", "checkpoint of an encoder (pth)", "checkpoint of an encoder (safetensors)",
    "head", "checkpoint of a training", "receipt of a training", "receipt of fetching", "receipt of weights",
    "receipt of features", "receipt of a part", "plan of a store", "description of a store", "receipt of maps",
    "plan of maps", "table of regions", "table of clusters", "masks as COCO", "mask", "class mask", "photo",
    "model", "zip", "tar", "history", "metrics", *(f"frozen settings of {stage}" for stage in (
        "fetch", "manifest", "extract", "train", "select", "group", "cluster", "segment",
        "model")),
]  # fmt: skip


def test_every_reader_is_named(every: list[Reader]) -> None:
    assert [reader.name for reader in every] == NAMES


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_damaged_bytes(every: list[Reader], name: str) -> None:
    reader = every[NAMES.index(name)]
    search(reader, damaged(reader.file.read_bytes()), BYTES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in NAMES if name.startswith(("receipt", "frozen", "coco", "masks", "model", "description"))]
)
def test_other_values(every: list[Reader], name: str) -> None:
    reader = every[NAMES.index(name)]
    content = json.loads(reader.file.read_text())
    search(reader, twisted(content).map(as_json), VALUES)


@pytest.mark.slow
def test_other_values_in_the_config(every: list[Reader]) -> None:
    reader = every[NAMES.index("config")]
    content = yaml.safe_load(reader.file.read_text())

    def text(value: object) -> bytes:
        return yaml.safe_dump(value).encode("utf-8", "surrogatepass")

    search(reader, twisted(content).map(text), VALUES)
