"""One photo's patch maps at its own resolution: saliency, mask, objects."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from heap.cluster.geometry import enlarge
from heap.segment.instances import Instance, Mask, clusters_of_patches, instances
from heap.settings.stages import SegmentSettings
from heap.upsample import logits_of, soft_map


def segment_map(
    settings: SegmentSettings,
    foreground: npt.NDArray[np.float32],
    tokens: npt.NDArray[np.int16],
    cluster_of_token: dict[int, int],
    patch_px: int,
    input_hw: tuple[int, int],
    photo_hw: tuple[int, int],
) -> tuple[npt.NDArray[np.float32], Mask, list[Instance]]:
    """Return saliency `(H, W)` float32 in 0..1, foreground `(H, W)` bool and the objects of a photo.

    Args:
        settings: threshold and least area.
        foreground: `(grid_h, grid_w)`, probability of each patch.
        tokens: `(grid_h, grid_w)`, the region of each patch.
        cluster_of_token: the foreground cluster of each listed region.
        patch_px: side of a patch.
        input_hw: height and width of the encoder's input before padding.
        photo_hw: height and width of the photo.
    """
    soft = soft_map(logits_of(foreground), patch_px, input_hw, photo_hw)
    mask: Mask = np.asarray(soft > settings.threshold)
    cluster = enlarge(clusters_of_patches(tokens, cluster_of_token), soft.shape, input_hw, patch_px)
    return soft, mask, instances(mask, cluster, soft, settings.min_area)
