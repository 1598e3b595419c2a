"""The extraction pipeline: full batches of one grid, bytes that no thread decides, errors that reach the user."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_cache import payload

from heap.cache import pipeline
from heap.cache.pipeline import batches_of, encode_shards
from heap.cache.plan import Plan, plan
from heap.cache.store import FeatureStore, read_rows
from heap.encoders.base import Computed, Encoded, Encoder, Photos
from heap.errors import CacheError, PhotoError
from heap.grid import grid_of
from heap.receipts import Weights

PATCH = 8


def laid(sizes: list[tuple[int, int]]) -> Plan:
    table = pd.DataFrame(
        {
            "image_id": [f"i{n:02d}" for n in range(len(sizes))],
            "path": [f"{n}" for n in range(len(sizes))],
            "split": "",
            "height_px": [h for h, _ in sizes],
            "width_px": [w for _, w in sizes],
        }
    )
    return plan(table, PATCH, 4, lambda h, w: (h, w))


class Means(Encoder):
    """An encoder of two values a patch: the mean pixel of its photo, and the patch's number."""

    label, patch_px, dim, heads = "means", PATCH, 2, 1
    attention_kind, weights = "cls", Weights(source="none")

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, ...]]] = []
        self.thread = threading.get_ident()

    def start(self, photos: Photos) -> Computed:
        assert threading.get_ident() == self.thread
        self.batches.append([photo.shape for photo in photos])
        (grid,) = {grid_of(*photo.shape[:2], PATCH) for photo in photos}
        n = grid[0] * grid[1]
        features = np.stack([np.stack([np.full(n, photo.mean()), np.arange(n)], 1) for photo in photos])
        attention = np.ones((len(photos), n, 1), np.float32)
        return Computed(Encoded(features.astype(np.float32), attention, features.mean(axis=1)))


def read(photo: Any) -> np.ndarray:
    return np.full((photo.input_h_px, photo.input_w_px, 3), int(photo.path), np.uint8)


def run(store: FeatureStore, encoder: Any = None, **changes: Any) -> None:
    chosen = {
        "shards": range(store.plan.shards), "read": read, "batch_size": 4, "on_bad_image": "fail",
        "step": lambda n: None,
    }  # fmt: skip
    encode_shards(store, encoder=encoder or Means(), **(chosen | changes))


def made(folder: Path, layout: Plan) -> FeatureStore:
    return FeatureStore.create(folder, layout, 2, 1, {"fingerprint": "abc"})


SIZES = [(16 + 8 * (n % 3) - n % 2, 24) for n in range(60)]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=50), st.integers(1, 9))
def test_batches_hold_each_photo_once_and_one_grid_each(sizes: list[tuple[int, int]], most: int) -> None:
    layout = laid(sizes)
    for shard in range(layout.shards):
        photos = layout.of_shard(shard)
        batches = batches_of(photos, most)
        assert sorted(p.slot for b in batches for p in b) == sorted(photos["slot"])
        assert all(len({(p.grid_h, p.grid_w) for p in b}) == 1 for b in batches)
        # No batch more than there must be.
        counts = photos.groupby(["grid_h", "grid_w"]).size()
        assert len(batches) == sum(-(-n // most) for n in counts)
        assert max(map(len, batches)) <= most


def test_a_grid_is_dealt_evenly() -> None:
    photos = laid([(16, 24)] * 9).images
    assert [len(b) for b in batches_of(photos, 8)] == [4, 5]


def test_photos_of_one_grid_and_several_sizes_share_batches(tmp_path: Path) -> None:
    encoder = Means()
    run(made(tmp_path / "a.zarr", laid([(16, 24), (15, 20), (9, 17)] * 8)), encoder)
    assert {len(batch) for batch in encoder.batches} == {3}
    assert len(encoder.batches[0]) == len(set(encoder.batches[0]))


@pytest.mark.parametrize("decoders", [1, 7])
def test_bytes_do_not_depend_on_threads_or_on_which_shards_go_together(tmp_path: Path, decoders: int) -> None:
    rng = np.random.default_rng(decoders)

    def sometimes_slow(photo: Any) -> np.ndarray:
        if rng.random() < 0.3:
            time.sleep(0.003)
        return read(photo)

    layout = laid(SIZES)
    whole, one_by_one = made(tmp_path / "a.zarr", layout), made(tmp_path / "b.zarr", layout)
    run(whole, read=sometimes_slow, decoders=decoders)
    for shard in reversed(range(layout.shards)):
        run(one_by_one, shards=[shard], decoders=1)
    assert payload(whole.folder) == payload(one_by_one.folder)


def test_each_photo_stands_where_the_plan_says(tmp_path: Path) -> None:
    layout = laid(SIZES)
    store = made(tmp_path / "a.zarr", layout)
    run(store)
    import zarr

    features = read_rows(zarr.open_array(store.folder / "features", mode="r"), 0, layout.rows, store.folder)
    for number, photo in enumerate(layout.images.itertuples()):
        n = photo.grid_h * photo.grid_w
        found = features[photo.offset : photo.offset + n]
        np.testing.assert_array_equal(found[:, 0], number)
        np.testing.assert_array_equal(found[:, 1], np.arange(n))


def test_a_bad_photo_is_skipped_with_its_shard_or_ends_the_work(tmp_path: Path) -> None:
    def torn(photo: Any) -> np.ndarray:
        if photo.path in ("5", "17"):
            raise PhotoError(f"{photo.path}.jpg: torn")
        return read(photo)

    layout, steps = laid(SIZES), []
    store = made(tmp_path / "a.zarr", layout)
    run(store, read=torn, on_bad_image="skip", step=steps.append)
    assert sorted(item["image_id"] for item in store.skipped()) == ["i05", "i17"]
    assert sum(steps) == len(SIZES)
    with pytest.raises(PhotoError, match="torn"):
        run(made(tmp_path / "b.zarr", layout), read=torn)


def test_a_shard_of_bad_photos_alone_is_written_all_the_same(tmp_path: Path) -> None:
    def torn(photo: Any) -> np.ndarray:
        raise PhotoError(f"{photo.path}.jpg: torn")

    store = made(tmp_path / "a.zarr", laid(SIZES))
    run(store, read=torn, on_bad_image="skip")
    assert store.missing() == []
    assert len(store.skipped()) == len(SIZES)


def test_a_shard_that_cannot_be_written_stops_the_work_and_keeps_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FeatureStore.write_shard

    def full(store: FeatureStore, shard: int, *arrays: Any) -> None:
        if shard == 3:
            raise CacheError("no space left")
        real(store, shard, *arrays)

    monkeypatch.setattr(FeatureStore, "write_shard", full)
    store = made(tmp_path / "a.zarr", laid(SIZES))
    with pytest.raises(CacheError, match="no space left"):
        run(store)
    assert 0 not in store.missing()
    assert 3 in store.missing()


@pytest.mark.parametrize("value", [np.nan, 70000.0])
def test_features_that_float16_cannot_hold_are_refused_with_the_photo_s_name(tmp_path: Path, value: float) -> None:
    class Wild(Means):
        def start(self, photos: Photos) -> Computed:
            computed = super().start(photos)
            for number, photo in enumerate(photos):
                if photo[0, 0, 0] == 17:
                    computed.encoded.features[number, 0, 0] = value
            return computed

    layout = laid(SIZES)
    with pytest.raises(CacheError, match="17: features are not finite or exceed"):
        run(made(tmp_path / "a.zarr", layout), Wild())


def test_an_interrupt_lets_the_shard_being_written_end_and_starts_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, interrupted, written = FeatureStore.write_shard, threading.Event(), []

    def slow(store: FeatureStore, shard: int, *arrays: Any) -> None:
        assert interrupted.wait(30)
        written.append(shard)
        real(store, shard, *arrays)

    monkeypatch.setattr(FeatureStore, "write_shard", slow)
    store = made(tmp_path / "a.zarr", laid(SIZES))
    first = len(store.plan.of_shard(0))
    seen = 0

    def step(photos: int) -> None:
        nonlocal seen
        seen += photos
        if seen > first:  # the first shard is with the writer, the second is being encoded
            interrupted.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(store, step=step)
    assert written == [0]
    assert store.done(0) is not None
    assert not [t for t in threading.enumerate() if t.name.startswith(("prefetch", "write"))]


def test_the_writer_s_error_is_reported_when_another_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stopped = threading.Event()

    def full(store: FeatureStore, shard: int, *arrays: Any) -> None:
        assert stopped.wait(30)
        raise CacheError("no space left")

    monkeypatch.setattr(FeatureStore, "write_shard", full)
    layout = laid(SIZES)
    last = layout.images.sort_values("slot")["path"].iloc[-1]

    def torn(photo: Any) -> np.ndarray:
        if photo.path == last:
            raise PhotoError("torn")
        return read(photo)

    store = made(tmp_path / "a.zarr", layout)
    # The writer of the first shard blocks until the PhotoError of the last is on its way.
    original = pipeline._Encoding.finish

    def finish(encoding: Any) -> None:
        stopped.set()
        original(encoding)

    monkeypatch.setattr(pipeline._Encoding, "finish", finish)
    with pytest.raises(PhotoError, match="torn"):
        run(store, read=torn, shards=[0, layout.shards - 1], batch_size=1)
    assert "no space left" in caplog.text


def test_none_means_write_what_you_have_before_you_ask_on(tmp_path: Path) -> None:
    store = made(tmp_path / "a.zarr", laid(SIZES))

    def asked() -> Iterator[int | None]:
        yield 0
        yield 1
        yield None
        assert set(store.missing()) == set(range(2, store.plan.shards))
        yield 2

    run(store, shards=asked())
    assert 2 not in store.missing()


def test_decoded_photos_do_not_pile_up(tmp_path: Path) -> None:
    """The photos decoded and not yet encoded stay within the bound, however many there are."""
    decoded, encoded, most = 0, 0, 0
    lock = threading.Lock()

    def counting(photo: Any) -> np.ndarray:
        nonlocal decoded, most
        with lock:
            decoded += 1
            most = max(most, decoded - encoded)
        return read(photo)

    def step(photos: int) -> None:
        nonlocal encoded
        time.sleep(0.001)
        with lock:
            encoded += photos

    run(made(tmp_path / "a.zarr", laid([(16, 24)] * 200)), read=counting, step=step, decoders=2)
    # Two decoders' share, the batch that overflows it, and the batches in flight.
    assert most <= 2 * pipeline._AHEAD_PER_DECODER + 4 + pipeline._IN_FLIGHT * 4
