"""Objects of one photo: connected parts of its foreground that belong to one cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco
from scipy import ndimage

from heap.components import bounding_box, fill_holes
from heap.grid import PatchGrid
from heap.settings.stages import SegmentSettings

Mask = npt.NDArray[np.bool_]
Box = tuple[slice, slice]

UNCLUSTERED = -1


@dataclass(frozen=True)
class Instance:
    """One object.

    Attributes:
        cluster: foreground cluster, or `UNCLUSTERED`.
        mask: `(H, W)` bool.
        score: mean foreground probability over its pixels.
    """

    cluster: int
    mask: Mask = field(repr=False)
    score: float

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(x1, y1, x2, y2), half open: all its pixels are in `mask[y1:y2, x1:x2]`."""
        rows, columns = bounding_box(self.mask)
        return columns.start, rows.start, columns.stop, rows.stop


@dataclass(frozen=True)
class _Part:
    cluster: int
    box: Box
    filled: Mask  # inside the box
    area: int


def segment_map(
    settings: SegmentSettings,
    foreground: npt.NDArray[np.float32],
    tokens: npt.NDArray[np.integer],
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


def clusters_of_patches(tokens: npt.NDArray[np.integer], cluster_of_token: dict[int, int]) -> npt.NDArray[np.int32]:
    """Return the foreground cluster of each patch.

    Args:
        tokens: `(grid_h, grid_w)`.
        cluster_of_token: of the photo's listed regions; a token without an entry is `UNCLUSTERED`.
    """
    values, position = np.unique(tokens, return_inverse=True)
    clusters = np.array([cluster_of_token.get(int(token), UNCLUSTERED) for token in values], dtype=np.int32)
    return clusters[position].reshape(tokens.shape)


def instances(
    foreground: Mask, cluster: npt.NDArray[np.integer], soft: npt.NDArray[np.float32], min_area: float
) -> list[Instance]:
    """Return the objects of a photo, the largest first.

    Each is a 4-connected part of the foreground pixels of one cluster with its holes filled. Objects never overlap:
    where one lies in the hole of another, the pixels are the inner one's. Parts smaller than `min_area` are dropped,
    and a dropped part inside another object's hole is filled like the hole.

    Args:
        foreground: `(H, W)`.
        cluster: `(H, W)`, the cluster of each pixel; read inside the foreground only.
        soft: `(H, W)`, foreground probability.
        min_area: share of the photo.
    """
    least = min_area * foreground.size
    parts = [
        part
        for value in np.unique(cluster[foreground])
        for part in _parts(foreground & (cluster == value), int(value), least)
    ]
    # Painted from the largest to the smallest: what lies in a hole is smaller than the filled part around it. Ties are
    # broken by place, so that the order is the photo's and not the sort's.
    parts = sorted(
        parts,
        key=lambda part: (-part.area, part.box[0].start, part.box[1].start, part.cluster),
    )
    owner = np.full(foreground.shape, -1, dtype=np.int32)
    for number, part in enumerate(parts):
        owner[part.box][part.filled] = number
    found = []
    for number, part in enumerate(parts):
        own = owner[part.box] == number
        if own.sum() < least:  # little is left of it around the objects in its holes
            continue
        mask = np.zeros(foreground.shape, dtype=np.bool_)
        mask[part.box] = own
        found.append(Instance(part.cluster, mask, float(soft[part.box][own].mean(dtype=np.float64))))
    return found


def _parts(of_cluster: Mask, cluster: int, least: float) -> list[_Part]:
    """Return the 4-connected parts of a mask, each with its holes filled, of at least `least` pixels."""
    labels, _ = ndimage.label(of_cluster)  # scipy's default structure is 4-connectivity
    parts = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        part = labels[box] == number
        if part.size < least:  # not even its box is large enough
            continue
        filled = fill_holes(part)
        area = int(filled.sum())
        if area >= least:
            parts.append(_Part(cluster, box, filled, area))
    return parts


def annotation(instance: Instance, image: int, category: int) -> dict[str, Any]:
    """Return an instance as a COCO annotation with compressed RLE, all but its id.

    Args:
        instance: the object.
        image: id of the image.
        category: id of the category.
    """
    rle = coco.encode(np.asfortranarray(instance.mask, dtype=np.uint8))
    x1, y1, x2, y2 = instance.box
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")},
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": int(instance.mask.sum()),
        "iscrowd": 0,
        "score": round(instance.score, 6),
    }
