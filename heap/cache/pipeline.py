"""From photos on disk to whole shards in the store; decoding, encoding and writing run at the same time.

One thread computes; others decode the photos that come next, as many as the job has cores, and one writes a finished
shard while the next is encoded. Every byte of a shard is decided by its photos alone: its batches never reach into
another shard, so threads, their speed, a kill and a resume change nothing.

Memory beyond the encoder's own: two shards (one filled, one written; 128 MiB of features each), the photos decoded
ahead (`_AHEAD_BYTES`, or two batches where these are larger), and two batches of features.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from heap.cache.quantise import quantise
from heap.cache.store import FeatureStore, to_float16
from heap.encoders.base import Encoded, Encoder, Running
from heap.errors import HeapError, PhotoError
from heap.prefetch import Prefetch
from heap.workers import cores_allowed

log = logging.getLogger("heap")

Pixels = npt.NDArray[np.uint8]
# Features, attention and cls of one shard, see `FeatureStore.write_shard`.
_Arrays = tuple[npt.NDArray[Any], npt.NDArray[np.float32], npt.NDArray[np.float32]]
# Decoded photos that wait for the encoder: some hundred of a benchmark's photos (0.5 MB each)...
_AHEAD_BYTES = 256 * 2**20
# ...but no more for each decoder than keep it busy while a batch is computed.
_AHEAD_PER_DECODER = 8
# Batches begun on a device before the first is taken back: with two, copying one hides behind computing the other.
_IN_FLIGHT = 2


@dataclass
class _Shard:
    """A shard that is being encoded; its arrays come with its first batch, so that few are alive at once."""

    number: int
    batches_left: int
    arrays: _Arrays | None = None
    skipped: dict[int, dict[str, str]] = field(default_factory=dict)


@dataclass
class _Batch:
    """Photos of one grid and of one shard: rows of the plan, and the pixels of those that could be decoded."""

    shard: _Shard
    size: int
    undecoded: int
    photos: list[Any] = field(default_factory=list)
    pixels: list[Pixels] = field(default_factory=list)


def batches_of(photos: pd.DataFrame, batch_size: int) -> list[list[Any]]:
    """Return the photos of one shard as batches, each of one grid.

    A grid's photos are dealt evenly: 9 photos for batches of 8 become 5 and 4, since a batch of one wastes a GPU.

    Args:
        photos: rows of `Plan.images`.
        batch_size: photos of a batch at most.
    """
    batches = []
    for _, same in photos.sort_values("slot").groupby(["grid_h", "grid_w"], sort=False):
        rows = list(same.itertuples())
        count = -(-len(rows) // batch_size)
        cuts = [len(rows) * n // count for n in range(count + 1)]
        batches += [rows[a:b] for a, b in pairwise(cuts)]
    return batches


def encode_shards(
    store: FeatureStore,
    shards: Iterable[int | None],
    encoder: Encoder,
    read: Callable[[Any], Pixels],
    batch_size: int,
    on_bad_image: str,
    step: Callable[[int], None],
    decoders: int | None = None,
) -> None:
    """Encode shards of a store and write them.

    Args:
        store: where they go.
        shards: their numbers, asked for one at a time and only shortly before they are needed; None in between says
            "finish and write what you have before you ask on".
        encoder: the encoder.
        read: from a row of the plan to pixels of the planned size; raises PhotoError. Called from several threads.
        batch_size: photos encoded at once, at most.
        on_bad_image: `fail` raises the PhotoError; `skip` leaves the photo out and notes it with its shard.
        step: called with how many more photos are done.
        decoders: threads that decode; None takes one for each core of this job.

    Raises:
        PhotoError: a photo is bad and must not be.
        CacheError: features that float16 cannot hold, or a shard that could not be written. Finished shards are kept.
    """
    threads = decoders or cores_allowed()

    def enough(waiting: list[tuple[_Batch, Any]]) -> bool:
        size = sum(photo.input_h_px * photo.input_w_px * 3 for _, photo in waiting)
        return len(waiting) > batch_size and (len(waiting) > threads * _AHEAD_PER_DECODER or size > _AHEAD_BYTES)

    photos = Prefetch(partial(_decode, read), _planned(store, shards, batch_size), threads, enough)
    with _Writer(store) as writer, photos:
        encoding = _Encoding(store, encoder, writer, step)
        for decoded in photos:
            if decoded is None:
                encoding.finish()
                writer.wait()
                continue
            batch, photo, pixels = decoded
            if not isinstance(pixels, PhotoError):
                batch.photos.append(photo)
                batch.pixels.append(pixels)
            elif on_bad_image == "fail":
                encoding.finish()  # it may complete a shard, which is then kept
                raise pixels
            else:
                log.warning("skipped: %s", pixels)
                batch.shard.skipped[photo.slot] = {"image_id": str(photo.image_id), "reason": str(pixels)}
            batch.undecoded -= 1
            if batch.undecoded == 0:
                encoding.begin(batch)
                writer.check()
        encoding.finish()


def _planned(store: FeatureStore, shards: Iterable[int | None], batch_size: int) -> Iterator[tuple[_Batch, Any] | None]:
    for number in shards:
        if number is None:
            yield None
            continue
        batches = batches_of(store.plan.of_shard(number), batch_size)
        shard = _Shard(number, len(batches))
        for photos in batches:
            batch = _Batch(shard, len(photos), len(photos))
            yield from ((batch, photo) for photo in photos)


def _decode(read: Callable[[Any], Pixels], job: tuple[_Batch, Any]) -> tuple[_Batch, Any, Pixels | PhotoError] | None:
    try:
        return *job, read(job[1])
    except PhotoError as error:
        return *job, error


class _Encoding:
    """Batches on the device, and what comes back put in its place."""

    def __init__(self, store: FeatureStore, encoder: Encoder, writer: _Writer, step: Callable[[int], None]) -> None:
        self.store, self.encoder, self.writer, self.step = store, encoder, writer, step
        self.running: deque[tuple[_Batch, Running | None]] = deque()

    def begin(self, batch: _Batch) -> None:
        """Begin a batch, and take the oldest back if enough are in flight."""
        self.running.append((batch, self.encoder.start(batch.pixels) if batch.pixels else None))
        batch.pixels = []
        if len(self.running) == _IN_FLIGHT:
            self.take_back()

    def take_back(self) -> None:
        """Put the oldest batch in its place, and hand its shard to the writer if that was the last of it."""
        batch, answer = self.running.popleft()
        shard = batch.shard
        if shard.arrays is None:
            shard.arrays = _empty(self.store, self.encoder)
        if answer is not None:
            _place(self.store, shard, batch.photos, answer.result())
        shard.batches_left -= 1
        if shard.batches_left == 0:
            self.writer.write(shard)
        self.step(batch.size)

    def finish(self) -> None:
        """Take back whatever is in flight."""
        while self.running:
            self.take_back()


def _empty(store: FeatureStore, encoder: Encoder) -> _Arrays:
    plan, coded = store.plan, store.storage == "uint8"
    rows = (plan.rows_per_shard, encoder.dim)
    return (
        np.zeros(rows, np.uint8) if coded else np.full(rows, np.nan, np.float16),
        np.full((plan.rows_per_shard, encoder.heads), np.nan, np.float32),
        np.full((plan.slots_per_shard, 3 * encoder.dim if coded else encoder.dim), np.nan, np.float32),
    )


def _place(store: FeatureStore, shard: _Shard, photos: list[Any], encoded: Encoded) -> None:
    assert shard.arrays is not None
    features, attention, cls = shard.arrays
    plan = store.plan
    halves = None if store.storage == "uint8" else _halves(encoded.features, photos)
    for number, photo in enumerate(photos):
        start = photo.offset - shard.number * plan.rows_per_shard
        rows, slot = slice(start, start + photo.grid_h * photo.grid_w), photo.slot - shard.number * plan.slots_per_shard
        vector = encoded.cls[number]
        if halves is None:
            features[rows], ranges = quantise(encoded.features[number], str(photo.path))
            vector = np.concatenate([vector, ranges])
        else:
            features[rows] = halves[number]
        attention[rows] = encoded.attention[number]
        cls[slot] = vector


def _halves(values: npt.NDArray[np.float32], photos: list[Any]) -> npt.NDArray[np.float16]:
    """Cast a batch to float16, on all cores: numpy's cast takes six times as long, during which a GPU would idle.

    Raises:
        CacheError: names the photo whose features float16 cannot hold.
    """
    halves = torch.from_numpy(values).half()
    if not bool(torch.isfinite(halves).all()):
        for photo, own in zip(photos, values, strict=True):
            to_float16(own, str(photo.path))
    return halves.numpy()


class _Writer:
    """One thread that writes shards, one at a time; on leaving, what is being written is finished first."""

    def __init__(self, store: FeatureStore) -> None:
        self.store = store
        self.pool = ThreadPoolExecutor(1, "write")
        self.writing: Future[None] | None = None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.pool.shutdown()
        if kind is None:
            self.wait()
            return
        # Another error is on its way to the user; the writer's own must not get lost behind it.
        failed = self.writing.exception() if self.writing is not None else None
        if failed is not None:
            log.error("%s", failed if isinstance(failed, HeapError) else repr(failed))

    def write(self, shard: _Shard) -> None:
        """Begin to write a shard once the one before is written."""
        self.wait()
        assert shard.arrays is not None
        skipped = [shard.skipped[slot] for slot in sorted(shard.skipped)]
        self.writing = self.pool.submit(self.store.write_shard, shard.number, *shard.arrays, skipped)
        shard.arrays = None

    def check(self) -> None:
        """Raise what the writer met, as soon as it did: nothing is encoded in vain."""
        if self.writing is not None and self.writing.done():
            self.wait()

    def wait(self) -> None:
        """Wait until nothing is being written."""
        writing, self.writing = self.writing, None
        if writing is not None:
            writing.result()
