"""Opening a store that is not there, not whole or not the receipt's is refused, with what to run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_cache import Tiny

from heap.cache.notes import note_path
from heap.cache.reader import FeatureReader
from heap.errors import CacheError, DataError
from heap.files import read_json, write_json


@pytest.fixture
def copy(made: Tiny, tmp_path: Path) -> FeatureReader:
    shutil.copytree(made.features, tmp_path / "features")
    return FeatureReader(tmp_path / "features/set.json")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (shutil.rmtree, r"\.zarr: no feature store \(store\.json is missing\); run extract again"),
        (lambda folder: note_path(folder, 1).unlink(), r"shards \[1\] are missing or not whole.*heap cache verify"),
        (lambda folder: (folder / "features/c/2/0").unlink(), r"shards \[2\] are missing or not whole"),
        (lambda folder: (folder / "cls/c/0/0").write_bytes(b"cut"), r"shards \[0\] are missing or not whole"),
        (lambda folder: note_path(folder, 0).write_text("{"), r"0\.json: not readable as JSON"),
        (lambda folder: (folder / "images.parquet").write_bytes(b"?"), r"images\.parquet: is gone or damaged"),
    ],
    ids=["gone", "no note", "deleted", "cut", "torn note", "plan"],
)
def test_a_store_that_is_not_whole_is_refused(copy: FeatureReader, damage: Callable[[Path], object], said: str) -> None:
    damage(copy.folder)
    with pytest.raises((CacheError, DataError), match=said):
        FeatureReader(copy.path)


@pytest.mark.parametrize(("key", "value"), [("dim", 7), ("shards", 99), ("heads", 3), ("patch_px", 9)])
def test_a_receipt_of_another_store_is_refused(copy: FeatureReader, key: str, value: int) -> None:
    write_json(copy.path, {**read_json(copy.path), key: value})
    with pytest.raises(CacheError, match=rf"set\.json: is the receipt of another store \({key} {value}, "):
        FeatureReader(copy.path)


def test_no_receipt_and_a_foreign_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.json: no such file"):
        FeatureReader(tmp_path / "x.json")
    write_json(tmp_path / "x.json", {"loss": 1})
    with pytest.raises(CacheError, match="not the receipt of a feature store"):
        FeatureReader(tmp_path / "x.json")


def test_a_shard_deleted_while_the_reader_is_open_is_no_nan(copy: FeatureReader) -> None:
    """Zarr would give its fill value for a file that is not there."""
    for name in ("features", "attention", "cls"):
        (copy.folder / name / "c/0/0").unlink()
    for read in (copy.features, copy.attention, copy.cls):
        with pytest.raises(CacheError, match=r"are damaged .*No such file.*heap cache verify --repair"):
            read(0)
    with pytest.raises(CacheError, match=r"are damaged .*No such file.*heap cache verify --repair"):
        copy.shard(0)
