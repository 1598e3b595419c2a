"""Where the patches of a region lie in the photo.

A photo is resized to the encoder's input, the input is padded at right and bottom to whole patches, and each pixel of
the photo belongs to the patch under its centre. Every figure in photo pixels follows from this one rule, so areas,
boxes and masks agree to the pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Label = TypeVar("Label", bound=np.integer[Any])


def patch_of_pixels(photo_px: int, input_px: int, patch_px: int, grid: int) -> Integers:
    """Return for each pixel along one side of a photo the patch its centre lies in.

    Args:
        photo_px: the photo's side.
        input_px: the same side as fed to the encoder, before padding.
        patch_px: side of a patch.
        grid: patches along the side.

    Returns:
        `(photo_px,)` int64, non-decreasing, within 0..grid-1.
    """
    # Whole numbers throughout: (2 y + 1) / (2 photo) * input / patch, rounded down without any float.
    pixels = np.arange(photo_px, dtype=np.int64)
    patch = (2 * pixels + 1) * input_px // (2 * photo_px * patch_px)
    return np.minimum(patch, grid - 1)


def enlarge(
    labels: npt.NDArray[Label], photo_hw: tuple[int, int], input_hw: tuple[int, int], patch_px: int
) -> npt.NDArray[Label]:
    """Return the patch map `(grid_h, grid_w)` at photo resolution `(H, W)`, nearest patch, padding cropped away."""
    rows = patch_of_pixels(photo_hw[0], input_hw[0], patch_px, labels.shape[0])
    columns = patch_of_pixels(photo_hw[1], input_hw[1], patch_px, labels.shape[1])
    enlarged: npt.NDArray[Label] = labels[rows[:, None], columns[None, :]]
    return enlarged


@dataclass(frozen=True)
class Extent:
    """What one region covers in its photo.

    Attributes:
        area_px: pixels of the photo whose patch is the region's.
        box: (x1, y1, x2, y2), half open: the pixels are `photo[y1:y2, x1:x2]`; all zero for a region without pixels.
    """

    area_px: int
    box: tuple[int, int, int, int]


def extents(
    tokens: npt.NDArray[np.integer], photo_hw: tuple[int, int], input_hw: tuple[int, int], patch_px: int
) -> dict[int, Extent]:
    """Return the extent of each token that occurs in a photo's patch map.

    Equal to counting the pixels of `enlarge(tokens, ...)`, without making that image.

    Args:
        tokens: `(grid_h, grid_w)`, the token of each patch.
        photo_hw: the photo's size.
        input_hw: the size fed to the encoder, before padding.
        patch_px: side of a patch.
    """
    grid_h, grid_w = tokens.shape
    rows = patch_of_pixels(photo_hw[0], input_hw[0], patch_px, grid_h)
    columns = patch_of_pixels(photo_hw[1], input_hw[1], patch_px, grid_w)
    heights = np.bincount(rows, minlength=grid_h)
    widths = np.bincount(columns, minlength=grid_w)
    pixels = heights[:, None] * widths[None, :]
    found: dict[int, Extent] = {}
    for token in np.unique(tokens):
        of_token = (tokens == token) & (pixels > 0)
        y, x = np.nonzero(of_token)
        if len(y) == 0:  # only in the padding, or thinner than a pixel
            found[int(token)] = Extent(0, (0, 0, 0, 0))
            continue
        # First and last pixel of a row of patches: `rows` is sorted.
        top, bottom = np.searchsorted(rows, y.min(), "left"), np.searchsorted(rows, y.max(), "right")
        left, right = np.searchsorted(columns, x.min(), "left"), np.searchsorted(columns, x.max(), "right")
        found[int(token)] = Extent(int(pixels[of_token].sum()), (int(left), int(top), int(right), int(bottom)))
    return found
