"""How many clusters: the k of a range by which the regions fall apart most clearly, without any label.

The criterion is the simplified silhouette (Hruschka, de Castro, Campello 2004): of each vector s = (b - a) / max(a, b),
a its distance to its own centroid and b to the next nearest one, distances being 1 - cosine. Its mean is near 1 where
clusters are tight and far from each other, and falls both where k joins kinds (a grows) and where it splits one (b
shrinks to a). Unlike the silhouette over all pairs it takes n k distances and not n^2.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from heap.cluster.kmeans import spherical_kmeans
from heap.errors import ClusterError
from heap.settings.stages import ChosenK, ClusterSettings

log = logging.getLogger("heap")

Floats = npt.NDArray[np.float32]

# Vectors that are clustered for each k; drawn once, so that all k are judged by the same ones.
JUDGED = 10_000
# A range with more numbers is tried in steps that grow with k: 40 against 41 clusters is no question.
TRIED = 40


def choose_k(vectors: Floats, fewest: int, most: int, settings: ClusterSettings) -> dict[str, Any]:
    """Return the k of best simplified silhouette; of equal ones the smallest.

    Args:
        vectors: `(n, D)` float32 of length 1, n >= most.
        fewest: the smallest k that is tried, 2 or more.
        most: the largest.
        settings: of each k-means; the seed is also that of the sample.

    Returns:
        k, criterion, range, judged (how many vectors), silhouette (of each k tried, its name as text for JSON).
    """
    count = min(len(vectors), max(JUDGED, most))
    rows = np.sort(np.random.default_rng(settings.seed).choice(len(vectors), count, replace=False))
    judged = vectors[rows]
    settings = settings.model_copy(update={"points_per_centroid": len(judged)})
    curve: dict[int, float] = {}
    for k in candidates(fewest, most):
        curve[k] = simplified_silhouette(judged, spherical_kmeans(judged, k, settings).centroids)
    best = max(curve, key=lambda k: (curve[k], -k))
    shown = ", ".join(f"{k}: {value:.3f}" for k, value in curve.items())
    log.info("simplified silhouette of %d regions: %s; k = %d", len(judged), shown, best)
    return {
        "k": best,
        "criterion": "simplified silhouette",
        "range": [fewest, most],
        "judged": len(judged),
        "silhouette": {str(k): value for k, value in curve.items()},
    }


def candidates(fewest: int, most: int) -> list[int]:
    """Return the numbers that are tried: all, or about `TRIED` with a constant ratio from one to the next."""
    if most - fewest < TRIED:
        return list(range(fewest, most + 1))
    return np.unique(np.rint(np.geomspace(fewest, most, TRIED))).astype(int).tolist()


def simplified_silhouette(vectors: Floats, centroids: Floats) -> float:
    """Return the mean over vectors `(n, D)` of (b - a) / max(a, b) by their distances to centroids `(k, D)`, k >= 2."""
    distances = 1 - vectors @ centroids.T
    own, other = np.clip(np.partition(distances, 1, axis=1)[:, :2], 0, None).T  # rounding takes a cosine above 1
    # A vector on its own centroid and on another one too belongs to neither: 0, as if in between. So does one alone in
    # its cluster (Rousseeuw 1987), or the best k of a few vectors would be one cluster for each.
    assigned = distances.argmin(axis=1)
    several = (other > 0) & (np.bincount(assigned, minlength=len(centroids))[assigned] > 1)
    return float(np.mean(np.divide(other - own, other, out=np.zeros_like(other), where=several), dtype=np.float64))


def bounded_k(kind: str, wanted: int | ChosenK, objects: int, dataset: str) -> int | ChosenK:
    """Return a number of clusters, or a range of it, that the objects there are can fill.

    A number is at most that of the objects. The most of a range leaves two objects a cluster on average: with one each
    nothing is left to compare.

    Raises:
        ClusterError: there is no object at all.
    """
    if objects == 0:
        raise ClusterError(
            f"cluster.{kind}: {dataset} has no {kind} region; see the training's diagnostics, or train on more photos"
        )
    if not isinstance(wanted, ChosenK):
        return min(wanted, objects)
    fewest, most = wanted.choose[0], min(wanted.choose[1], objects // 2)
    if most <= fewest:
        return max(1, min(fewest, objects // 2))
    return wanted if most == wanted.choose[1] else ChosenK(choose=[fewest, most])
