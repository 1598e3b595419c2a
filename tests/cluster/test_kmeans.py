"""Planted clusters are found, in numbers that do not hang on chance."""

from __future__ import annotations

import numpy as np
import pytest

from heap.cluster.device import gpus
from heap.cluster.kmeans import ROWS_AT_A_TIME, assign, spherical_kmeans
from heap.errors import EncoderError
from heap.settings.stages import ClusterSettings

SET = ClusterSettings(iterations=20, restarts=10, points_per_centroid=1000, seed=0)


def planted(sizes: list[int], dim: int = 24, noise: float = 0.04) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    centres = np.linalg.qr(rng.normal(size=(dim, dim)))[0][: len(sizes)]
    kinds = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    vectors = centres[kinds] + noise * rng.normal(size=(len(kinds), dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), kinds


def test_planted_clusters_are_found_exactly_and_numbered_by_size() -> None:
    sizes = [40, 90, 10, 60, 25, 31, 77, 18]
    vectors, kinds = planted(sizes)
    found = spherical_kmeans(vectors, len(sizes), SET)
    by_size = np.argsort(-np.array(sizes))
    assert np.array_equal(by_size[found.assigned], kinds)
    assert np.allclose(np.linalg.norm(found.centroids, axis=1), 1, atol=1e-5)
    assert found.info["empty"] == 0


def test_the_objective_decides_and_not_chance() -> None:
    # Kinds that overlap: single starts end in several valleys, 40 in one, whatever the seed and the last digits.
    vectors, _ = planted([30] * 12, dim=16, noise=0.2)
    once = [SET.model_copy(update={"restarts": 1, "seed": seed}) for seed in range(4)]
    single = [spherical_kmeans(vectors, 12, settings).info["inertia"] for settings in once]
    assert max(single) > 1.1 * min(single)
    best = spherical_kmeans(vectors, 12, SET.model_copy(update={"restarts": 40}))
    for seed in (1, 2, 3):
        shaken = vectors + 1e-4 * np.random.default_rng(seed).normal(size=vectors.shape).astype(np.float32)
        shaken /= np.linalg.norm(shaken, axis=1, keepdims=True)
        found = spherical_kmeans(shaken, 12, SET.model_copy(update={"restarts": 40, "seed": seed}))
        assert found.info["inertia"] == pytest.approx(best.info["inertia"], rel=1e-3)
        pairs = set(zip(found.assigned.tolist(), best.assigned.tolist(), strict=True))
        assert len(pairs) <= 14  # 12 of the clusters themselves; sizes are near, so their order may differ


@pytest.mark.parametrize(
    ("asked", "torch_sees", "faiss_sees", "expected"),
    [
        (None, False, 0, []), (None, False, 2, [0, 1]), ("auto", True, 2, [0, 1]), ("cpu", True, 2, []),
        ("cuda", True, 2, [0, 1]), ("cuda:1", True, 2, [1]), ("mps", True, 2, []),
        ("cuda", False, 0, "torch sees none"), ("cuda", True, 0, "FAISS sees 0"), ("cuda:1", True, 1, "FAISS sees 1"),
    ],
)  # fmt: skip
def test_clusters_are_made_where_heap_device_says(
    monkeypatch: pytest.MonkeyPatch, asked: str | None, torch_sees: bool, faiss_sees: int, expected: list[int] | str
) -> None:
    monkeypatch.delenv("HEAP_DEVICE", raising=False)
    if asked is not None:
        monkeypatch.setenv("HEAP_DEVICE", asked)
    monkeypatch.setattr("torch.cuda.is_available", lambda: torch_sees)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: torch_sees)
    monkeypatch.setattr("faiss.get_num_gpus", lambda: faiss_sees)
    if isinstance(expected, str):
        with pytest.raises(EncoderError, match=expected):
            gpus()
    else:
        assert gpus() == expected


def test_distance_and_inertia_are_what_they_say() -> None:
    vectors, _ = planted([30, 20, 10])
    found = spherical_kmeans(vectors, 3, SET)
    own = found.centroids[found.assigned]
    assert np.allclose(found.distance, 1 - (vectors * own).sum(1), atol=1e-6)
    assert np.isclose(found.info["inertia"], ((vectors - own) ** 2).sum(), rtol=1e-4)
    # No vector would be nearer to another centroid.
    assert np.array_equal((vectors @ found.centroids.T).argmax(1), found.assigned)


def test_same_input_same_bytes_and_the_order_of_rows_does_not_matter() -> None:
    vectors, _ = planted([30, 20, 10, 15])
    first, second = (spherical_kmeans(vectors, 4, SET) for _ in range(2))
    assert first.assigned.tobytes() == second.assigned.tobytes()
    assert first.centroids.tobytes() == second.centroids.tobytes()
    order = np.random.default_rng(5).permutation(len(vectors))
    assert np.array_equal(spherical_kmeans(vectors[order], 4, SET).assigned, first.assigned[order])


def test_training_on_a_sample_is_recorded_and_all_vectors_are_assigned() -> None:
    vectors, kinds = planted([300, 200])
    found = spherical_kmeans(vectors, 2, SET.model_copy(update={"points_per_centroid": 50}))
    assert found.info["points"] == 100
    assert np.array_equal(found.assigned, kinds)


def test_identical_vectors_leave_clusters_empty_and_say_so() -> None:
    vectors = np.tile(np.eye(1, 8, dtype=np.float32), (6, 1))
    found = spherical_kmeans(vectors, 3, SET)
    assert set(found.assigned) == {0}
    assert found.info["empty"] == 2


def test_assignment_in_blocks_equals_assignment_at_once() -> None:
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(ROWS_AT_A_TIME + 3, 4)).astype(np.float32)
    centroids = rng.normal(size=(5, 4)).astype(np.float32)
    best, cosine = assign(vectors, centroids)
    assert np.array_equal(best, (vectors @ centroids.T).argmax(1))
    assert np.allclose(cosine, (vectors @ centroids.T).max(1))
