"""Predictions as numbers, read strictly: what could be taken in two ways is refused and not guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from heap.data.opening import open_image

Floats = npt.NDArray[np.float32]

# What each of Pillow's modes is, in words that tell what to do.
_REFUSED = {
    "P": "a palette image, whose values are indices and no grey; save it as 8 bit grey",
    "PA": "a palette image with transparency; save it as 8 bit grey",
    "LA": "grey with an alpha channel; save it as 8 bit grey",
    "La": "grey with an alpha channel; save it as 8 bit grey",
    "RGBA": "colour with an alpha channel; save it as 8 bit grey",
    "RGBa": "colour with an alpha channel; save it as 8 bit grey",
    "CMYK": "CMYK; save it as 8 bit grey",
    "I": "32 bit grey; save it as 8 bit grey, or as .npy from 0 to 1",
    "F": "floating point; save it as 8 bit grey, or as .npy from 0 to 1",
}


def read_soft(path: Path) -> Floats:
    """Return a predicted map `(H, W)`, float32 from 0 to 1.

    8 bit grey is divided by 255; so are RGB files with three equal channels. One bit is 0 or 1. A `.npy` holds
    `(H, W)` of bool, of uint8 (divided by 255) or of floats as they are.

    Raises:
        ValueError: any other kind of file, or values outside 0 to 1.
        PhotoError: the file is unreadable; names it.
    """
    if path.suffix.lower() == ".npy":
        values = read_array(path)
        if values.ndim != 2:
            raise ValueError(f"an array of shape {values.shape}, expected (height, width)")
        if values.dtype == np.uint8:
            return _of_bytes(values)
        if values.dtype != np.bool_ and not np.issubdtype(values.dtype, np.floating):
            raise ValueError(f"an array of {values.dtype}, expected floats from 0 to 1, bool or uint8")
        soft = values.astype(np.float32)
    else:
        soft = _of_bytes(read_grey(path))
    if not (soft.min() >= 0 and soft.max() <= 1):  # NaN fails too
        raise ValueError(f"values from {soft.min()} to {soft.max()}, expected 0 to 1")
    return soft


def read_grey(path: Path) -> npt.NDArray[np.uint8]:
    """Return an 8 bit grey image `(H, W)` uint8; one bit becomes 0 and 255.

    Raises:
        ValueError: another kind of image.
        PhotoError: the file is unreadable; names it.
    """
    with open_image(path, whole=True) as image:
        # `open_image` tells of every error inside as one of an unreadable file: what is judged is judged outside.
        mode, transparent = image.mode, "transparency" in image.info
        values = np.array(image.convert("L") if mode == "1" else image) if mode in ("1", "L", "RGB") else None
    if values is None or transparent:
        raise ValueError(f"{_kind(mode, transparent)} (mode {mode})")
    if mode != "RGB":
        return values
    if not (values == values[..., :1]).all():
        raise ValueError("a colour image (its channels differ), expected 8 bit grey")
    return values[..., 0]


def read_array(path: Path) -> npt.NDArray[np.generic]:
    """Return the array of a `.npy` file.

    Raises:
        ValueError: unreadable, empty, or an object that is no plain array.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, EOFError) as error:
        raise ValueError(f"not readable as an array ({error})") from error
    if not isinstance(values, np.ndarray) or not values.size:
        raise ValueError("not one array, or an empty one")
    return values


def _of_bytes(values: npt.NDArray[np.generic]) -> Floats:
    # In float32, as the thresholds k / 255 are: a byte is above threshold k exactly where it is above k.
    soft: Floats = values.astype(np.float32) / np.float32(255)
    return soft


def _kind(mode: str, transparent: bool) -> str:
    if transparent and mode in ("1", "L", "RGB"):
        return "an image with a transparent colour; save it as 8 bit grey"
    if mode.startswith("I;16"):
        return "16 bit grey; save it as 8 bit grey, or as .npy from 0 to 1"
    return _REFUSED.get(mode, "an image of a kind that is no 8 bit grey")
