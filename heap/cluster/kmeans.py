"""Spherical k-means of unit vectors with FAISS: everything that decides the outcome is set and recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from heap.cluster.device import gpus, placed
from heap.settings.stages import ClusterSettings

Floats = npt.NDArray[np.float32]

# Starts are many and short: of one start in four the best valley is found (demo's objects, k = 7), so a few leave it to
# chance. Each sees FAISS's own default of points a centroid; more of them would cost a million regions hours.
START_POINTS, START_ITERATIONS = 256, 10
# k-means++ starts: with uniform ones, two starts often fall into one true cluster and stay there.
_PLUS_PLUS = getattr(faiss, "ClusteringInitMethod_KMEANS_PLUS_PLUS", None)
# Vectors assigned at a time: 65,536 x k similarities stay below 300 MB for k = 1000.
ROWS_AT_A_TIME = 65536


@dataclass(frozen=True)
class KMeans:
    """A clustering of unit vectors.

    Attributes:
        centroids: `(k, D)` float32 of length 1.
        assigned: `(n,)` int32, the cluster of each vector.
        distance: `(n,)` float32, 1 - cosine to its centroid.
        info: what was set and what came of it (k, seed, points, restarts, iterations, start, inertia, device).
    """

    centroids: Floats
    assigned: npt.NDArray[np.int32]
    distance: Floats
    info: dict[str, Any]


def spherical_kmeans(vectors: Floats, k: int, settings: ClusterSettings) -> KMeans:
    """Cluster unit vectors by cosine.

    Args:
        vectors: `(n, D)` float32 of length 1, n >= k.
        k: clusters.
        settings: starts are short and on a sample; the one of the best objective goes on for `iterations`, with at most
            k times `points_per_centroid` vectors, which FAISS draws with the seed.

    Returns:
        Clusters numbered by size, the largest first (ties by centroid): numbers do not hang on the order of the starts.

    Raises:
        EncoderError: $HEAP_DEVICE asks for a GPU that FAISS does not see.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    few = min(settings.points_per_centroid, START_POINTS)
    best = _train(vectors, k, min(settings.iterations, START_ITERATIONS), settings.restarts, few, settings.seed)
    trained = _train(vectors, k, settings.iterations, 1, settings.points_per_centroid, settings.seed, best)
    centroids, assigned, similarity = _ordered(vectors, trained)
    distance = np.clip(1 - similarity, 0, 2).astype(np.float32)
    return KMeans(
        centroids=centroids,
        assigned=assigned,
        distance=distance,
        info={
            "k": k,
            **settings.model_dump(include={"seed", "iterations", "restarts"}),
            "start": "random" if _PLUS_PLUS is None else "k-means++",
            "points": min(len(vectors), k * settings.points_per_centroid),
            # Sum of squared distances over all vectors, |a - b|^2 = 2 (1 - cos) for unit vectors.
            "inertia": float(2 * distance.sum(dtype=np.float64)),
            "empty": int(k - len(np.unique(assigned))),
            "device": "gpu" if gpus() else "cpu",
        },
    )


def _train(
    vectors: Floats,
    k: int,
    iterations: int,
    starts: int,
    points_per_centroid: int,
    seed: int,
    init: Floats | None = None,
) -> Floats:
    """Return the centroids `(k, D)` of the best of some starts, or those that `init` leads to."""
    choices = {} if _PLUS_PLUS is None else {"init_method": _PLUS_PLUS}
    # The least number only silences a warning: too few regions is an error of ours, see `bounded_k`.
    points = {"min_points_per_centroid": 1, "max_points_per_centroid": points_per_centroid}
    dim = vectors.shape[1]
    clustering = faiss.Kmeans(dim, k, niter=iterations, nredo=starts, seed=seed, spherical=True, **points, **choices)
    clustering.index = placed(clustering.index)
    clustering.train(vectors, init_centroids=init)
    return np.asarray(clustering.centroids, dtype=np.float32)


def _ordered(vectors: Floats, centroids: Floats) -> tuple[Floats, npt.NDArray[np.int32], Floats]:
    """Assign all vectors (k-means may have trained on a sample) and number the clusters by size, then by centroid."""
    assigned, similarity = assign(vectors, centroids)
    sizes = np.bincount(assigned, minlength=len(centroids))
    # lexsort takes the most important key last.
    order = np.lexsort((*centroids.T[::-1], -sizes))
    number = np.empty(len(order), dtype=np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)
    return centroids[order], number[assigned], similarity


def assign(vectors: Floats, centroids: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return for each vector `(n, D)` the most similar of the centroids `(k, D)` and the cosine to it, both `(n,)`."""
    best = np.empty(len(vectors), dtype=np.int64)
    cosine = np.empty(len(vectors), dtype=np.float32)
    for first in range(0, len(vectors), ROWS_AT_A_TIME):
        rows = slice(first, first + ROWS_AT_A_TIME)
        similarity = vectors[rows] @ centroids.T  # (rows, k)
        best[rows] = similarity.argmax(axis=1)
        cosine[rows] = similarity.max(axis=1)
    return best, cosine
