"""A flipped bit in any file of a run is an error of ours, or changes nothing: no result changes in silence."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from discover.small import Trained

from heap import parquet, paths
from heap.cache.maps import MapReader
from heap.cache.reader import FeatureReader
from heap.cluster import index as region_index
from heap.cluster import table as cluster_table
from heap.data.masks import read_class_mask
from heap.discover.find import find
from heap.errors import HeapError
from heap.evaluate import tables
from heap.evaluate.tables import Figure
from heap.files import read_json
from heap.head import folder as heads
from heap.head.checkpoint import Checkpoint
from heap.settings.models import TrainSettings

FLIPS = 300 if os.environ.get("HEAP_FUZZ") else 5
STORE, MAPS = paths.features("scenes"), paths.maps("heap", "scenes")
METRICS = "results/tiny_metrics.csv"


def features(run: Path, _: Path) -> Any:
    reader = FeatureReader(run / STORE)
    arrays = [[reader.features(i), reader.attention(i), reader.cls(i)] for i in range(len(reader))]
    return reader.images.to_dict("list"), arrays


def maps(run: Path, _: Path) -> Any:
    reader = MapReader(run / MAPS)
    return reader.images.to_dict("list"), [[reader.foreground(i), reader.region(i)] for i in range(len(reader))]


def head(run: Path, _: Path) -> Any:
    module, description = heads.load(run / paths.head("demo"), "cpu")
    return description, {name: value.numpy() for name, value in module.state_dict().items()}


def json(_: Path, path: Path) -> Any:
    # Without the checksum itself, whose name was hit: all else is whole.
    return {key: value for key, value in read_json(path).items() if len(key) != 8 or len(str(value)) != 64}


def searched(run: Path, path: Path) -> Any:
    index = region_index.read(path, cluster_table.read(run / paths.clusters("scenes")).info["index"]["sha256"])
    return index.search(np.eye(3, index.d, dtype=np.float32), 3)


# What reads a file: the first pattern that its path below the run matches.
READ: list[tuple[str, Callable[[Path, Path], Any]]] = [
    (f"{STORE.removesuffix('.json')}/*.zarr/**/*", features),
    (f"{MAPS.removesuffix('.json')}/*.zarr/**/*", maps),
    ("**/clusters.safetensors", lambda run, path: find(path.parent).identity),
    (f"{paths.model('demo').removesuffix('.json')}/head.safetensors", lambda run, path: find(path.parent).identity),
    ("**/head.safetensors", head),
    ("**/survey.safetensors", lambda run, path: heads.read_survey(path)),
    (METRICS, lambda run, path: tables.read(path).to_dict("list")),
    ("**/*.json", json),
    ("**/*.faiss", searched),
    ("**/*.png", lambda run, path: read_class_mask(path)),
    ("**/*.parquet", lambda run, path: parquet.read(path, "a table").to_pylist()),
]
# Empty files; histories of trainings, which become curves and hold times, so that no receipt can have their checksum.
NOT_READ = ("**/.*.lock", "**/*.csv", "**/README.md")


@pytest.fixture(scope="module")
def run(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a whole run, with a table of metrics."""
    folder = tmp_path_factory.mktemp("flips") / "run"
    shutil.copytree(trained.folder, folder)
    tables.write(folder / METRICS, [Figure("scenes", "saliency", "heap", "multi", "iou", 1 / 3, 4, 0, 0)], {})
    return folder


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, b, equal_nan=True))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return bool(a == b) or (a != a and b != b)


def matches(relative: Path, pattern: str) -> bool:
    """As `Path.full_match` of Python 3.13: `**` is any number of folders."""
    folder, _, name = pattern.rpartition("**/")
    head = folder.rstrip("/")
    inside = not head or any(one.match(head) and one.parts[0] == Path(head).parts[0] for one in relative.parents)
    return inside and relative.match(name) if "**/" in pattern else relative.match(pattern)


def test_every_file_of_a_run_is_read_by_a_reader_of_ours(run: Path) -> None:
    for path in (run / "results").rglob("*"):
        if path.is_file():
            relative = path.relative_to(run)
            assert any(matches(relative, pattern) for pattern in (*NOT_READ, *(p for p, _ in READ))), relative


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in READ])
def test_no_flipped_bit_changes_a_result_in_silence(run: Path, pattern: str) -> None:
    chance, read = random.Random(pattern), dict(READ)[pattern]
    mine = []
    for path in sorted((run / "results").rglob("*")):
        relative = path.relative_to(run)
        first = next((p for p, _ in READ if matches(relative, p)), None)
        if path.is_file() and first == pattern:
            mine.append(path)
    assert mine, "a pattern that stands for no file"
    noticed = 0
    for path in chance.sample(mine, min(len(mine), 2 * FLIPS)):
        good, expected = path.read_bytes(), read(run, path)
        for _ in range(FLIPS):
            flipped = bytearray(good)
            flipped[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
            path.write_bytes(flipped)
            try:
                assert same(expected, read(run, path)), path
            except HeapError:
                noticed += 1
            finally:
                path.write_bytes(good)
    assert noticed


def test_a_patch_map_whose_chunk_is_gone_is_no_empty_mask(trained: Trained, tmp_path: Path) -> None:
    for name in ("foreground", "region"):
        folder = tmp_path / name
        shutil.copytree(trained.folder / "results/maps", folder / "results/maps")
        (chunk,) = (folder / MAPS).with_suffix("").glob(f"*.zarr/{name}/c/0")
        chunk.unlink()
        reader = MapReader(folder / MAPS)
        with pytest.raises(HeapError, match=r"the map of .* is gone, or was never written"):
            reader.foreground(0) if name == "foreground" else reader.region(0)


def test_a_training_goes_on_from_what_was_saved_or_not_at_all(trained: Trained, tmp_path: Path) -> None:
    """torch itself loads a damaged archive without a word."""
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "x")
    head, description = heads.load(trained.path(paths.head("demo")), "cpu")
    settings = TrainSettings.model_validate(description["train"])
    checkpoint.write(3, head, torch.optim.SGD(head.parameters(), 0.1), [], settings, None)
    good, chance = checkpoint.path.read_bytes(), random.Random(0)
    assert checkpoint.read() is not None
    for _ in range(FLIPS):
        flipped = bytearray(good)
        flipped[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
        checkpoint.path.write_bytes(flipped)
        with pytest.raises(HeapError, match=r"checkpoint\.pt: damaged"):
            checkpoint.read()
