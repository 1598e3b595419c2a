"""Batches: the same ones from memory and from the disk, and damage on the way is an error."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch
from head.planted import planted_store

from heap.errors import CacheError
from heap.head.batches import TrainingSet

GRIDS = ((14, 14), (10, 16))


@pytest.mark.parametrize("variant", ["pure", "robust"])
def test_streamed_batches_are_the_resident_ones(tmp_path: Path, variant: str) -> None:
    reader, _ = planted_store(tmp_path, 30, seed=0, grids=GRIDS)
    resident, streamed = TrainingSet(reader, None, variant, 1.0), TrainingSet(reader, None, variant, 1e-9)
    assert resident.resident
    assert not streamed.resident
    # 12 batches of 7 photos: nearly three epochs.
    for a, b in zip(islice(resident.batches(0, 7, 0), 12), islice(streamed.batches(0, 7, 0), 12), strict=True):
        assert a.counts == b.counts
        tensors = [name for name, value in vars(a).items() if isinstance(value, torch.Tensor)]
        assert len(tensors) == 6
        assert all(torch.equal(getattr(a, name), getattr(b, name)) for name in tensors)


def test_batches_go_on_where_a_killed_run_stood(tmp_path: Path) -> None:
    reader, _ = planted_store(tmp_path, 30, seed=0, grids=GRIDS)
    data = TrainingSet(reader, None, "robust", 1e-9)
    whole = list(islice(data.batches(0, 7, 0), 9))
    for start in (3, 5):
        rest = list(islice(data.batches(0, 7, start), 9 - start))
        assert all(torch.equal(a.features, b.features) for a, b in zip(whole[start:], rest, strict=True))
    assert data.waited_s > 0


def test_a_shard_damaged_while_training_is_an_error_of_the_step_that_needs_it(tmp_path: Path) -> None:
    reader, _ = planted_store(tmp_path, 30, seed=0)
    data = TrainingSet(reader, None, "robust", 1e-9)
    for path in (reader.folder / "features" / "c").glob("*/0"):
        path.write_bytes(b"")
    with pytest.raises(CacheError, match="damaged"):
        next(data.batches(0, 7, 0))
