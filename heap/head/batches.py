"""Batches of cached features for training: from memory when they fit, else streamed; the same batches either way."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from heap.cache.reader import FeatureReader
from heap.data import manifest as manifests
from heap.errors import DataError, TrainingError
from heap.grid import Size
from heap.head import priors
from heap.prefetch import Prefetch

T = TypeVar("T")

# Photos are mixed within this many shuffled shards: 4 are 512 MB at most and mix a thousand photos. While one pool is
# used the next is read, so streaming takes twice that.
_POOL = 4
# Batches made ahead of the training step: one to use at once, one in the making when steps vary.
_READY = 2
# Threads that read shards of a resident cache: one waits for the disk or the memory while the other makes targets.
_READERS = 2


@dataclass(frozen=True)
class Sample:
    """What training needs of one photo. N patches.

    Attributes:
        features: `(N, D)` float16.
        attention: `(N,)` float32, mean over the heads.
        target: `(N,)` float32, warm-up target.
        border: `(N,)` bool, patches on the photo's edge.
        index: position of the photo in its store.
    """

    features: npt.NDArray[np.float16]
    attention: npt.NDArray[np.float32]
    target: npt.NDArray[np.float32]
    border: npt.NDArray[np.bool_]
    index: int


@dataclass(frozen=True)
class Batch:
    """Photos padded to the longest: features `(B, N, D)`, the others `(B, N)`; `mask` is true where a patch is.

    `photo` `(B,)` int64 says which photo of the store each is, `counts` how many patches each has.
    """

    features: Tensor
    attention: Tensor
    target: Tensor
    border: Tensor
    mask: Tensor
    photo: Tensor
    counts: tuple[int, ...]

    @property
    def padded(self) -> bool:
        """Whether a photo has fewer patches than another."""
        return min(self.counts) < max(self.counts)


def photos_to_train_on(reader: FeatureReader, manifest: Path, split: str | None, least: int, model: str) -> list[int]:
    """Return the positions in the store of the photos of a split, as the manifest has it now.

    Args:
        reader: the features.
        manifest: of the same dataset.
        split: only this split; None takes all.
        least: how many there must be.
        model: which is trained, for messages.

    Raises:
        DataError: the manifest is of another dataset, or has no such split.
        TrainingError: there are too few photos.
    """
    listed, dataset = manifests.read(manifest), reader.receipt.dataset
    if listed.info["dataset"] != dataset:
        raise DataError(f"{manifest}: is of {listed.info['dataset']}, but {reader.path} of {dataset}")
    photos = reader.rows_of(listed.rows(split)["image_id"])
    if len(photos) < least:
        raise TrainingError(f"models.{model}: {len(photos)} photos to train on, expected at least {least}")
    return photos


class TrainingSet:
    """Some photos of a store.

    Args:
        reader: the features.
        photos: their positions in the store, ascending; None takes all.
        variant: decides the warm-up target.
        resident_gb: features up to this size are kept in memory.

    Attributes:
        waited_s: seconds that `batches` has kept its user waiting so far.
    """

    def __init__(self, reader: FeatureReader, photos: list[int] | None, variant: str, resident_gb: float) -> None:
        self.reader, self.variant = reader, variant
        self.photos = list(range(len(reader))) if photos is None else photos
        shards = reader.images["shard"].to_numpy()
        self.shard_of = {i: int(shards[i]) for i in self.photos}
        self._photos_of: dict[int, list[int]] = {}
        for i, shard in self.shard_of.items():
            self._photos_of.setdefault(shard, []).append(i)
        self._columns = {name: reader.images[name].to_numpy() for name in ("offset", "grid_h", "grid_w")}
        self.patches = sum(reader.patches(i) for i in self.photos)
        self.resident = self.patches * reader.dim * 2 <= resident_gb * 1e9
        self.waited_s = 0.0
        self._kept: dict[int, Sample] = {}
        if self.resident:
            with ThreadPoolExecutor(_READERS) as pool:
                for some in pool.map(self._read, ([shard] for shard in sorted(self._photos_of))):
                    self._kept |= some

    def __len__(self) -> int:
        return len(self.photos)

    def order(self, seed: int, epoch: int) -> list[list[int]]:
        """Return the photos of an epoch in order, pool by pool: shards are shuffled, then the photos within a pool."""
        rng = np.random.default_rng([seed, epoch])
        shards = rng.permutation(sorted(set(self.shard_of.values()))).tolist()
        pools = []
        for start in range(0, len(shards), _POOL):
            chosen = set(shards[start : start + _POOL])
            pools.append(rng.permutation([i for i in self.photos if self.shard_of[i] in chosen]).tolist())
        return pools

    def batches(self, seed: int, batch_size: int, start: int) -> Iterator[Batch]:
        """Yield batches without end, from batch number `start`; an epoch's incomplete last batch runs into the next.

        A thread collates ahead, another reads; `waited_s` grows by what the user had to wait all the same.
        """
        with (
            closing(self._groups(seed, min(batch_size, len(self)), start)) as groups,
            Prefetch(collate, groups, 1, _READY) as ahead,
        ):
            for batch in ahead:
                self.waited_s += ahead.waited_s
                ahead.waited_s = 0.0
                yield batch

    def _groups(self, seed: int, size: int, start: int) -> Generator[list[Sample], None, None]:
        """Yield the photos of each batch; while one pool of photos is used, the next is read."""
        orders, seen = self.orders(seed, size, start)
        with Prefetch(self.pool, orders, 1, 1) as pools:
            yield from regrouped(pools, size, seen)

    def orders(self, seed: int, size: int, start: int) -> tuple[Iterator[list[int]], int]:
        """Return the pools of `order` without end from the epoch of batch `start`, and what is passed over of them."""
        # After a resume: begin in the epoch that was interrupted and pass over what the killed run has seen of it.
        epoch, seen = divmod(start * size, len(self))
        return chain.from_iterable(self.order(seed, later) for later in count(epoch)), seen

    def load(self, indices: list[int]) -> list[Sample]:
        """Return a few photos by their position in the store; streamed ones are read alone, not by whole shards."""
        return [self._kept[i] if self.resident else sample_of(self.reader, i, self.variant) for i in indices]

    def pool(self, indices: list[int]) -> list[Sample]:
        """Return the photos of one pool of `order`; streamed ones by whole shards, which the pool uses up."""
        kept = self._kept if self.resident else self._read(sorted({self.shard_of[i] for i in indices}))
        return [kept[i] for i in indices]

    def _read(self, shards: list[int]) -> dict[int, Sample]:
        photos: dict[int, Sample] = {}
        offset, grid_h, grid_w = self._columns.values()
        for shard in shards:
            features, attention, start = self.reader.shard(shard)
            for i in self._photos_of[shard]:
                rows = slice(int(offset[i]) - start, int(offset[i]) - start + self.reader.patches(i))
                grid = int(grid_h[i]), int(grid_w[i])
                photos[i] = make_sample(features[rows], attention[rows], grid, self.variant, i)
        return photos


def regrouped(pools: Iterable[list[T]], size: int, skip: int) -> Iterator[list[T]]:
    """Yield the items of all pools in groups of `size`, without the first `skip`."""
    items = islice(chain.from_iterable(pools), skip, None)
    while len(group := list(islice(items, size))) == size:
        yield group


def sample_of(reader: FeatureReader, i: int, variant: str) -> Sample:
    """Return photo `i` of a store, read alone."""
    features = reader.features(i).astype(np.float16)  # as it is stored
    return make_sample(features, reader.attention(i), reader.grid(i).shape, variant, i)


def make_sample(
    features: npt.NDArray[np.float16],
    attention: npt.NDArray[np.float32],
    shape: Size,
    variant: str,
    index: int,
) -> Sample:
    """Return what training needs of photo `index` with features `(N, D)` and attention `(N, heads)`."""
    border = np.ones(shape, bool)
    border[1:-1, 1:-1] = False
    target = priors.target(variant, features, attention, border.ravel())
    return Sample(features, attention.mean(axis=1), target, border.ravel(), index)


def collate(photos: list[Sample]) -> Batch:
    """Pad photos to the longest of them; padding is zero and masked."""
    longest = max(len(photo.features) for photo in photos)
    size = (len(photos), longest)
    features = torch.zeros(*size, photos[0].features.shape[1])
    # Cast by numpy, in this thread alone: torch would take the cores from the training step that runs meanwhile.
    floats = features.numpy()
    attention, target, mask, border = torch.zeros(size), torch.zeros(size), torch.zeros(size), torch.zeros(size)
    for number, photo in enumerate(photos):
        n = len(photo.features)
        floats[number, :n] = photo.features
        attention[number, :n] = torch.from_numpy(photo.attention)
        target[number, :n] = torch.from_numpy(photo.target)
        border[number, :n] = torch.from_numpy(photo.border).float()
        mask[number, :n] = 1.0
    index = torch.tensor([photo.index for photo in photos])
    counts = tuple(len(photo.features) for photo in photos)
    return Batch(features, attention, target, border.bool(), mask.bool(), index, counts)
