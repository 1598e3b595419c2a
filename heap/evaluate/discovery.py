"""Single-object discovery: one box a photo, CorLoc. The protocol of LOST, TokenCut and FOUND."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from heap.components import Mask, largest_component

Box = tuple[int, int, int, int]
AnyBox = tuple[float, float, float, float]  # of any program, not always whole pixels
Size = tuple[int, int]


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


def find(foreground: npt.NDArray[np.float32], patch_px: int, input_hw: Size, photo_hw: Size) -> Found:
    """Return the box of a patch map.

    The mask is read at patch resolution and not upsampled (FOUND). The peers' code crashes on an empty mask; here the
    patch of the largest value takes its place (the first of equals in raster order), and tables count how often.

    Args:
        foreground: `(grid_h, grid_w)` probability of being foreground; above 0.5 is.
        patch_px: side of a patch.
        input_hw: height and width of the encoder's input before padding.
        photo_hw: height and width of the photo, in whose pixels the true boxes are.
    """
    mask: Mask = foreground > 0.5
    box = box_of_mask(mask, patch_px, input_hw)
    fallback = box is None
    if box is None:
        patch = np.zeros_like(mask)
        patch.flat[int(foreground.argmax())] = True
        box = box_of_mask(patch, patch_px, input_hw)
        assert box is not None
    return Found(scale_box(box, input_hw, photo_hw), fallback)


def box_of_mask(mask: Mask, patch_px: int, input_hw: Size) -> Box | None:
    """Return the box around the largest 4-connected component, or None for an empty mask.

    Of several largest components the first in raster order is taken (LOST, FOUND). A mask that is already at pixel
    resolution has `patch_px=1`.

    Args:
        mask: `(grid_h, grid_w)` bool.
        patch_px: side of a patch.
        input_hw: height and width the box is clipped to.
    """
    component = largest_component(mask, ties_to_last=False)
    rows, columns = np.flatnonzero(component.any(axis=1)), np.flatnonzero(component.any(axis=0))
    if not len(rows):
        return None
    x1, y1 = int(columns[0]) * patch_px, int(rows[0]) * patch_px
    x2, y2 = (int(columns[-1]) + 1) * patch_px, (int(rows[-1]) + 1) * patch_px
    return x1, y1, min(x2, input_hw[1]), min(y2, input_hw[0])


def scale_box(box: Box, input_hw: Size, photo_hw: Size) -> Box:
    """Return a box of the encoder's input in the photo's pixels: rounded, at least one pixel wide and high."""
    if input_hw == photo_hw:
        return box
    x1, x2 = (round(x * photo_hw[1] / input_hw[1]) for x in box[0::2])
    y1, y2 = (round(y * photo_hw[0] / input_hw[0]) for y in box[1::2])
    x1, y1 = min(x1, photo_hw[1] - 1), min(y1, photo_hw[0] - 1)
    return x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)


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
