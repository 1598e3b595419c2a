"""The connected parts of a mask and of what is around it, as the peers' code reads them: 4-connected."""

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
    box = bounding_box(mask)
    # ndimage's default structure is the 4-neighbourhood, and its labels count up in raster order of the first pixels.
    labels, count = ndimage.label(mask[box])
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())[1:]
    label = count - int(sizes[::-1].argmax()) if ties_to_last else 1 + int(sizes.argmax())
    kept: Mask = np.zeros_like(mask)
    np.equal(labels, label, out=kept[box])
    return kept


def fill_holes(mask: Mask) -> Mask:
    """Return a mask `(h, w)` with the background that is not 4-connected to its border filled.

    What scipy's `binary_fill_holes` does by repeated dilation, in one labelling and a quarter of the time.
    """
    box = bounding_box(mask)
    labels, count = ndimage.label(~mask[box])
    if not count:
        return mask
    inside = np.ones(count + 1, dtype=bool)  # label 0 is the mask itself
    # What touches the border of the box is at the border of the mask, or next to background that is.
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        inside[edge[edge > 0]] = False
    if np.count_nonzero(inside) == 1:
        return mask
    filled = mask.copy()
    filled[box] = inside[labels]
    return filled


def bounding_box(mask: Mask) -> tuple[slice, slice]:
    """Return the rows and columns that a mask `(h, w)` occupies; none and none for an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
