"""Patch maps at photo resolution, for callers that hold the sizes apart."""

from __future__ import annotations

import numpy.typing as npt

from heap.grid import Label, PatchGrid, Size


def enlarge(labels: npt.NDArray[Label], photo_hw: Size, input_hw: Size, patch_px: int) -> npt.NDArray[Label]:
    """Return the patch map `(grid_h, grid_w)` at photo resolution `(H, W)`, see `PatchGrid.enlarge`."""
    return PatchGrid(photo_hw, input_hw, patch_px).enlarge(labels)
