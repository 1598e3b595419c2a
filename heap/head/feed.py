"""Batches on the device that trains. On a GPU the features lie there if they fit, so that no step copies them."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np
import torch

from heap.head.batches import Batch, TrainingSet, regrouped

# Share of a GPU's free memory that features may take; the rest is for the head's activations.
_GPU_SHARE = 0.6


class Feed(Iterator[Batch]):
    """Batches without end, from batch number `start`.

    Args:
        data: the photos.
        device: where batches are wanted.
        seed: of the order.
        batch_size: photos a batch, at most as many as there are.
        start: number of the first batch.
    """

    def __init__(self, data: TrainingSet, device: str, seed: int, batch_size: int, start: int) -> None:
        self.device = torch.device(device)
        self.size = min(batch_size, len(data))
        if self.device.type == "cuda" and data.resident and fits(data, torch.cuda.mem_get_info(self.device)[0]):
            self._source = OnDevice(data, self.device).batches(order_of(data, seed, self.size, start))
        else:
            self._source = data.batches(seed, batch_size, start)

    def __next__(self) -> Batch:
        return to_device(next(self._source), self.device)

    def __enter__(self) -> Feed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.close()  # type: ignore[attr-defined]


def fits(data: TrainingSet, free_bytes: int) -> bool:
    """Return whether the features as they are stored (float16) may lie in this much free memory of a GPU."""
    return data.patches * data.reader.dim * 2 <= free_bytes * _GPU_SHARE


def order_of(data: TrainingSet, seed: int, size: int, start: int) -> Iterator[list[int]]:
    """Return the photos of each batch, as `TrainingSet.batches` takes them."""
    orders, seen = data.orders(seed, size, start)
    return regrouped(orders, size, seen)


class OnDevice:
    """All photos of a resident training set on a device, one behind the other.

    Args:
        data: resident.
        device: torch device.
    """

    def __init__(self, data: TrainingSet, device: torch.device) -> None:
        photos = data.load(data.photos)
        counts = np.array([len(photo.features) for photo in photos])
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self.rows = {i: (int(s), int(n)) for i, s, n in zip(data.photos, starts, counts, strict=True)}
        self.device = device

        def together(name: str, dtype: torch.dtype) -> torch.Tensor:
            # Photo by photo into the device's memory: the host never holds all of them twice.
            first = torch.from_numpy(getattr(photos[0], name))
            whole = torch.empty((int(counts.sum()), *first.shape[1:]), dtype=dtype, device=device)
            for photo, start, count in zip(photos, starts, counts, strict=True):
                whole[start : start + count] = torch.from_numpy(getattr(photo, name)).to(device)
            return whole

        self.features = together("features", torch.float16)
        self.attention = together("attention", torch.float32)
        self.target = together("target", torch.float32)
        self.border = together("border", torch.bool)

    def batches(self, order: Iterator[list[int]]) -> Iterator[Batch]:
        """Yield the batch of each list of photos; only row numbers are copied."""
        for indices in order:
            yield self.batch(indices)

    def batch(self, indices: list[int]) -> Batch:
        """Return the same batch as `collate` of these photos."""
        longest = max(self.rows[i][1] for i in indices)
        rows = np.zeros((len(indices), longest), np.int64)
        mask = np.zeros((len(indices), longest), bool)
        for number, i in enumerate(indices):
            start, count = self.rows[i]
            rows[number, :count] = np.arange(start, start + count)
            mask[number, :count] = True
        place, real = self._move(torch.from_numpy(rows)), self._move(torch.from_numpy(mask))
        return Batch(
            features=self.features[place].float() * real[..., None],
            attention=self.attention[place] * real,
            target=self.target[place] * real,
            border=self.border[place] & real,
            mask=real,
            photo=self._move(torch.tensor(indices)),
            counts=tuple(self.rows[i][1] for i in indices),
        )

    def _move(self, values: torch.Tensor) -> torch.Tensor:
        return pinned(values, self.device).to(self.device, non_blocking=True)


def pinned(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return values in memory from which a GPU copies while it computes; as they are for other devices."""
    return values.pin_memory() if device.type == "cuda" else values


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch on `device`."""
    if batch.features.device.type == device.type:
        return batch
    moved: dict[str, Any] = {
        name: pinned(value, device).to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for name, value in vars(batch).items()
    }
    return Batch(**moved)
