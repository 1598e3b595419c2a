"""Shards read straight into memory: the same rows as zarr's, and no damage passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zarr.codecs import Crc32cCodec, ZstdCodec

from heap.cache import raw
from heap.cache.raw import RawShards, fast

SHARDS, CHUNKS, ROWS, WIDTH = 3, 5, 7, 4
TOTAL = SHARDS * CHUNKS * ROWS


def written(folder: Path, dtype: str = "float16", **changes: Any) -> tuple[Any, np.ndarray]:
    shape = {"chunks": (ROWS, WIDTH), "shards": (CHUNKS * ROWS, WIDTH)} | changes
    array = zarr.create_array(
        folder, shape=(TOTAL, WIDTH), dtype=dtype, filters=None, fill_value=0,
        **({"compressors": [Crc32cCodec()], "config": {"write_empty_chunks": True}} | shape),
    )  # fmt: skip
    values = np.random.default_rng(0).integers(0, 200, (TOTAL, WIDTH)).astype(dtype)
    array[:] = values
    return zarr.open_array(folder, mode="r"), values


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[RawShards, np.ndarray]:
    folder = tmp_path_factory.mktemp("raw") / "a"
    array, values = written(folder)
    assert isinstance(fast(array, folder), RawShards)
    return RawShards(array, folder), values


@given(st.integers(0, TOTAL), st.integers(0, TOTAL))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_any_rows_are_those_that_were_written(store: tuple[RawShards, np.ndarray], a: int, b: int) -> None:
    rows, values = store
    np.testing.assert_array_equal(rows[a:b], values[a:b])


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8"])
def test_each_type_of_the_cache_is_read_raw(tmp_path: Path, dtype: str) -> None:
    array, values = written(tmp_path / "a", dtype)
    rows = fast(array, tmp_path / "a")
    assert isinstance(rows, RawShards)
    assert rows[3:40].dtype == np.dtype(dtype)
    np.testing.assert_array_equal(rows[3:40], values[3:40])


@pytest.mark.parametrize(
    "changes",
    [{"shards": None}, {"compressors": [ZstdCodec(level=1)]}, {"compressors": None}, {"chunks": (ROWS, 2)}],
)
def test_other_layouts_are_left_to_zarr(tmp_path: Path, changes: dict[str, Any]) -> None:
    array, values = written(tmp_path / "a", **changes)
    assert fast(array, tmp_path / "a") is array
    np.testing.assert_array_equal(fast(array, tmp_path / "a")[3:40], values[3:40])


def test_short_reads_are_continued(store: tuple[RawShards, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    rows, values = store
    real = raw.os.preadv

    def short(file: int, buffers: list[memoryview], offset: int) -> int:
        return real(file, [buffers[0][:5]], offset)

    monkeypatch.setattr(raw.os, "preadv", short)
    np.testing.assert_array_equal(rows[:], values)


def test_chunks_that_zarr_did_not_store_hold_the_fill_value(tmp_path: Path) -> None:
    array, values = written(tmp_path / "a", config=None)
    values[ROWS : 3 * ROWS] = 0
    zarr.open_array(tmp_path / "a", mode="r+")[: CHUNKS * ROWS] = values[: CHUNKS * ROWS]
    assert (tmp_path / "a" / "c" / "0" / "0").stat().st_size < (tmp_path / "a" / "c" / "1" / "0").stat().st_size
    np.testing.assert_array_equal(RawShards(array, tmp_path / "a")[5:50], values[5:50])


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    array, _ = written(tmp_path / "a")
    rows = RawShards(array, tmp_path / "a")
    path = tmp_path / "a" / "c" / "1" / "0"
    whole = path.read_bytes()
    assert len(whole) == CHUNKS * (ROWS * WIDTH * 2 + 4) + 16 * CHUNKS + 4
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError, match="checksum"):
            rows[CHUNKS * ROWS : 2 * CHUNKS * ROWS]
    rows[: CHUNKS * ROWS]  # its neighbours are whole


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_a_cut_shard_is_found(tmp_path: Path, keep: int) -> None:
    array, _ = written(tmp_path / "a")
    path = tmp_path / "a" / "c" / "1" / "0"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"cut|checksum"):
        RawShards(array, tmp_path / "a")[:]


def test_a_missing_shard_is_an_error_and_no_fill_value(tmp_path: Path) -> None:
    array, _ = written(tmp_path / "a")
    (tmp_path / "a" / "c" / "1" / "0").unlink()
    with pytest.raises(FileNotFoundError):
        RawShards(array, tmp_path / "a")[:]
