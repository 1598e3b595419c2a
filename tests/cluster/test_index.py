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
    built, _ = index.build(vectors, 0)
    ids, cosines = index.elsewhere(built, vectors, np.array([0, 0, 0, 0, 1]), 3)
    assert ids[0].tolist() == [4, -1, -1]
    assert np.isnan(cosines[0]).tolist() == [False, True, True]
    assert (ids[4] >= 0).all()
    assert (index.elsewhere(built, vectors, np.zeros(5, dtype=np.int64), 2)[0] == -1).all()  # one photo


def test_above_the_size_an_inverted_file_that_looks_into_enough_cells() -> None:
    centres = unit(50, seed=1)
    noise = np.random.default_rng(2).normal(size=(3000, 12)) * 0.05
    vectors = centres[np.arange(3000) % 50] + noise
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    built, info = index.build(vectors, seed=0, exact_up_to=1000)
    assert (info["kind"], info["exact"], info["cells"]) == ("IndexIVFScalarQuantizer fp16", False, 109)
    # Doubled until enough is found, and no further.
    recalls = info["recall_at_10_by_cells_searched"]
    assert list(recalls) == [str(2**step) for step in range(len(recalls))]
    assert info["cells_searched"] == built.nprobe == 2 ** (len(recalls) - 1)
    assert [recall >= 0.95 for recall in recalls.values()] == [False] * (len(recalls) - 1) + [True]
    assert info["recall_at_10"] == recalls[str(built.nprobe)]
    # The share reported is that of a comparison of all with all, here without the region itself.
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -2)
    exact = np.argsort(-similarity, axis=1)[:, :10]
    found = built.search(vectors, 11)[1]
    recall = np.mean(
        [len(set(a[a != i][:10]) & set(b)) / 10 for i, (a, b) in enumerate(zip(found, exact, strict=True))]
    )
    assert recall == pytest.approx(info["recall_at_10"], abs=0.02)  # the sample is 500 of 3,000
    photos = np.arange(3000) // 4
    ids, cosines = index.elsewhere(built, vectors, photos, 5)
    assert not (photos[ids] == photos[:, None])[ids >= 0].any()
    assert cosines[0] == pytest.approx(vectors[ids[0]] @ vectors[0], abs=2e-3)  # of float16 values


def test_vectors_without_cells_of_their_own_are_searched_whole() -> None:
    built, info = index.build(unit(2000, dim=64), seed=0, exact_up_to=100)
    # Directions drawn at random have no neighbourhoods: nothing less than nearly all cells is enough.
    assert info["recall_at_10"] >= 0.95
    assert built.nprobe > info["cells"] / 2


def test_an_index_survives_the_disk_and_damage_is_named(tmp_path: Path) -> None:
    vectors = unit(7)
    sha256 = index.write(index.build(vectors, 0)[0], tmp_path / "x.faiss")
    again = index.read(tmp_path / "x.faiss", sha256)
    assert again.search(vectors, 1)[1].ravel().tolist() == list(range(7))
    whole = (tmp_path / "x.faiss").read_bytes()
    # A bit of a vector, which FAISS would read without a word; a file cut short; another file.
    for damaged in (whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:], whole[:-1], b"no index"):
        (tmp_path / "x.faiss").write_bytes(damaged)
        with pytest.raises(DataError, match=r"x\.faiss: has sha256 .* the table of clusters says " + sha256[:12]):
            index.read(tmp_path / "x.faiss", sha256)
    with pytest.raises(DataError, match=r"y\.faiss: no such file"):
        index.read(tmp_path / "y.faiss", sha256)
