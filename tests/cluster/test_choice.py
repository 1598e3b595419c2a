"""The number of clusters that was planted is found, from the vectors alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cluster.test_kmeans import planted

from heap.cluster import choice
from heap.settings.stages import ClusterSettings

SET = ClusterSettings(iterations=20, restarts=3, seed=0)


@pytest.mark.parametrize("kinds", [3, 8, 11])
def test_the_planted_number_of_kinds_is_chosen(kinds: int) -> None:
    vectors, _ = planted([20 + 5 * kind for kind in range(kinds)], noise=0.1)
    found = choice.choose_k(vectors, 2, 14, SET)
    assert found["k"] == kinds
    assert found["judged"] == len(vectors)
    assert list(found["silhouette"]) == [str(k) for k in range(2, 15)]
    assert max(found["silhouette"].values()) == found["silhouette"][str(kinds)] > 0.5
    assert choice.choose_k(vectors, 2, 14, SET) == found


def test_a_range_without_the_planted_number_gives_its_nearest_end() -> None:
    vectors, _ = planted([30, 35, 40, 45, 50], noise=0.1)
    assert choice.choose_k(vectors, 7, 12, SET)["k"] == 7
    assert choice.choose_k(vectors, 2, 4, SET)["k"] == 4


def test_the_silhouette_by_hand() -> None:
    centroids = np.eye(2, dtype=np.float32)
    # On a centroid: a = 0, b = 1. In between: a = b. At cosines .8 and .6: a = .2, b = .4.
    vectors = np.array([[1, 0], [np.sqrt(0.5), np.sqrt(0.5)], [0.8, 0.6]], dtype=np.float32)
    assert choice.simplified_silhouette(vectors, centroids) == pytest.approx((1 + 0 + 0.5) / 3, abs=1e-6)
    # Alone in its cluster: 0, however far the other is.
    vectors = np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32)
    assert choice.simplified_silhouette(vectors, centroids) == pytest.approx((1 + 0.5 + 0) / 3, abs=1e-6)
    # Two centroids on one place tell nothing apart.
    assert choice.simplified_silhouette(vectors[:1], centroids[[0, 0]]) == 0


def test_a_sample_is_judged_and_wide_ranges_are_walked_in_growing_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "JUDGED", 60)
    vectors, _ = planted([50, 50, 50, 50], noise=0.05)
    found = choice.choose_k(vectors, 2, 6, SET)
    assert (found["k"], found["judged"]) == (4, 60)
    assert choice.candidates(5, 40) == list(range(5, 41))
    wide = choice.candidates(5, 2000)
    assert (wide[0], wide[-1]) == (5, 2000)
    assert len(wide) <= choice.TRIED
    assert all(b > a for a, b in itertools.pairwise(wide))
