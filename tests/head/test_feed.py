"""Batches on the device: the same photos and the same bits, whichever way they come."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch
from head.planted import DIM, planted_store

from heap.head.batches import TrainingSet, collate
from heap.head.feed import Feed, OnDevice, fits, order_of


@pytest.mark.parametrize("start", [0, 3, 11])
def test_features_on_the_device_give_the_same_batches(tmp_path: Path, start: int) -> None:
    """The path of a GPU, walked on the CPU."""
    reader, _ = planted_store(tmp_path, 20, seed=0, grids=((14, 14), (10, 16)))
    data = TrainingSet(reader, None, "robust", 1.0)
    there = OnDevice(data, torch.device("cpu")).batches(order_of(data, 1, 8, start))
    with Feed(data, "cpu", 1, 8, start) as feed:
        for ours, theirs in islice(zip(there, feed, strict=False), 6):
            assert ours.counts == theirs.counts
            for name in ("features", "attention", "target", "border", "mask", "photo"):
                a, b = getattr(ours, name), getattr(theirs, name)
                assert torch.equal(a, b), name
                assert a.dtype == b.dtype, name


def test_a_batch_is_never_larger_than_the_training_set(tmp_path: Path) -> None:
    reader, _ = planted_store(tmp_path, 5, seed=0)
    with Feed(TrainingSet(reader, None, "robust", 1.0), "cpu", 0, 8, 0) as feed:
        assert feed.size == 5
        assert sorted(next(feed).photo.tolist()) == [0, 1, 2, 3, 4]


def test_features_must_leave_room_on_the_device(tmp_path: Path) -> None:
    reader, _ = planted_store(tmp_path, 4, seed=0)
    data = TrainingSet(reader, None, "robust", 1.0)
    size = 4 * 14 * 14 * DIM * 2
    assert fits(data, 2 * size)
    assert not fits(data, size)


def test_padding_is_zero(tmp_path: Path) -> None:
    reader, _ = planted_store(tmp_path, 2, seed=0, grids=((14, 14), (10, 16)))
    data = TrainingSet(reader, None, "robust", 1.0)
    for batch in (collate(data.load([0, 1])), OnDevice(data, torch.device("cpu")).batch([0, 1])):
        assert batch.mask.sum(1).tolist() == [196, 160]
        assert batch.features[1, 160:].abs().sum() == 0
        assert not batch.border[1, 160:].any()
