"""Smoothing of a patch map: patches that look alike in one photo get like values, and the photo its own threshold.

The head scores groups that all photos share. Which of a photo's patches belong together its frozen features say more
finely than these few groups: the map, averaged over a photo's like patches, is better than the map of the head itself
(figures, also of other methods' maps after the same smoothing: docs/explanation/recipe.md). No label is read.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from skimage.filters import threshold_otsu

from heap.head.priors import over_alike

Floats = npt.NDArray[np.float32]


def smooth(foreground: Floats, features: npt.NDArray[np.floating], width: float) -> Floats:
    """Return the map `(N,)` averaged over like patches, 0.5 where Otsu's threshold of the averages lies.

    A map that is foreground everywhere or nowhere (on one side of 0.5) is left as it is: smoothing decides where an
    object ends and not whether there is one.

    Args:
        foreground: `(N,)` in 0..1, foreground above 0.5.
        features: the photo's frozen features `(N, D)`.
        width: of the smoothing, see `over_alike`; 0 leaves the map as it is.
    """
    return smooth_all([foreground], features, width)[0]


def smooth_all(maps: Sequence[Floats], features: npt.NDArray[np.floating], width: float) -> list[Floats]:
    """Return `smooth` of several maps of one photo: how alike its patches are, which takes longest, is found once."""
    smoothed = list(maps)
    both_sides = [i for i, one in enumerate(maps) if 0 < np.count_nonzero(one > 0.5) < one.size]
    if width == 0 or not both_sides:
        return smoothed
    values = features.astype(np.float32)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True).clip(1e-12)
    stacked = np.stack([maps[i] for i in both_sides], axis=1)
    averaged = over_alike(stacked, unit, width)
    for i, means in zip(both_sides, averaged.T, strict=True):
        smoothed[i] = _cut(maps[i], means)
    return smoothed


def _cut(foreground: Floats, averaged: Floats) -> Floats:
    """Return the averages `(N,)` of a map with their own threshold at 0.5."""
    if np.ptp(averaged) < 1e-6:  # all patches are equally alike: there is nothing to tell them apart
        return foreground
    # Averages of a wide map stay away from 0 and 1, so a fixed threshold would cut too much. Two straight lines keep
    # the order of the patches, 0 and 1, and bring the photo's threshold to 0.5.
    threshold = np.float32(threshold_otsu(averaged))
    low = 0.5 * averaged / threshold
    high = 0.5 + 0.5 * (averaged - threshold) / (1 - threshold)
    return np.where(averaged > threshold, high, low).astype(np.float32)
