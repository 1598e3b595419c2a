"""Photos as arrays: whatever people keep photos in becomes uint8 RGB, upright, of a size known beforehand.

Decided here once, because an encoder sees what these lines make of a file:
- EXIF orientation is applied, so a photo is what a person sees; masks and boxes are drawn on that view.
- Transparency is laid over white, the page such pictures were drawn for.
- 16 bit grey is scaled to 8 bit, a TIFF's by the range its values are of (12, 15 or 16 bit).
- Colour profiles are not applied (nor do the peers' codes apply them).
- Of an animation the first frame counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, TiffImagePlugin

from heap.data.opening import PILLOW_DAMAGE, lacks_end, open_image
from heap.errors import PhotoError

# What counts as a photo in a folder. HEIC cannot be read by Pillow: it is listed so that a telephone's photos are
# reported as unreadable and not overlooked.
SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".gif", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif",
}  # fmt: skip
# Photos in formats that are not read: counted in one line, because a camera writes most of them next to a JPEG.
UNREAD_SUFFIXES = {
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw",
    ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
    ".dib", ".exr", ".j2k", ".jp2", ".jxl", ".jxr", ".pcx", ".pfm", ".psd", ".qoi", ".sgi", ".tga", ".xcf",
}  # fmt: skip
# 0.5 GB as RGB; Pillow's own limit for an error. A small file can claim any size, so the claim is checked first.
MAX_DECODED_PX = 178_956_970
# A JPEG decodes at 1/8 of its sides, but libjpeg holds the coefficients of a progressive one: 3 GB at this size.
MAX_DRAFT_PX = 1_000_000_000

# Values 2 to 8 of the EXIF tag, as the transposition that undoes them.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Tags of a TIFF, and values of theirs.
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO, _SIGNED = 0, 2
# What is laid behind a JPEG that ends too early: the marker of its end, alone and after bits that say something.
_ENDS = (b"\xff\xd9", b"\xaa" * 64 + b"\xff\xd9")


@dataclass(frozen=True)
class Frame:
    """How a photo lies in its file, (height, width) in pixels."""

    size_px: tuple[int, int]  # upright, as a viewer shows it and `read_photo` returns it
    orientation: int  # EXIF's, 1 to 8; 1 is upright

    @property
    def stored_px(self) -> tuple[int, int]:
        """As stored, before it is turned upright."""
        return self.size_px[::-1] if self.orientation >= 5 else self.size_px


def input_size(
    height_px: int, width_px: int, max_px: int | None = None, resize_px: Sequence[int] | None = None
) -> tuple[int, int]:
    """Return the (height, width) that `read_photo` gives an upright photo, so that the cache can be planned.

    Args:
        height_px: of the photo.
        width_px: of the photo.
        max_px: longest side allowed; the other side keeps the aspect ratio, rounded half up, at least 1.
        resize_px: (height, width) for every photo; decides alone where both are given.
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
    return photo_frame(path).size_px


def photo_frame(path: str | Path) -> Frame:
    """Return a photo's size and EXIF orientation from its header alone.

    Raises:
        PhotoError: as `photo_size`.
    """
    with open_image(path) as image:
        # Pillow turns TIFFs itself, size and pixels, but keeps the tag.
        tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else None
        value = _orientation(image) if tags is None else tags.get(ExifTags.Base.Orientation, 1)
        return Frame(upright_size(image), value if value in UPRIGHT else 1)


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
    try:
        return _read(path, max_px, resize_px)
    except PhotoError:
        if not lacks_end(path):
            raise
        # Where only the marker of the end is missing, what follows changes no pixel; missing pixels are made of it.
        plain, filled = (_read(path, max_px, resize_px, end) for end in _ENDS)
        if not np.array_equal(plain, filled):
            raise
        return plain


def _read(
    path: str | Path, max_px: int | None, resize_px: Sequence[int] | None, end: bytes = b""
) -> npt.NDArray[np.uint8]:
    with open_image(path, end) as image:
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
        max_px: as in `read_photo`.
        resize_px: as in `read_photo`.

    Raises:
        PhotoError: it has no pixels, cannot be decoded, or has values without a fixed range.
    """
    try:
        if 0 in image.size:
            raise PhotoError(f"{name}: has no pixels ({image.height} x {image.width})")
        return _pixels(name, image, _orientation(image), input_size(*upright_size(image), max_px, resize_px))
    except PILLOW_DAMAGE as error:
        raise PhotoError(f"{name}: not readable as a photo ({error})") from error


def _pixels(path: str | Path, image: Image.Image, orientation: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Decode an opened image, turn it upright and bring it to `size` (height, width)."""
    _refuse_bomb(path, image, MAX_DECODED_PX)
    rgb = _rgb(path, image)
    # Not ImageOps.exif_transpose: it reads EXIF again after the pixels, where a PNG may hold more of it, and would then
    # contradict the size that the header says.
    if orientation in UPRIGHT:
        rgb = rgb.transpose(UPRIGHT[orientation])
    if (rgb.height, rgb.width) != size:
        rgb = rgb.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.array(rgb, dtype=np.uint8)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, as far as the header says."""
    if image.format == "TIFF":  # Pillow turns these itself, size and pixels
        return 1
    try:
        # The base class's method: that of PNG decodes the whole picture in search of EXIF behind it.
        value = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except PILLOW_DAMAGE:
        return 1  # a damaged EXIF block says no orientation, and the photo itself may be whole
    return value if value in UPRIGHT else 1


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
        return Image.fromarray(_eight_bit(path, image)).convert("RGB")
    if image.mode == "F":
        raise PhotoError(f"{path}: floating point pixels have no fixed range; save it with 8 or 16 bit")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    rgb = image.convert("RGB")
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_BITS, (8,))[0] == 16:
        highest = int(np.asarray(rgb).max())
        if 0 < highest < 16:  # Pillow keeps the upper 8 bits of each, which of 12 are 4
            raise PhotoError(f"{path}: uses 12 of its 16 bits a channel; scale its values to 16 bit, or save it with 8")
    return rgb


def _eight_bit(path: str | Path, image: Image.Image) -> npt.NDArray[np.uint8]:
    """Return 16 bit grey `(H, W)` as 8 bit, uint8, rounded."""
    grey = np.asarray(image)
    lowest, highest = int(grey.min()), int(grey.max())
    if lowest < 0 or highest > 65535:
        raise PhotoError(f"{path}: grey values {lowest} to {highest}, expected 16 bit (0 to 65535)")
    white, inverted = 65535, False
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        # Nothing in a TIFF says that only 12 bits are used; all 16 with nothing above 4095 would be a black photo.
        signed = tags.get(_BITS, (16,))[0] == 16 and tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED
        white = 4095 if highest <= 4095 else 32767 if signed else 65535
        inverted = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    scaled = ((grey.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)
    return 255 - scaled if inverted else scaled
