"""COCO's masks: polygons and run lengths as pixels, and as the class mask that COCO itself does not have."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

IGNORED = 255
# Class ids are bytes: 0 is background, 255 is ignored.
MAX_CLASSES = 254
# Annotators draw over the edge by some pixels; what is ten sides away is damage.
_SIDES_AWAY = 10
# Six bits a sign from "0" on; the sixth says that the number goes on, so the last sign is one of "0" to "O".
_COMPRESSED = re.compile(r"([0-o]*[0-O])?")


def rle_of(segmentation: Any, size: tuple[int, int]) -> dict[str, Any]:
    """Return a COCO segmentation (polygons, RLE, compressed RLE) as compressed RLE.

    Raises:
        ValueError: it is none of these, or of another size.
    """
    if isinstance(segmentation, list) and segmentation:
        # pycocotools takes four numbers for a box and fails without a word on anything but lists.
        for polygon in segmentation:
            if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
                raise ValueError("a polygon that is no list of three points or more (x, y, x, y, ...)")
            # Its C code writes beyond its memory at None, NaN and 1e9, and takes memory for each pixel of an edge.
            if not all(type(one) in (int, float) and abs(one) <= _SIDES_AWAY * max(size) for one in polygon):
                raise ValueError(f"a polygon with a coordinate that is no number near a photo of {list(size)}")
        rle: dict[str, Any] = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
        return rle
    if not isinstance(segmentation, dict) or "counts" not in segmentation or "size" not in segmentation:
        raise ValueError("a segmentation that is neither polygons nor RLE")
    if segmentation["size"] != list(size):
        raise ValueError(f"a mask of size {segmentation['size']!r}, but its photo has {list(size)}")
    counts = segmentation["counts"]
    if isinstance(counts, list):
        if not all(type(count) is int and count >= 0 for count in counts) or sum(counts) != size[0] * size[1]:
            raise ValueError("run lengths that do not add up to the photo's pixels")
        encoded: dict[str, Any] = coco_mask.frPyObjects(segmentation, *size)
        return encoded
    # pycocotools reads on behind the end of a string whose last sign says that another follows.
    if not isinstance(counts, str | bytes) or _COMPRESSED.fullmatch(_text(counts)) is None:
        raise ValueError("run lengths that are neither a list nor COCO's compressed string")
    return segmentation


def _text(counts: str | bytes) -> str:
    return counts if isinstance(counts, str) else counts.decode("latin-1")


def pixels_of(rle: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """Return compressed RLE as a mask `(H, W)`."""
    with warnings.catch_warnings():
        # pycocotools 2.0 hands NumPy 2 an array the old way; the values are right.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        pixels: npt.NDArray[np.bool_] = coco_mask.decode(rle).astype(bool)
    return pixels


def paint(
    annotations: Sequence[Mapping[str, Any]], class_of: Mapping[int, int], size: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """Return a class mask `(H, W)` uint8 of COCO's annotations: 0 background, 255 crowds (ignored).

    Where objects overlap the smaller one is on top, because it would vanish otherwise (ours).

    Args:
        annotations: of one photo.
        class_of: class of each category id.
        size: height and width.

    Raises:
        ValueError: a segmentation is of another size, or none that can be read; or there are too many classes.
    """
    if len(class_of) > MAX_CLASSES:
        raise ValueError(f"{len(class_of)} categories, but class masks hold at most {MAX_CLASSES}")
    labels = np.zeros(size, dtype=np.uint8)
    rles = [(one, rle_of(one.get("segmentation"), size)) for one in annotations]
    # Crowds first, so that single objects within them count.
    for one, rle in sorted(rles, key=lambda pair: (not pair[0].get("iscrowd"), -float(coco_mask.area(pair[1])))):
        labels[pixels_of(rle)] = IGNORED if one.get("iscrowd") else class_of[one["category_id"]]
    return labels
