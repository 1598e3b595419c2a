"""Photos as arrays: whatever people keep photos in becomes uint8 RGB, upright, of a size known beforehand.

Decided here once, because an encoder sees what these lines make of a file:
- EXIF orientation is applied, so a photo is what a person sees; masks and boxes are drawn on that view.
- Transparency is laid over white, the page such pictures were drawn for.
- 16 bit grey is scaled to 8 bit; colour profiles are not applied (nor do the peers' codes apply them).
- Of an animation the first frame counts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile

from heap.errors import DAMAGE, PhotoError

# What counts as a photo in a folder. HEIC cannot be read by Pillow: it is listed so that a telephone's photos are
# reported as unreadable and not overlooked.
SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm",
    ".avif", ".heic", ".heif",
}  # fmt: skip
# Pillow knows more formats, but some start other programs (EPS) or are no photos: those are refused by content.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF")
# 0.5 GB as RGB; Pillow's own limit for an error. A small file can claim any size, so the claim is checked first.
MAX_DECODED_PX = 178_956_970
# A JPEG decodes at 1/8 of its sides, but libjpeg holds the coefficients of a progressive one: 3 GB at this size.
MAX_DRAFT_PX = 1_000_000_000

# Values 2 to 8 of the EXIF tag, as the transposition that undoes them.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_DAMAGE = (*DAMAGE, Image.DecompressionBombError)


def input_size(
    height_px: int, width_px: int, max_px: int | None = None, resize_px: Sequence[int] | None = None
) -> tuple[int, int]:
    """Return the size `read_photo` gives a photo, without reading it, so that the cache can be planned.

    Args:
        height_px: height of the photo, upright.
        width_px: width of the photo, upright.
        max_px: longest side allowed; the other side keeps the aspect ratio, rounded half up, at least 1.
        resize_px: (height, width) for every photo; decides alone where both are given.

    Returns:
        (height, width) in pixels.
    """
    if resize_px is not None:
        return resize_px[0], resize_px[1]
    longest = max(height_px, width_px)
    if max_px is None or longest <= max_px:
        return height_px, width_px

    def scaled(side: int) -> int:
        # In integers, because a float's last bit must not decide how many patches a photo has.
        return max(1, (2 * side * max_px + longest) // (2 * longest))

    return scaled(height_px), scaled(width_px)


def photo_size(path: str | Path) -> tuple[int, int]:
    """Return a photo's (height, width) in pixels, upright, from its header alone.

    Raises:
        PhotoError: the file is no photo that can be read; names it and the reason.
    """
    with open_image(path) as image:
        return upright_size(image)


def read_photo(
    path: str | Path, max_px: int | None = None, resize_px: Sequence[int] | None = None
) -> npt.NDArray[np.uint8]:
    """Read a photo.

    Args:
        path: the file.
        max_px: longest side allowed; a longer photo is scaled down. Large JPEGs are then decoded at 1/2, 1/4 or 1/8,
            never below twice the size asked for, which saves time and memory and changes values by about one level.
        resize_px: (height, width) to resize to, whatever the aspect ratio.
            Both scale with Pillow's bicubic filter, which widens with the scale and so does not alias.

    Returns:
        uint8 (H, W, 3), RGB; (H, W) is `input_size` of the photo.

    Raises:
        PhotoError: missing, unreadable, damaged, or larger than `MAX_DECODED_PX` once decoded.
    """
    with open_image(path) as image:
        orientation = _orientation(image)
        size = input_size(*upright_size(image), max_px, resize_px)
        if max_px is not None and image.format in ("JPEG", "MPO"):
            stored = size[::-1] if orientation >= 5 else size
            _refuse_bomb(path, image, MAX_DRAFT_PX)
            image.draft(None, (2 * stored[1], 2 * stored[0]))
        return _pixels(path, image, orientation, size)


def image_pixels(
    image: Image.Image, name: str, max_px: int | None = None, resize_px: Sequence[int] | None = None
) -> npt.NDArray[np.uint8]:
    """Return an image that is open already as `read_photo` returns a file's: upright, RGB, of the size asked for.

    Nothing is decoded at a fraction, because the image is its owner's: a large JPEG that is scaled down by half or more
    differs by about one level from what `read_photo` makes of its file.

    Args:
        image: of any mode `read_photo` takes, its EXIF still in it or applied already.
        name: what errors call it.
        max_px: longest side allowed, as in `read_photo`.
        resize_px: (height, width), as in `read_photo`.

    Raises:
        PhotoError: it has no pixels, cannot be decoded, or has values without a fixed range.
    """
    try:
        if 0 in image.size:
            raise PhotoError(f"{name}: has no pixels ({image.height} x {image.width})")
        return _pixels(name, image, _orientation(image), input_size(*upright_size(image), max_px, resize_px))
    except _DAMAGE as error:
        raise PhotoError(f"{name}: not readable as a photo ({error})") from error


def _pixels(path: str | Path, image: Image.Image, orientation: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Decode an opened image, turn it upright and bring it to `size` (height, width)."""
    _refuse_bomb(path, image, MAX_DECODED_PX)
    rgb = _rgb(path, image)
    # Not ImageOps.exif_transpose: it looks at EXIF again once the pixels are read, where a PNG may hold more of it,
    # and would then contradict the size told from the header.
    if orientation in _UPRIGHT:
        rgb = rgb.transpose(_UPRIGHT[orientation])
    if (rgb.height, rgb.width) != size:
        rgb = rgb.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.array(rgb, dtype=np.uint8)


@contextmanager
def open_image(path: str | Path) -> Iterator[ImageFile.ImageFile]:
    """Yield the opened image, header read and pixels not; whatever goes wrong inside is told of this file.

    Raises:
        PhotoError: names the file and the reason.
    """
    try:
        with Path(path).open("rb") as stream, _identify(path, stream) as image:
            if 0 in image.size:
                raise PhotoError(f"{path}: has no pixels ({image.height} x {image.width})")
            yield image
    except _DAMAGE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise PhotoError(f"{path}: not readable as a photo ({reason})") from error


def _identify(path: str | Path, stream: IO[bytes]) -> ImageFile.ImageFile:
    """Return the image that the bytes are, whatever the suffix says.

    Image.open would do, but for one thing: it refuses large images before `draft` could make them small, and its limit
    is a global that belongs to the whole process.
    """
    Image.init()
    start = stream.read(16)
    if not start:
        raise PhotoError(f"{path}: the file is empty")
    for name in _FORMATS:
        factory, accepts = Image.OPEN[name]
        # A string is Pillow's way of saying that it knows the format but was built without it.
        if accepts is not None and accepts(start) is not True:
            continue
        stream.seek(0)
        try:
            return factory(stream, str(path))
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            raise PhotoError(f"{path}: damaged {name} header ({error})") from error
    raise PhotoError(f"{path}: not a photo in a known format (begins with {start!r}; known: {', '.join(_FORMATS)})")


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, as far as the header tells it."""
    if image.format == "TIFF":  # Pillow turns these itself, size and pixels
        return 1
    try:
        # The base class's method: that of PNG decodes the whole picture in search of EXIF behind it.
        value = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except _DAMAGE:
        return 1  # a damaged EXIF block tells no orientation, and the photo itself may be whole
    return value if value in _UPRIGHT else 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return an opened image's (height, width) in pixels, upright."""
    return (image.width, image.height) if _orientation(image) >= 5 else (image.height, image.width)


def _refuse_bomb(path: str | Path, image: Image.Image, limit_px: int) -> None:
    if image.height * image.width > limit_px:
        raise PhotoError(
            f"{path}: {image.height} x {image.width} pixels are too many to decode (at most {limit_px}); "
            "scale it down, or set max_px, which reads JPEGs at a fraction"
        )


def _rgb(path: str | Path, image: Image.Image) -> Image.Image:
    """Return the decoded first frame as RGB."""
    image.load()
    if image.mode.startswith("I"):
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > 65535:
            raise PhotoError(f"{path}: grey values {grey.min()} to {grey.max()}, expected 16 bit (0 to 65535)")
        eight_bit = (grey.astype(np.uint32) * 255 + 32767) // 65535
        return Image.fromarray(eight_bit.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise PhotoError(f"{path}: floating point pixels have no fixed range; save it with 8 or 16 bit")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")
