"""A file as an opened image of a known format, header read and pixels not; damage is one kind of error."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from PIL import Image, ImageFile, PngImagePlugin

from heap.errors import DAMAGE, PhotoError
from heap.files import regular

# Pillow knows more formats, but some start other programs (EPS) or are no photos: those are refused by content.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF")
PILLOW_DAMAGE = (*DAMAGE, Image.DecompressionBombError)


@contextmanager
def open_image(path: str | Path, end: bytes = b"", whole: bool = False) -> Iterator[ImageFile.ImageFile]:
    """Yield the opened image, header read and pixels not; whatever goes wrong inside is an error of this file.

    Args:
        path: the file.
        end: read in the place of a JPEG's end, which it lacks.
        whole: compare a PNG with its checksums, which Pillow leaves to its callers: of 300 masks with one flipped bit
            each, 83 were read as other masks. For ground truth and results; a viewer shows a photo all the same.

    Raises:
        PhotoError: it is no regular file, or no image that can be read; names the file and the reason.
    """
    try:
        with regular(Path(path)).open("rb") as file:
            # The marker of the end is two bytes, of which the first may be there.
            stream = io.BytesIO(file.read().rstrip(b"\xff") + end) if end else file
            if whole:
                with _identify(path, stream) as image:
                    image.verify()  # which leaves an image that cannot be read any more
                stream.seek(0)
            with _identify(path, stream) as image:
                if 0 in image.size:
                    raise PhotoError(f"{path}: has no pixels ({image.height} x {image.width})")
                yield image
    except PILLOW_DAMAGE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise PhotoError(f"{path}: not readable as a photo ({reason})") from error


def lacks_end(path: str | Path) -> bool:
    """Return whether a file is a JPEG without the marker of its end, as webcams and broken copies leave it."""
    try:
        with regular(Path(path)).open("rb") as file:
            start = file.read(2)
            file.seek(-2, io.SEEK_END)
            return start == b"\xff\xd8" and file.read(2) != b"\xff\xd9"
    except OSError:
        return False


def _identify(path: str | Path, stream: IO[bytes]) -> ImageFile.ImageFile:
    """Return the image that the bytes are, whatever the suffix says.

    Image.open would do, but for one thing: it refuses large images before `draft` could make them small, and its limit
    is a global that belongs to the whole process.
    """
    Image.init()
    start = stream.read(16)
    if not start:
        raise PhotoError(f"{path}: the file is empty")
    for name in FORMATS:
        factory, accepts = Image.OPEN[name]
        # A string is Pillow's way of saying that it knows the format but was built without it.
        if accepts is not None and accepts(start) is not True:
            continue
        stream.seek(0)
        try:
            return _Png(stream, str(path)) if name == "PNG" else factory(stream, str(path))
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            raise PhotoError(f"{path}: damaged {name} header ({error})") from error
    raise PhotoError(f"{path}: not a photo in a known format (begins with {start!r}; known: {', '.join(FORMATS)})")


class _Png(PngImagePlugin.PngImageFile):
    """A PNG whose text may be of any length.

    Pillow refuses a photo for more than 1 MB of text (a workflow of an image generator, XMP of an editor), by limits
    that are globals of the whole process. Text beyond them is passed over here.
    """

    @property
    def png(self) -> PngImagePlugin.PngStream | None:
        """The reader of the chunks, which Pillow's constructor makes before it reads the first."""
        return self.__dict__.get("png")

    @png.setter
    def png(self, stream: PngImagePlugin.PngStream | None) -> None:
        self.__dict__["png"] = stream
        for name in ("chunk_tEXt", "chunk_zTXt", "chunk_iTXt") if stream is not None else ():
            setattr(stream, name, _unlimited(stream, getattr(stream, name)))


def _unlimited(stream: Any, read: Callable[[int, int], bytes]) -> Callable[[int, int], bytes]:
    def chunk(position: int, length: int) -> bytes:
        try:
            return read(position, length)
        except ValueError:  # too long; its bytes are wanted all the same, for the checksum
            stream.fp.seek(position)
            content: bytes = stream.fp.read(length)
            return content

    return chunk
