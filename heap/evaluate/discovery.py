"""Single-object discovery: one box a photo, CorLoc. The protocol of LOST, TokenCut and FOUND."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from heap.components import Mask, largest_component
from heap.grid import Box, PatchGrid

AnyBox = tuple[float, float, float, float]  # of any program, not always whole pixels


@dataclass(frozen=True)
class Found:
    """The box of one photo.

    Attributes:
        box: `(x1, y1, x2, y2)` in the photo's pixels, ends exclusive.
        fallback: the mask was empty, so the box is that of the most foreground-like patch.
    """

    box: Box
    fallback: bool


@dataclass(frozen=True)
class Judged:
    """One photo's box against its true boxes.

    Attributes:
        box: what was found; None where nothing was.
        iou: the best with any true box.
        correct: whether that is at least 0.5, compared as integers.
        fallback: the prediction was empty.
    """

    box: AnyBox | None
    iou: float
    correct: bool
    fallback: bool


def find(foreground: npt.NDArray[np.float32], grid: PatchGrid) -> Found:
    """Return the box of a patch map.

    The mask is read at patch resolution and not upsampled (FOUND). The peers' code crashes on an empty mask; here the
    patch of the largest value takes its place (the first of equals in raster order), and tables count how often.

    Args:
        foreground: `(grid_h, grid_w)` probability of being foreground; above 0.5 is.
        grid: where the patches lie in the photo, in whose pixels the true boxes are.
    """
    box = box_of_mask(foreground > 0.5)
    if box is not None:
        return Found(grid.box(box), False)
    y, x = divmod(int(foreground.argmax()), foreground.shape[1])
    return Found(grid.box((x, y, x + 1, y + 1)), True)


def box_of_mask(mask: Mask) -> Box | None:
    """Return the box around the largest 4-connected component of `(h, w)` bool, or None for an empty mask.

    Of several largest components the first in raster order is taken (LOST, FOUND).
    """
    component = largest_component(mask, ties_to_last=False)
    rows, columns = np.flatnonzero(component.any(axis=1)), np.flatnonzero(component.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def judge(box: AnyBox | None, truth: npt.NDArray[np.int64], fallback: bool = False) -> Judged:
    """Compare a box with true boxes `(n, 4)`; no box is wrong and a fallback."""
    if box is None:
        return Judged(None, 0.0, False, True)
    shared, union = overlaps(box, truth)
    # Two boxes without any area overlap in nothing, and their union is nothing too.
    return Judged(box, float((shared / np.maximum(union, 1e-9)).max(initial=0.0)), is_correct(box, truth), fallback)


def overlaps(box: AnyBox, truth: npt.NDArray[np.int64]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return areas of intersection and union, `(n,)` each, of a box with boxes `(n, 4)`; all `x1, y1, x2, y2`."""
    width = np.minimum(box[2], truth[:, 2]) - np.maximum(box[0], truth[:, 0])
    height = np.minimum(box[3], truth[:, 3]) - np.maximum(box[1], truth[:, 1])
    shared = width.clip(0) * height.clip(0)
    area = (box[2] - box[0]) * (box[3] - box[1])
    areas = (truth[:, 2] - truth[:, 0]) * (truth[:, 3] - truth[:, 1])
    return shared, area + areas - shared


def is_correct(box: AnyBox, truth: npt.NDArray[np.int64]) -> bool:
    """Say whether a box has an IoU of at least 0.5 with any true box `(n, 4)`.

    Compared as integers: an IoU of exactly 0.5 counts, as in the peers' code (whose epsilon is lost in float32).
    """
    shared, union = overlaps(box, truth)
    return bool((2 * shared >= union).any())


def corloc(correct: int, photos: int) -> float:
    """Return the share of photos with a correct box, in percent.

    Raises:
        ValueError: there are no photos.
    """
    if photos == 0:
        raise ValueError("no photo was scored")
    return 100.0 * correct / photos
