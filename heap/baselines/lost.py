"""LOST: the patch with the fewest relatives starts an object (Simeoni et al., BMVC 2021; matched on golden data)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from heap.baselines.patches import Answer, Floats, Mask, Patches, component_of
from heap.settings.baselines import LostSettings


class Expansion(NamedTuple):
    """LOST's steps on one photo.

    Attributes:
        degree: `(N,)` int64, other patches with a positive affinity.
        seed: the patch of least degree, of equals the first.
        similar: `(N,)` bool, patches with a positive sum of affinities to the expanded seed.
    """

    degree: npt.NDArray[np.int64]
    seed: int
    similar: Mask


def expand(features: Floats, k_patches: int) -> Expansion:
    """Return seed and expansion of features `(N, D)`, which are not normalised.

    The peer's sort is not stable, so where degrees tie it may pick another patch; here the first in raster order wins.
    """
    affinity = features @ features.T  # float32, as the peer's: the sign of values near zero decides the degrees
    positive = affinity > 0
    degree = positive.sum(axis=1) - positive.diagonal()
    order = np.argsort(degree, kind="stable")
    seed = int(order[0])
    among = order[:k_patches]
    among = among[affinity[seed, among] > 0]
    return Expansion(degree, seed, affinity[among].sum(axis=0) > 0)


def lost(photo: Patches, settings: LostSettings) -> Answer:
    """Return the component of the expanded seed that holds the seed, alone: the box is that component's.

    A seed whose feature is zero has no affinity to itself and lies outside its own expansion. The peer's code stops
    there; here the seed alone is the object (note `seed_alone`).
    """
    found = expand(photo.centred if settings.centre else photo.features, settings.k_patches)
    if not found.similar[found.seed]:
        alone = np.zeros(len(found.similar), np.float32)
        alone[found.seed] = 1
        return Answer(alone, "seed_alone")
    return Answer(component_of(found.seed, found.similar, photo).astype(np.float32))
