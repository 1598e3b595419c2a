"""Neighbours are the exact ones, and never of the same photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heap.cluster import index
from heap.errors import DataError


def unit(count: int, dim: int = 12, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_neighbours_equal_a_full_comparison_without_the_own_photo() -> None:
    vectors = unit(60)
    photos = np.repeat(np.arange(10), [1, 11, 6, 6, 6, 6, 6, 6, 6, 6])
    built, info = index.build(vectors, seed=0)
    ids, cosines = index.elsewhere(built, vectors, photos, 4)
    similarity = np.where(photos[:, None] == photos[None], -2, vectors @ vectors.T)
    assert np.array_equal(ids, np.argsort(-similarity, axis=1, kind="stable")[:, :4])
    assert np.allclose(cosines, -np.sort(-similarity, axis=1)[:, :4], atol=1e-6)
    assert info == {"kind": "IndexFlatIP", "exact": True, "recall_at_10": 1.0}


def test_fewer_regions_elsewhere_than_asked_for() -> None:
    vectors = unit(5)
    ids, cosines = index.elsewhere(index.build(vectors, 0)[0], vectors, np.array([0, 0, 0, 0, 1]), 3)
    assert ids[0].tolist() == [4, -1, -1]
    assert np.isnan(cosines[0]).tolist() == [False, True, True]
    assert (ids[4] >= 0).all()


def test_one_photo_has_no_neighbours() -> None:
    vectors = unit(3)
    ids, _ = index.elsewhere(index.build(vectors, 0)[0], vectors, np.zeros(3, dtype=np.int64), 2)
    assert (ids == -1).all()


def test_above_the_size_an_inverted_file_with_its_measured_recall() -> None:
    centres = unit(50, seed=1)
    noise = np.random.default_rng(2).normal(size=(3000, 12)) * 0.05
    vectors = centres[np.arange(3000) % 50] + noise
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    built, info = index.build(vectors, seed=0, exact_up_to=1000)
    assert (info["kind"], info["exact"]) == ("IndexIVFFlat", False)
    assert 0.8 < info["recall_at_10"] <= 1
    photos = np.arange(3000) // 4
    ids, _ = index.elsewhere(built, vectors, photos, 5)
    assert not (photos[ids] == photos[:, None])[ids >= 0].any()


def test_an_index_survives_the_disk_and_damage_is_told(tmp_path: Path) -> None:
    vectors = unit(7)
    index.write(index.build(vectors, 0)[0], tmp_path / "x.faiss")
    again = index.read(tmp_path / "x.faiss")
    assert again.search(vectors, 1)[1].ravel().tolist() == list(range(7))
    (tmp_path / "x.faiss").write_bytes(b"no index")
    with pytest.raises(DataError, match=r"x\.faiss: not readable as a FAISS index"):
        index.read(tmp_path / "x.faiss")
    with pytest.raises(DataError, match=r"y\.faiss: no such file"):
        index.read(tmp_path / "y.faiss")
