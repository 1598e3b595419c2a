"""The largest connected part of a mask, as the peers' code picks it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]


def largest_component(mask: Mask, *, ties_to_last: bool) -> Mask:
    """Return the largest 4-connected component of a mask.

    Args:
        mask: `(h, w)` bool.
        ties_to_last: which of several largest is kept: the one whose first pixel comes last in raster order (FOUND's
            saliency code, `single`) or the one whose first pixel comes first (LOST's and FOUND's discovery code).

    Returns:
        `(h, w)` bool; empty where `mask` is.
    """
    # ndimage's default structure is the 4-neighbourhood, and its labels count up in raster order of the first pixels.
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())[1:]
    label = count - int(sizes[::-1].argmax()) if ties_to_last else 1 + int(sizes.argmax())
    kept: Mask = labels == label
    return kept
