"""What people hand over as a photo (a path, a PIL image, an array) as the pixels that the pipeline would have read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from heap.cache.plan import refuse_large
from heap.data.photos import image_pixels, input_size, photo_size, read_photo, upright_size
from heap.errors import PhotoError

ImageLike = str | os.PathLike[str] | Image.Image | npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]


@dataclass(frozen=True)
class Limits:
    """How large a photo may come to the encoder; see `heap.data.photos.input_size`.

    Attributes:
        max_px: longest side; larger photos are scaled down.
        resize_px: (height, width) of every photo, whatever its shape; decides alone.
        max_patches: photos of more patches are refused.
        patch_px: side of a patch.
    """

    max_px: int | None
    resize_px: Sequence[int] | None
    max_patches: int
    patch_px: int


@dataclass(frozen=True)
class Opened:
    """A photo that was read.

    Attributes:
        name: its path, or what stands for it in messages.
        source: what was handed over.
        photo_hw: its own size, upright.
        pixels: `(h, w, 3)` uint8 RGB, the encoder's input.
    """

    name: str
    source: ImageLike
    photo_hw: Size
    pixels: Pixels

    @property
    def input_hw(self) -> Size:
        """Height and width of the encoder's input, before padding."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def read(self, max_px: int) -> Pixels:
        """Return the photo again at another size, `(h, w, 3)` uint8."""
        if isinstance(self.source, str | os.PathLike):
            return read_photo(Path(self.source), max_px)
        return image_pixels(as_image(self.source, self.name), self.name, max_px)


def open_photo(source: ImageLike, name: str | None, limits: Limits) -> Opened:
    """Read a photo.

    Args:
        source: a path, a PIL image, or an array (see `as_image`).
        name: what messages call it; None takes the path.
        limits: of its size.

    Raises:
        PhotoError: it cannot be read, or is too large.
    """
    read: Callable[..., Pixels]
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        name = name or str(path)
        size, read = photo_size(path), partial(read_photo, path)
    else:
        name = name or "image"
        image = as_image(source, name)
        size, read = upright_size(image), partial(image_pixels, image, name)

    def sized(height_px: int, width_px: int) -> Size:
        return input_size(height_px, width_px, limits.max_px, limits.resize_px)

    row = pd.DataFrame({"image_id": [name], "path": [name], "height_px": [size[0]], "width_px": [size[1]]})
    _, refused = refuse_large(row, limits.patch_px, sized, limits.max_patches)
    if refused:
        raise PhotoError(refused[0]["reason"])
    return Opened(name, source, size, read(max_px=limits.max_px, resize_px=limits.resize_px))


def as_image(source: Image.Image | npt.NDArray[Any], name: str) -> Image.Image:
    """Return an array as a PIL image; a PIL image as it is.

    Args:
        source: PIL image, or array uint8 `(H, W)` grey, `(H, W, 3)` RGB, `(H, W, 4)` RGBA (laid over white), or uint16
            `(H, W)` grey of the whole range 0 to 65535.
        name: what messages call it.

    Raises:
        PhotoError: an array of another shape or type. Floats are refused, because nothing says which value is white.
    """
    if isinstance(source, Image.Image):
        return source
    if not isinstance(source, np.ndarray):
        raise PhotoError(f"{name}: a {type(source).__name__}, expected a path, a PIL image or a numpy array")
    grey16 = source.dtype == np.uint16 and source.ndim == 2
    shape_known = source.ndim == 2 or (source.ndim == 3 and source.shape[2] in (3, 4))
    if not shape_known or not (source.dtype == np.uint8 or grey16):
        hint = " (multiply floats of 0 to 1 by 255, round, and cast)" if source.dtype.kind == "f" else ""
        raise PhotoError(
            f"{name}: an array of shape {source.shape} and type {source.dtype}, expected uint8 (H, W), (H, W, 3) or "
            f"(H, W, 4), or uint16 (H, W){hint}"
        )
    if 0 in source.shape:
        raise PhotoError(f"{name}: an array of shape {source.shape} has no pixels")
    return Image.fromarray(np.ascontiguousarray(source))


def is_one(images: ImageLike | Iterable[ImageLike]) -> bool:
    """Return whether this is one photo; a list, a generator or an array `(B, H, W, C)` is several."""
    if isinstance(images, np.ndarray):
        return images.ndim != 4
    return isinstance(images, str | os.PathLike | Image.Image) or not isinstance(images, Iterable)
