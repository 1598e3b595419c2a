"""Methods without an idea of objects: what any figure must be read against."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from heap.baselines.patches import Answer, Patches
from heap.head.priors import attention_above_mean

# Side of the centred box as a share of the photo's: it then covers a quarter of the photo.
_BOX_SIDE = 0.5


def everything(photo: Patches) -> Answer:
    """Every patch is foreground."""
    return Answer(np.ones(len(photo.features), np.float32))


def centred_box(photo: Patches) -> Answer:
    """A box in the middle, half as high and half as wide as the photo."""

    def inside(n: int) -> npt.NDArray[np.bool_]:
        return np.abs((np.arange(n) + 0.5) / n - 0.5) <= _BOX_SIDE / 2

    box = inside(photo.shape[0])[:, None] & inside(photo.shape[1])[None]
    return Answer(box.astype(np.float32).ravel())


def attention(photo: Patches) -> Answer:
    """Patches attended to more than the photo's mean."""
    return Answer(attention_above_mean(photo.attention))
