"""Where the patches of a photo lie: in the encoder's input and in the photo's own pixels.

A photo is resized to the encoder's input, the input is padded at right and bottom to whole patches, and each pixel of
the photo belongs to the patch under its centre. Every figure in photo pixels follows from this one rule, so areas,
boxes and masks agree to the pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from heap.upsample import Floats, logits_of, resize, sigmoid

if TYPE_CHECKING:  # workers that score photos start without pandas
    import pandas as pd

Size = tuple[int, int]
Box = tuple[int, int, int, int]
Integers = npt.NDArray[np.int64]
Label = TypeVar("Label", bound=np.integer[Any])

# An infinite logit times a weight of 0 is NaN. At +-200 the float32 sigmoid is exactly 1 or 0 already.
LOGIT_LIMIT = 200.0
_SIZES = ("height_px", "width_px", "input_h_px", "input_w_px")


@dataclass(frozen=True)
class Extent:
    """What one region covers in its photo.

    Attributes:
        area_px: pixels of the photo whose patch is the region's.
        box: (x1, y1, x2, y2), half open: the pixels are `photo[y1:y2, x1:x2]`; all zero for a region without pixels.
    """

    area_px: int
    box: Box


NO_EXTENT = Extent(0, (0, 0, 0, 0))


def grid_of(height_px: int, width_px: int, patch_px: int) -> Size:
    """Return (grid_h, grid_w) of an input that is padded at right and bottom to whole patches."""
    return -(-height_px // patch_px), -(-width_px // patch_px)


@dataclass(frozen=True)
class PatchGrid:
    """The patches of one photo.

    Attributes:
        photo_hw: height and width of the photo, in pixels.
        input_hw: height and width of the encoder's input, before padding.
        patch_px: side of a patch, in pixels of the input.
    """

    photo_hw: Size
    input_hw: Size
    patch_px: int

    @classmethod
    def of(cls, images: pd.DataFrame, i: int, patch_px: int) -> PatchGrid:
        """Return the patches of photo `i` of a cache's plan."""
        height, width, input_h, input_w = (int(images[name].iat[i]) for name in _SIZES)
        return cls((height, width), (input_h, input_w), patch_px)

    @property
    def shape(self) -> Size:
        """Rows and columns of patches, the padded ones with them."""
        return grid_of(*self.input_hw, self.patch_px)

    def at(self, photo_hw: Size) -> PatchGrid:
        """Return the same patches over the photo at another size, such as a thumbnail."""
        return replace(self, photo_hw=(photo_hw[0], photo_hw[1]))

    def saliency(self, foreground: Floats) -> Floats:
        """Return the probability of being foreground of each pixel, `(H, W)`, from each patch's `(grid_h, grid_w)`."""
        return self.soft_map(logits_of(foreground))

    def soft_map(self, logits: Floats) -> Floats:
        """Return the probability of being foreground of each pixel, `(H, W)` float32 in [0, 1].

        The logits, not the probabilities, are upsampled: over the whole padded grid, then cropped to what the encoder
        saw, then resized where the photo was (FOUND's order, the resizing is ours).

        Args:
            logits: `(grid_h, grid_w)`.

        Raises:
            ValueError: they are not of this grid.
        """
        if logits.shape != self.shape:
            raise ValueError(
                f"a grid of {' x '.join(map(str, logits.shape))} patches of {self.patch_px} px for an input of "
                f"{self.input_hw} px"
            )
        limited = np.clip(logits.astype(np.float32, copy=False), -LOGIT_LIMIT, LOGIT_LIMIT)
        padded = self.shape[0] * self.patch_px, self.shape[1] * self.patch_px
        pixels = resize(limited, padded, self.input_hw)
        if self.photo_hw != self.input_hw:
            pixels = resize(pixels, self.photo_hw, self.photo_hw)
        return sigmoid(pixels)

    def box(self, patches: Box) -> Box:
        """Return a box (x1, y1, x2, y2) of whole patches, half open, in the photo's pixels.

        It is clipped to the encoder's input; a resized photo's is rounded, at least one pixel wide and high.
        """
        (height, width), (seen_h, seen_w) = self.photo_hw, self.input_hw
        x1, y1, x2, y2 = (side * self.patch_px for side in patches)
        x2, y2 = min(x2, seen_w), min(y2, seen_h)
        if self.photo_hw == self.input_hw:
            return x1, y1, x2, y2
        x1, x2 = (round(x * width / seen_w) for x in (x1, x2))
        y1, y2 = (round(y * height / seen_h) for y in (y1, y2))
        x1, y1 = min(x1, width - 1), min(y1, height - 1)
        return x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)

    def patch_of_pixels(self, axis: int) -> Integers:
        """Return the patch each pixel's centre lies in along the rows (0) or columns (1), int64, non-decreasing."""
        photo, seen = self.photo_hw[axis], self.input_hw[axis]
        # Whole numbers throughout: (2 y + 1) / (2 photo) * input / patch, rounded down without any float.
        patch = (2 * np.arange(photo, dtype=np.int64) + 1) * seen // (2 * photo * self.patch_px)
        return np.minimum(patch, self.shape[axis] - 1)

    def enlarge(self, labels: npt.NDArray[Label]) -> npt.NDArray[Label]:
        """Return a patch map `(grid_h, grid_w)` at the photo's size `(H, W)`: nearest patch, padding cropped away."""
        enlarged: npt.NDArray[Label] = labels[self.patch_of_pixels(0)[:, None], self.patch_of_pixels(1)]
        return enlarged

    def extents(self, tokens: npt.NDArray[np.integer]) -> dict[int, Extent]:
        """Return the extent of each token that occurs in `tokens` `(grid_h, grid_w)`.

        Equal to counting the pixels of `enlarge(tokens)`, without making that image.
        """
        rows, columns = self.patch_of_pixels(0), self.patch_of_pixels(1)
        pixels = np.outer(*(np.bincount(of, minlength=n) for of, n in zip((rows, columns), self.shape, strict=True)))
        found: dict[int, Extent] = {}
        for token in np.unique(tokens):
            of_token = (tokens == token) & (pixels > 0)
            y, x = np.nonzero(of_token)
            if len(y) == 0:  # only in the padding, or thinner than a pixel
                found[int(token)] = NO_EXTENT
                continue
            # First and last pixel of a row of patches: `rows` is sorted.
            top, bottom = np.searchsorted(rows, y.min(), "left"), np.searchsorted(rows, y.max(), "right")
            left, right = np.searchsorted(columns, x.min(), "left"), np.searchsorted(columns, x.max(), "right")
            found[int(token)] = Extent(int(pixels[of_token].sum()), (int(left), int(top), int(right), int(bottom)))
        return found
