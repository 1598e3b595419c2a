"""One photo's patch maps at its own resolution: saliency, mask, objects."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from heap.grid import PatchGrid
from heap.segment.instances import Instance, Mask, clusters_of_patches, instances
from heap.settings.stages import SegmentSettings


def segment_map(
    settings: SegmentSettings,
    foreground: npt.NDArray[np.float32],
    tokens: npt.NDArray[np.int16],
    cluster_of_token: dict[int, int],
    grid: PatchGrid,
) -> tuple[npt.NDArray[np.float32], Mask, list[Instance]]:
    """Return saliency `(H, W)` float32 in 0..1, foreground `(H, W)` bool and the objects of a photo.

    Args:
        settings: threshold and least area.
        foreground: `(grid_h, grid_w)`, probability of each patch.
        tokens: `(grid_h, grid_w)`, the region of each patch.
        cluster_of_token: the foreground cluster of each listed region.
        grid: where the patches lie.
    """
    soft = grid.saliency(foreground)
    mask: Mask = np.asarray(soft > settings.threshold)
    cluster = grid.enlarge(clusters_of_patches(tokens, cluster_of_token))
    return soft, mask, instances(mask, cluster, soft, settings.min_area)
