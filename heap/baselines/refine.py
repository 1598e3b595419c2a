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
from heap.grid import PatchGrid, Size
from heap.workers import Crew

# Bilateral grids a worker keeps, 0.5 to 1 MB each: small datasets then build each of them once.
_GRIDS = 512
# Few, so that the workers end a batch together.
_CHUNK = 4

# A mask to be refined: path of its photo below the root, where its patches lie, the mask `(grid_h, grid_w)`.
Asked = tuple[str, PatchGrid, Mask]
Refined = tuple[Mask, bool]


@dataclass(frozen=True)
class Refine:
    """The bilateral solver on one mask at patch resolution; `root` is the folder of the photos."""

    root: Path

    def __call__(self, asked: Asked) -> Refined:
        """Return the refined mask, and whether the solver's output was accepted."""
        path, grid, mask = asked
        refined = training_target(_bilateral(self.root / path, grid.input_hw), mask, grid.patch_px)
        return refined.mask, refined.accepted


@lru_cache(maxsize=_GRIDS)
def _bilateral(path: Path, input_hw: Size) -> BilateralGrid:
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
        grid = self.reader.grid(i)
        return str(self.reader.images["path"].iat[i]), grid, mask.reshape(grid.shape)
