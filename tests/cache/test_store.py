"""The store: whole shards, checksums that hold, damage that is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heap.cache.maps import MapReader, write_maps
from heap.cache.plan import plan
from heap.cache.reader import FeatureReader, store_folder
from heap.cache.store import FeatureStore, to_float16
from heap.errors import CacheError
from heap.files import write_json

DIM, HEADS = 5, 2


def write_store(folder: Path, photos: int = 40, skip: str = "") -> tuple[FeatureReader, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in range(photos)], "path": "x.jpg", "split": "",
            "height_px": rng.integers(8, 60, photos), "width_px": rng.integers(8, 60, photos),
        }
    )  # fmt: skip
    layout = plan(rows, 8, DIM * 2, lambda h, w: (h, w))
    store = FeatureStore.create(store_folder(folder / "set", "abc"), layout, DIM, HEADS, {"fingerprint": "abc"})
    values: dict[str, np.ndarray] = {}
    for shard in range(layout.shards):
        features = np.full((layout.rows_per_shard, DIM), np.nan, np.float16)
        attention = np.full((layout.rows_per_shard, HEADS), np.nan, np.float32)
        cls = np.full((layout.slots_per_shard, DIM), np.nan, np.float32)
        for photo in layout.of_shard(shard).itertuples():
            n = photo.grid_h * photo.grid_w
            values[photo.image_id] = rng.normal(size=(n, DIM)).astype(np.float16)
            start = photo.offset - shard * layout.rows_per_shard
            features[start : start + n] = values[photo.image_id]
            attention[start : start + n] = 0.5
            cls[photo.slot - shard * layout.slots_per_shard] = photo.Index
        mine = set(layout.of_shard(shard)["image_id"])
        store.write_shard(
            shard, features, attention, cls, [{"image_id": skip, "reason": "torn"}] if skip in mine else []
        )
    write_json(
        folder / "set.json",
        {
            "dataset": "set", "fingerprint": "abc", "encoder": "none", "patch_px": 8, "dim": DIM, "heads": HEADS,
            "attention_kind": "cls", "weights": {"source": "random"}, "rows_per_shard": layout.rows_per_shard,
            "skipped": store.skipped(), "shards": layout.shards,
        },
    )  # fmt: skip
    return FeatureReader(folder / "set.json"), values


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    reader, values = write_store(tmp_path)
    assert reader.receipt.shards > 1
    for i, name in enumerate(reader.images["image_id"]):
        np.testing.assert_array_equal(reader.features(i), values[name].astype(np.float32))
        assert reader.attention(i).shape == (reader.patches(i), HEADS)
        assert reader.cls(i).tolist() == [i] * DIM


def test_a_shard_read_whole_is_its_photos(tmp_path: Path) -> None:
    reader, values = write_store(tmp_path)
    features, _, start = reader.shard(1)
    photo = reader.images[reader.images["shard"] == 1].iloc[0]
    first = photo["offset"] - start
    np.testing.assert_array_equal(features[first : first + len(values[photo["image_id"]])], values[photo["image_id"]])


def test_skipped_photos_are_not_listed(tmp_path: Path) -> None:
    reader, _ = write_store(tmp_path, skip="i7")
    assert "i7" not in set(reader.images["image_id"])
    assert len(reader) == 39
    assert [item.as_json() for item in reader.receipt.skipped] == [{"image_id": "i7", "reason": "torn"}]


def test_one_flipped_byte_is_found(tmp_path: Path) -> None:
    reader, _ = write_store(tmp_path)
    shard = next(p for p in (reader.folder / "features" / "c").rglob("*") if p.is_file())
    data = bytearray(shard.read_bytes())
    data[10] ^= 1
    shard.write_bytes(bytes(data))
    with pytest.raises(CacheError, match="damaged"):
        [reader.features(i) for i in range(len(reader))]


def test_a_missing_shard_is_known(tmp_path: Path) -> None:
    reader, _ = write_store(tmp_path)
    (reader.folder / "shards" / "2.json").unlink()
    layout = plan(reader.images, 8, DIM * 2, lambda h, w: (h, w))
    assert FeatureStore(reader.folder, layout).missing() == [2]


def test_a_store_of_another_layout_is_refused(tmp_path: Path) -> None:
    reader, _ = write_store(tmp_path)
    layout = plan(reader.images, 8, DIM * 2, lambda h, w: (h, w))
    with pytest.raises(CacheError, match="expected"):
        FeatureStore.create(reader.folder, layout, DIM + 1, HEADS, {"fingerprint": "abc"})


@pytest.mark.parametrize("value", [np.nan, np.inf, 70000.0, -70000.0])
def test_values_float16_cannot_hold_are_refused(value: float) -> None:
    with pytest.raises(CacheError, match=r"photo\.jpg"):
        to_float16(np.array([[1.0, value]], np.float32), "photo.jpg")


def test_maps_are_read_back_photo_by_photo(tmp_path: Path) -> None:
    reader, _ = write_store(tmp_path)
    rng = np.random.default_rng(1)
    maps = [
        (rng.random(reader.patches(i)).astype(np.float32), rng.integers(0, 9, reader.patches(i)).astype(np.int16))
        for i in range(len(reader))
    ]
    receipt = tmp_path / "maps" / "set.json"
    write_maps(receipt, reader, "heap", iter(maps), {"head": "h"})
    found = MapReader(receipt)
    for i, (foreground, region) in enumerate(maps):
        np.testing.assert_array_equal(found.foreground(i).ravel(), foreground)
        np.testing.assert_array_equal(found.region(i).ravel(), region)
    write_maps(receipt, reader, "heap", iter(maps), {"head": "other"})
    assert len(list((tmp_path / "maps" / "set").glob("*.zarr"))) == 1, "maps of the old head are gone"


def test_too_few_maps_are_an_error_and_leave_no_receipt(tmp_path: Path) -> None:
    reader, _ = write_store(tmp_path)
    with pytest.raises(CacheError, match="patches were given"):
        write_maps(tmp_path / "m.json", reader, "heap", iter([(np.zeros(reader.patches(0), np.float32), None)]), {})
    assert not (tmp_path / "m.json").exists()


def test_a_method_without_regions_says_so(tmp_path: Path) -> None:
    reader, _ = write_store(tmp_path)
    maps = ((np.zeros(reader.patches(i), np.float32), None) for i in range(len(reader)))
    write_maps(tmp_path / "m.json", reader, "everything", maps, {})
    with pytest.raises(CacheError, match="everything has no regions"):
        MapReader(tmp_path / "m.json").region(0)
