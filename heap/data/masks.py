"""Ground truth as pictures: binary masks of saliency, indexed masks of classes. Always as stored, never resampled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from heap.data.opening import open_image
from heap.errors import DataError, PhotoError

Size = tuple[int, int]  # height, width
# Modes with one 8-bit reading as grey. 16 bit and floating point have none, and a guess would be taken for truth.
_GREY = ("1", "L", "LA", "P", "RGB", "RGBA")
# Pixel values are class ids only where the file stores indices: VOC's palette PNGs, and the grey PNGs of train_aug.
_INDEXED = ("P", "L")


def check_mask(path: Path, *sizes_px: Size) -> Size:
    """Check a saliency mask by its header: readable as 8 bit grey, opaque, and of one of these (height, width).

    Returns:
        Its (height, width).

    Raises:
        DataError: names the file, what was found and what was expected.
    """
    with _open(path) as image:
        return _check(path, image, _GREY, "8 bit grey", *sizes_px)


def check_class_mask(path: Path, *sizes_px: Size) -> Size:
    """Check a class mask by its header: class ids as stored, and of one of these (height, width).

    Returns:
        Its (height, width).

    Raises:
        DataError: names the file, what was found and what was expected.
    """
    with _open(path) as image:
        return _check(path, image, _INDEXED, "an indexed or 8 bit grey PNG of class ids", *sizes_px)


def read_mask(path: Path) -> npt.NDArray[np.uint8]:
    """Return a saliency mask, uint8 (H, W), 0 to 255; where foreground begins is the protocol's matter.

    Raises:
        DataError: names the file and the reason.
    """
    with _open(path) as image:
        _check(path, image, _GREY, "8 bit grey")
        return np.array(image.convert("L"), dtype=np.uint8)


def read_class_mask(path: Path) -> npt.NDArray[np.uint8]:
    """Return a class mask, uint8 (H, W): class ids, 0 background, 255 ignored.

    Raises:
        DataError: names the file and the reason.
    """
    with _open(path) as image:
        _check(path, image, _INDEXED, "an indexed or 8 bit grey PNG of class ids")
        return np.array(image, dtype=np.uint8)


def _check(path: Path, image: Image.Image, modes: tuple[str, ...], expected: str, *sizes_px: Size) -> Size:
    if image.mode not in modes:
        raise DataError(f"{path}: a mask of mode {image.mode}, expected {expected}")
    # A shape in the alpha channel would be read as the colour below it, mostly white: everything is foreground.
    has_alpha = modes is _GREY and ("A" in image.mode or "transparency" in image.info)
    if has_alpha and np.asarray(image.convert("RGBA").getchannel("A")).min() < 255:
        raise DataError(f"{path}: a mask with transparent pixels, expected {expected} without an alpha channel")
    size_px = image.height, image.width
    if sizes_px and size_px not in sizes_px:
        height, width = sizes_px[0]
        raise DataError(f"{path}: a mask of {size_px[0]} x {size_px[1]} pixels, its photo has {height} x {width}")
    return size_px


@contextmanager
def _open(path: Path) -> Iterator[ImageFile.ImageFile]:
    # Not a PhotoError: once a photo is in the manifest, its ground truth is not left out any more.
    try:
        with open_image(path) as image:
            yield image
    except PhotoError as error:
        raise DataError(str(error)) from error
