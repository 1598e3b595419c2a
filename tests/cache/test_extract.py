"""Stage extract: what is cached is what the encoder gives, once, whichever way the work is split or interrupted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_cache import Tiny, payload

from heap.cache import extract as stage
from heap.cache.store import FeatureStore
from heap.data.photos import read_photo
from heap.encoders import cnn, vit
from heap.encoders.open import open_encoder
from heap.errors import CacheError, EncoderError, PhotoError, SettingsError
from heap.settings.models import CnnEncoder, DescriptorEncoder, VitEncoder
from heap.settings.resolved import Extract

PHOTOS = 11


@pytest.fixture
def world(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path, PHOTOS)


def test_the_cache_holds_what_the_encoder_gives(world: Tiny) -> None:
    world.extract()
    reader = world.gather()
    assert len(reader) == PHOTOS
    encoder = open_encoder(world.config.encoders["descriptors"], {}, "cpu")
    for i, path in enumerate(reader.images["path"]):
        live = encoder.encode(read_photo(world.photos / path)[None])
        np.testing.assert_array_equal(reader.features(i), live.features[0].astype(np.float16).astype(np.float32))
        np.testing.assert_array_equal(reader.attention(i), live.attention[0])
        np.testing.assert_array_equal(reader.cls(i), live.cls[0])


def test_eight_bits_are_read_back_as_floats_and_are_another_store(world: Tiny) -> None:
    world.extract()
    exact = world.gather()
    world.freeze(encoder={"kind": "descriptors", "storage": "uint8"})
    world.extract(features=world.folder / "coded")
    coded = world.gather(features=world.folder / "coded")
    assert (exact.receipt.storage, coded.receipt.storage) == ("float16", "uint8")
    assert exact.receipt.fingerprint != coded.receipt.fingerprint
    sizes = [sum(p.stat().st_size for p in (r.folder / "features").rglob("*")) for r in (exact, coded)]
    assert sizes[1] < 0.7 * sizes[0]  # small photos: the index and the checksums count
    order = [list(coded.images["image_id"]).index(name) for name in exact.images["image_id"]]
    for i, j in enumerate(order):
        values, found = exact.features(i), coded.features(j)
        # Half a step of the channel's range, and float16's own error of the exact store.
        assert (np.abs(found - values) <= np.ptp(values, axis=0) * 0.502 / 255 + 0.001 * np.abs(values)).all()
        np.testing.assert_array_equal(coded.attention(j), exact.attention(i))
        np.testing.assert_array_equal(coded.cls(j), exact.cls(i))
    for shard in range(coded.receipt.shards):
        features, _, start = coded.shard(shard)
        for j in np.flatnonzero(coded.images["shard"] == shard):
            first = coded.images["offset"].iat[j] - start
            np.testing.assert_array_equal(
                features[first : first + coded.patches(j)], coded.features(j).astype(np.float16)
            )


def test_parts_together_write_the_store_that_one_writes(world: Tiny) -> None:
    whole, scattered = world.make(), world.folder / "scattered"
    for part in ("3-of-3", "1-of-3", "2-of-3"):
        world.extract(part, features=scattered)
    assert payload(whole.folder) == payload(world.gather("1-of-3", "2-of-3", "3-of-3", features=scattered).folder)


def test_an_interrupted_extraction_computes_only_what_is_missing(world: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    world.extract(features=world.folder / "whole")
    whole = world.gather(features=world.folder / "whole")
    real, written = FeatureStore.write_shard, []

    def dies_at_third(store: FeatureStore, shard: int, *arrays: Any) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(shard)
        real(store, shard, *arrays)

    monkeypatch.setattr(FeatureStore, "write_shard", dies_at_third)
    with pytest.raises(KeyboardInterrupt):
        world.extract()
    again: list[int] = []
    monkeypatch.setattr(FeatureStore, "write_shard", lambda *a: (again.append(a[1]), real(*a)))
    receipt = world.extract()
    assert not set(again) & set(written)
    assert len(again) + len(written) == receipt["shards"]
    assert payload(world.gather().folder) == payload(whole.folder)


def test_a_missing_shard_keeps_the_receipt_away(world: Tiny) -> None:
    world.extract()
    folder = next((world.features / "set").glob("*.zarr"))
    (folder / "shards" / "1.json").unlink()
    with pytest.raises(CacheError, match=r"shards \[1\] are missing"):
        world.gather()


def test_a_photo_torn_in_the_middle_is_skipped_counted_and_named(world: Tiny) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(world.photos / "torn.jpg")
    data = (world.photos / "torn.jpg").read_bytes()
    (world.photos / "torn.jpg").write_bytes(data[: len(data) // 2])
    world.list_photos()
    world.extract()
    reader = world.gather()
    assert len(reader) == PHOTOS
    (skipped,) = reader.receipt.skipped
    assert skipped.image_id == "torn"
    assert "torn.jpg" in skipped.reason
    world.freeze(on_bad_image="fail")
    shutil.rmtree(world.features)
    with pytest.raises(PhotoError, match=r"torn\.jpg"):
        world.extract()


def test_a_photo_that_changed_size_since_the_manifest_is_not_cached(world: Tiny) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(world.photos / "03.png")
    world.freeze(on_bad_image="fail")
    with pytest.raises(PhotoError, match="run manifest again"):
        world.extract()


def test_other_settings_or_photos_make_another_store_and_the_old_one_stays(world: Tiny) -> None:
    first = world.extract()["fingerprint"]
    world.freeze(max_px=32)
    second = world.extract()["fingerprint"]
    world.freeze()
    Image.fromarray(np.full((40, 56, 3), 9, np.uint8)).save(world.photos / "00.png")
    world.list_photos()
    third = world.extract()["fingerprint"]
    assert len({first, second, third}) == 3
    assert {p.stem for p in (world.features / "set").glob("*.zarr")} == {first, second, third}


DESCRIPTORS = {"kind": "descriptors"}
VIT = {"kind": "vit", "architecture": "test_vit", "weights": "random", "batch_size": 1}
CNN = {
    "kind": "cnn", "architecture": "test_efficientnet", "weights": "random", "supervision": "none", "stages": [-1],
    "patch_px": 32, "batch_size": 1,
}  # fmt: skip
# Another value of every key that an extraction reads, and whether it gives other features.
EDITS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    (DESCRIPTORS, {"kind": "vit", "architecture": "test_vit", "weights": "random"}, True),
    (DESCRIPTORS, {"patch_px": 16}, True),
    (DESCRIPTORS, {"storage": "uint8"}, True),
    (VIT, {"architecture": "test_vit.r160_in1k"}, True),
    (VIT, {"weights": "FILE"}, True),
    (VIT, {"facet": "value"}, True),
    (VIT, {"block": 0}, True),
    (VIT, {"precision": "bfloat16"}, True),
    (VIT, {"storage": "uint8"}, True),
    (VIT, {"patch_px": 16}, False),
    (VIT, {"supervision": "none"}, False),
    (VIT, {"batch_size": 3}, False),
    (CNN, {"architecture": "test_resnet"}, True),
    (CNN, {"stages": [2], "patch_px": 8}, True),
    (CNN, {"attention_stage": -1}, True),
    (CNN, {"weights": "FILE"}, True),
    (CNN, {"pad_type": "same"}, True),
    (CNN, {"mean": [0.1, 0.2, 0.3]}, True),
    (CNN, {"std": [0.1, 0.2, 0.3]}, True),
    (CNN, {"storage": "uint8"}, True),
    (CNN, {"supervision": "SUPERVISED"}, False),
    (CNN, {"batch_size": 3}, False),
    (DESCRIPTORS, {"dataset": {"max_px": 32}}, True),
    (DESCRIPTORS, {"dataset": {"resize_px": [32, 48]}}, True),
    (DESCRIPTORS, {"dataset": {"max_patches": 30, "on_bad_image": "skip"}}, True),
    (DESCRIPTORS, {"dataset": {"on_bad_image": "skip"}}, False),
]


def test_every_key_that_an_extraction_reads_is_edited() -> None:
    for base, kind in ((DESCRIPTORS, DescriptorEncoder), (VIT, VitEncoder), (CNN, CnnEncoder)):
        edited = {key for of, edit, _ in EDITS if of is base for key in edit}
        # A pinned checksum refuses weights and changes none; another kind has other keys.
        assert set(kind.model_fields) - edited <= {"kind", "sha256"}
    read = set(Extract.model_fields) - {"encoder", "name", "runtime"}
    assert {key for _, edit, _ in EDITS for key in edit.get("dataset", {})} == read


@pytest.mark.parametrize("base", [DESCRIPTORS, VIT, CNN], ids=lambda base: base["kind"])
def test_an_edit_that_may_change_features_makes_another_store(
    world: Tiny, monkeypatch: pytest.MonkeyPatch, base: dict[str, Any]
) -> None:
    """And each is run into the same folder: no edit may meet a store that it does not fit."""
    for name in sorted(world.photos.iterdir())[2:]:
        name.unlink()
    world.list_photos()

    def on_the_cpu(settings: Any, *others: Any) -> Any:
        precision = {"precision": "float32"} if settings.kind == "vit" else {}
        return open_encoder(settings.model_copy(update=precision), *others)

    monkeypatch.setattr(stage, "open_encoder", on_the_cpu)  # half precision needs CUDA

    def run(edit: dict[str, Any]) -> str:
        encoder = {**base, **{key: value for key, value in edit.items() if key != "dataset"}}
        if encoder.get("weights") == "FILE":
            encoder["weights"] = str(world.folder / "weights.pth")
            model = vit.build(base["architecture"]) if base is VIT else cnn.build(CnnEncoder(**base))
            torch.save(model.state_dict(), encoder["weights"])
        world.freeze(encoder=encoder, **edit.get("dataset", {}))
        fingerprint = world.extract()["fingerprint"]
        world.gather()
        return str(fingerprint)

    found = {run({})}
    for edit in [edit for of, edit, changes in EDITS if of is base and not changes]:
        assert {run(edit)} == found, edit
    for edit in [edit for of, edit, changes in EDITS if of is base and changes]:
        fingerprint = run(edit)
        assert fingerprint not in found, edit
        found.add(fingerprint)


def test_a_photo_that_was_skipped_stops_where_none_may_be(world: Tiny) -> None:
    torn = world.photos / "01.png"
    torn.write_bytes(torn.read_bytes()[:-900])
    world.freeze(on_bad_image="skip")
    world.extract()
    world.freeze(on_bad_image="fail")
    with pytest.raises(PhotoError, match=r"1 photos cannot be used, the first: .*01\.png"):
        world.extract()


def test_parts_of_different_stores_do_not_mix(world: Tiny) -> None:
    world.extract("1-of-2")
    world.freeze(max_px=32)
    world.extract("2-of-2")
    with pytest.raises(CacheError, match="different settings"):
        world.gather("1-of-2", "2-of-2")


@pytest.mark.parametrize("part", ["0-of-2", "3-of-2", "1/2", "x"])
def test_a_part_that_is_none_is_refused(world: Tiny, part: str) -> None:
    with pytest.raises(SettingsError, match="2-of-4"):
        world.extract(part)


def test_a_device_that_is_not_there_is_an_error(world: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(EncoderError, match="'cuda' was asked for"):
        world.extract(device="cuda")
