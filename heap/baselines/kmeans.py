"""K-means of a photo's own patches; the clusters that are attended to are the object (a plain baseline, ours)."""

from __future__ import annotations

import faiss
import numpy as np

from heap.baselines.patches import Answer, Patches
from heap.settings.baselines import KmeansSettings


def kmeans(photo: Patches, settings: KmeansSettings) -> Answer:
    """Return the clusters whose mean attention is above the photo's.

    Patches are centred on the photo and brought to unit length first: then clusters go by direction, as all of HEAP
    compares patches, and not by how long a feature happens to be.
    """
    unit = photo.centred
    unit /= np.linalg.norm(unit, axis=1, keepdims=True).clip(1e-12)
    attended = photo.attention.mean(axis=1, dtype=np.float64)
    clusters = min(settings.clusters, len(unit))
    # Few points a centroid are meant here, so FAISS need not warn of them; all patches are used, none is sampled away.
    means = faiss.Kmeans(
        unit.shape[1], clusters, niter=settings.iterations, seed=settings.seed, spherical=True,
        min_points_per_centroid=1, max_points_per_centroid=len(unit),
    )  # fmt: skip
    means.train(unit)
    _, nearest = means.index.search(unit, 1)
    cluster = nearest.ravel()
    sizes = np.bincount(cluster, minlength=clusters)
    of_cluster = np.bincount(cluster, weights=attended, minlength=clusters) / np.maximum(sizes, 1)
    return Answer((of_cluster[cluster] > attended.mean()).astype(np.float32))
