"""What a method sees of one photo, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from heap.cache.reader import FeatureReader
from heap.grid import Size

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Patches:
    """One photo of the cache. N patches in row-major order.

    Attributes:
        features: `(N, D)` float32, not centred, not normalised.
        attention: `(N, heads)` float32.
        shape: rows and columns of patches.
    """

    features: Floats
    attention: Floats
    shape: Size

    @classmethod
    def read(cls, reader: FeatureReader, i: int) -> Patches:
        """Return photo `i` of a store."""
        return cls(reader.features(i), reader.attention(i), reader.grid(i).shape)

    @property
    def centred(self) -> Floats:
        """The features minus their mean over the photo, in float32 as they are."""
        return self.features - self.features.mean(axis=0)


class Answer(NamedTuple):
    """A method's map of one photo.

    Attributes:
        foreground: `(N,)` float32 in [0, 1]; foreground above 0.5.
        note: a word for what did not go by the rule, counted in the receipt; None where all did.
    """

    foreground: Floats
    note: str | None = None


def component_of(seed: int, mask: Mask, photo: Patches) -> Mask:
    """Return the 4-connected component of a mask `(N,)` that holds a patch, `(N,)`; the patch must be in the mask."""
    labels, _ = ndimage.label(mask.reshape(photo.shape))
    flat = labels.ravel()
    assert flat[seed], "the seed lies in the background"
    component: Mask = flat == flat[seed]
    return component
