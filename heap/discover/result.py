"""What a model finds in one photo."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from heap.cluster.table import FOREGROUND_ABOVE
from heap.discover.images import Opened
from heap.grid import PatchGrid
from heap.segment.instances import Instance

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Region:
    """A group of similar patches of a photo: an object, a part of one, or some of the background.

    Attributes:
        token: the group token that formed it; numbers the regions of a photo, with gaps.
        area_px: pixels of the photo.
        area_share: share of the photo's patches, 0..1.
        box: (x1, y1, x2, y2) in the photo's pixels, half open: `photo[y1:y2, x1:x2]`.
        foreground: probability of being foreground, 0..1.
        cluster: number among the model's clusters, foreground ones first; -1 where the model has none.
        distance: 1 - cosine to the cluster's centroid; NaN where the model has none.
        embedding: `(D,)` float32 of length 1: compare regions of one model by their dot product.
    """

    token: int
    area_px: int
    area_share: float
    box: Box
    foreground: float
    cluster: int
    distance: float
    embedding: npt.NDArray[np.float32] = field(repr=False)

    @property
    def is_foreground(self) -> bool:
        """Whether the region is taken for foreground."""
        return self.foreground > FOREGROUND_ABOVE


@dataclass(frozen=True)
class Discovery:
    """What a model found in one photo of H x W pixels, at the photo's own size, upright.

    Attributes:
        name: the photo's path, or `image`.
        regions: in the order of their tokens.
        instances: objects, the largest first. Each has `mask` `(H, W)` bool, `box`, `score` and `cluster`.
        saliency: `(H, W)` float32, probability of being foreground.
        mask: `(H, W)` bool, where the saliency is above the model's threshold.
        token_map: `(grid_h, grid_w)` int16, the region of each patch.
        patch_saliency: `(grid_h, grid_w)` float32, probability of being foreground of each patch.
        grid: where the patches lie in the encoder's input and in the photo.
        photo: what was read.
    """

    name: str
    regions: list[Region] = field(repr=False)
    instances: list[Instance]
    saliency: npt.NDArray[np.float32] = field(repr=False)
    mask: npt.NDArray[np.bool_] = field(repr=False)
    token_map: npt.NDArray[np.int16] = field(repr=False)
    patch_saliency: npt.NDArray[np.float32] = field(repr=False)
    grid: PatchGrid
    photo: Opened = field(repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the photo."""
        return self.photo.photo_hw

    def region_mask(self, region: Region) -> npt.NDArray[np.bool_]:
        """Return the pixels of a region, `(H, W)` bool."""
        return self.grid.enlarge(self.token_map) == region.token

    def region_at(self, x: int, y: int) -> Region | None:
        """Return the region at a pixel; None where it is too small to be listed.

        Raises:
            ValueError: the pixel is outside the photo.
        """
        height, width = self.size
        if not (0 <= x < width and 0 <= y < height):
            raise ValueError(f"{self.name}: ({x}, {y}) is outside the photo of {width} x {height} px")
        token = self.token_map[self.grid.patch_of_pixels(0)[y], self.grid.patch_of_pixels(1)[x]]
        return next((region for region in self.regions if region.token == token), None)

    def table(self) -> pd.DataFrame:
        """Return one row a region, without embeddings."""
        rows: list[dict[str, Any]] = [
            {key: value for key, value in asdict(region).items() if key != "embedding"} for region in self.regions
        ]
        return pd.DataFrame(rows)

    def picture(self, longest_px: int = 1024) -> Image.Image:
        """Return the photo with its objects outlined in the colours of their clusters, and all else darkened.

        Args:
            longest_px: longest side of the picture; smaller photos keep their size.
        """
        from heap.discover.picture import objects_over

        return Image.fromarray(objects_over(self.photo.read(longest_px), self.mask, self.instances))
