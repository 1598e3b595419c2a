"""What needs no head, on the same features: the plain answers, the weak guesses, and a supervised linear reference."""

from __future__ import annotations

from collections.abc import Callable

import faiss
import numpy as np

from benchmarks.headbed import reference
from benchmarks.headbed.bed import SIDE, Bed
from heap.head import priors

_y, _x = np.mgrid[:SIDE, :SIDE]
BORDER = ((_y == 0) | (_x == 0) | (_y == SIDE - 1) | (_x == SIDE - 1)).ravel()


def kmeans(features: np.ndarray, attention: np.ndarray, clusters: int = 8) -> np.ndarray:
    """Clusters of a photo's centred unit features whose mean attention is above the photo's."""
    unit = features - features.mean(0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True).clip(1e-12)
    means = faiss.Kmeans(unit.shape[1], clusters, niter=20, seed=0, spherical=True,
                         min_points_per_centroid=1, max_points_per_centroid=len(unit))  # fmt: skip
    means.train(unit)
    cluster = means.index.search(unit, 1)[1].ravel()
    attended = attention.mean(1)
    mean = np.bincount(cluster, attended, clusters) / np.maximum(1, np.bincount(cluster, minlength=clusters))
    return (mean[cluster] > attended.mean()).astype(np.float32)


def centred_box() -> np.ndarray:
    """The middle half of each side."""
    return ((np.abs(_y - 13.5) < 7) & (np.abs(_x - 13.5) < 7)).astype(np.float32).ravel()


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "everything": lambda f, a: np.ones(len(f), np.float32),
    "centred_box": lambda f, a: centred_box(),
    "attention > mean": lambda f, a: priors.attention_above_mean(a),
    "attention, top quarter": lambda f, a: (a.mean(1) > np.quantile(a.mean(1), 0.75)).astype(np.float32),
    "kmeans(8) and attention": kmeans,
    "FOUND's seed": priors.found_seed,
    # The guess of the variant `contrast`, its unsure patches taken for object: the best it does alone.
    "contrast guess alone": lambda f, a: (priors.contrast_seed(f, a, BORDER) >= 0.5).astype(np.float32),
    "contrast guess, sure part": lambda f, a: (priors.contrast_seed(f, a, BORDER) > 0.5).astype(np.float32),
}


def maps(bed: Bed, photos: list[int]) -> dict[str, list[np.ndarray]]:
    """Maps of every method of the photos at these positions; the supervised reference learns from the `val` truth."""
    seen = {i: (bed.reader.features(i), bed.reader.attention(i)) for i in photos}
    found = {name: [method(*seen[i]) for i in photos] for name, method in METHODS.items()}
    learned = bed.scored["val"]
    model = reference.linear([bed.reader.features(i) for i in learned], [bed.truth[i] for i in learned])
    found["supervised linear (reference)"] = [reference.apply(model, seen[i][0]) for i in photos]
    return found
