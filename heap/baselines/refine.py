"""Patch masks after the bilateral solver: targets of FOUND's head. Apart from its training: workers need no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from heap.baselines.patches import Mask
from heap.bilateral import BilateralGrid, training_target
from heap.cache.reader import FeatureReader
from heap.data.photos import read_photo
from heap.workers import Crew

# Bilateral grids a worker keeps, 0.5 to 1 MB each: small datasets then build each of them once.
_GRIDS = 512
# Few, so that the workers end a batch together.
_CHUNK = 4

# A mask to be refined: path of its photo below the root, (height, width) the encoder saw, the mask `(grid_h, grid_w)`.
Asked = tuple[str, tuple[int, int], Mask]
Refined = tuple[Mask, bool]


@dataclass(frozen=True)
class Refine:
    """The bilateral solver on one mask at patch resolution.

    Attributes:
        root: folder of the photos.
        patch_px: side of a patch.
    """

    root: Path
    patch_px: int

    def __call__(self, asked: Asked) -> Refined:
        """Return the refined mask, and whether the solver's output was accepted."""
        path, input_hw, mask = asked
        refined = training_target(_grid(self.root / path, input_hw), mask, self.patch_px)
        return refined.mask, refined.accepted


@lru_cache(maxsize=_GRIDS)
def _grid(path: Path, input_hw: tuple[int, int]) -> BilateralGrid:
    return BilateralGrid.of(read_photo(path, resize_px=input_hw))


class Targets:
    """Refined masks of the photos of a store. A mask that was refined before is remembered: many do not change."""

    def __init__(self, reader: FeatureReader, crew: Crew[Asked, Refined]) -> None:
        self.reader, self.crew = reader, crew
        self._known: dict[tuple[int, bytes], Refined] = {}

    def of(self, photos: Sequence[int], masks: Sequence[Mask]) -> list[Refined]:
        """Return the refined mask `(N,)` of each photo's mask `(N,)`, and whether it is the solver's."""
        keys = [(i, np.packbits(mask).tobytes()) for i, mask in zip(photos, masks, strict=True)]
        new = {key: mask for key, mask in zip(keys, masks, strict=True) if key not in self._known}
        asked = [self._ask(i, mask) for (i, _), mask in new.items()]
        for key, (mask, accepted) in zip(new, self.crew.map(asked, _CHUNK), strict=True):
            self._known[key] = mask.ravel(), accepted
        return [self._known[key] for key in keys]

    def _ask(self, i: int, mask: Mask) -> Asked:
        row = self.reader.images.iloc[i]
        size = int(row["input_h_px"]), int(row["input_w_px"])
        return str(row["path"]), size, mask.reshape(int(row["grid_h"]), int(row["grid_w"]))
