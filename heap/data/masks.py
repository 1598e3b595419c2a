"""Ground truth as pixels: binary masks, indexed masks of classes, COCO's polygons and run lengths; never resampled.

Errors are DataErrors that name the file, what was found and what was expected; about a segmentation they are
ValueErrors, to which the caller adds the file.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageFile
from pycocotools import mask as coco_mask

from heap.data.opening import open_image
from heap.errors import DataError, PhotoError

Size = tuple[int, int]  # height, width
Labels = npt.NDArray[np.uint8]
Kind = tuple[tuple[str, ...], str]

# Modes and name of what may be read. Saliency: those with one 8-bit reading as grey; 16 bit and floating point have
# none, and a guess would be taken for truth. Classes: pixel values are ids only where the file stores indices, as VOC's
# palette PNGs and the grey PNGs of train_aug do.
_SALIENCY = (("1", "L", "LA", "P", "RGB", "RGBA"), "8 bit grey")
_CLASSES = (("P", "L"), "an indexed or 8 bit grey PNG of class ids")

IGNORED = 255
# Class ids are bytes: 0 is background, 255 is ignored.
MAX_CLASSES = 254
# Annotators draw over the edge by some pixels; what is ten sides away is damage.
_SIDES_AWAY = 10
# Six bits a sign from "0" on; the sixth says that the number goes on, so the last sign is one of "0" to "O".
_COMPRESSED = re.compile(r"([0-o]*[0-O])?")


def check_mask(path: Path, *sizes_px: Size) -> Size:
    """Return the size of a saliency mask, of which the header says that it can be read and has one of the sizes."""
    with _open(path, _SALIENCY, sizes_px) as image:
        return image.height, image.width


def check_class_mask(path: Path, *sizes_px: Size) -> Size:
    """Return the size of a class mask, of which the header says that it can be read and has one of the sizes."""
    with _open(path, _CLASSES, sizes_px) as image:
        return image.height, image.width


def read_mask(path: Path) -> Labels:
    """Return a saliency mask, uint8 (H, W), 0 to 255; where foreground begins is the protocol's matter."""
    with _open(path, _SALIENCY, whole=True) as image:
        return np.array(image.convert("L"), dtype=np.uint8)


def read_class_mask(path: Path) -> Labels:
    """Return a class mask, uint8 (H, W): class ids, 0 background, 255 ignored."""
    with _open(path, _CLASSES, whole=True) as image:
        return np.array(image, dtype=np.uint8)


@contextmanager
def _open(path: Path, kind: Kind, sizes_px: Sequence[Size] = (), whole: bool = False) -> Iterator[ImageFile.ImageFile]:
    modes, expected = kind
    try:
        with open_image(path, whole=whole) as image:
            if image.mode not in modes:
                raise DataError(f"{path}: a mask of mode {image.mode}, expected {expected}")
            # A shape in the alpha channel would be read as the colour below it, mostly white: everything is foreground.
            has_alpha = kind is _SALIENCY and ("A" in image.mode or "transparency" in image.info)
            if has_alpha and np.asarray(image.convert("RGBA").getchannel("A")).min() < 255:
                raise DataError(f"{path}: a mask with transparent pixels, expected {expected} without an alpha channel")
            if sizes_px and (image.height, image.width) not in sizes_px:
                photo = "{} x {}".format(*sizes_px[0])
                raise DataError(f"{path}: a mask of {image.height} x {image.width} pixels, its photo has {photo}")
            yield image
    except PhotoError as error:  # once a photo is in the manifest, its ground truth is not left out any more
        raise DataError(str(error)) from error


def rle_of(segmentation: Any, size: Size) -> dict[str, Any]:
    """Return a COCO segmentation (polygons, RLE, compressed RLE) as compressed RLE."""
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
    text = counts.decode("latin-1") if isinstance(counts, bytes) else counts
    if not isinstance(text, str) or _COMPRESSED.fullmatch(text) is None:
        raise ValueError("run lengths that are neither a list nor COCO's compressed string")
    return segmentation


def pixels_of(rle: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """Return compressed RLE as a mask `(H, W)`."""
    with warnings.catch_warnings():
        # pycocotools 2.0 hands NumPy 2 an array the old way; the values are right.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        pixels: npt.NDArray[np.bool_] = coco_mask.decode(rle).astype(bool)
    return pixels


def paint(annotations: Sequence[Mapping[str, Any]], class_of: Mapping[int, int], size: Size) -> Labels:
    """Return a class mask `(H, W)` uint8 of one photo's COCO annotations: 0 background, 255 crowds (ignored).

    Where objects overlap the smaller one is on top, because it would vanish otherwise (ours). `class_of` gives the
    class of each category id.
    """
    if len(class_of) > MAX_CLASSES:
        raise ValueError(f"{len(class_of)} categories, but class masks hold at most {MAX_CLASSES}")
    labels = np.zeros(size, dtype=np.uint8)
    rles = [(one, rle_of(one.get("segmentation"), size)) for one in annotations]
    # Crowds first, so that single objects within them count.
    for one, rle in sorted(rles, key=lambda pair: (not pair[0].get("iscrowd"), -float(coco_mask.area(pair[1])))):
        labels[pixels_of(rle)] = IGNORED if one.get("iscrowd") else class_of[one["category_id"]]
    return labels
