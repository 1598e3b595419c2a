"""The atlas: a thumbnail and a small region map of every photo, on sheets that the page decodes as it needs them.

A region is shown as its photo's thumbnail with the rest in the dark, so one picture a photo serves all its regions, and
the page grows with the photos and not with the regions. Thumbnails get smaller the more photos there are.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from heap.cluster.collection import Maps
from heap.data.photos import read_photo
from heap.progress import track
from heap.report import pictures
from heap.workers import Reading, spread, workers_for

# Below this a thumbnail shows nothing; then photos go without one instead.
LEAST_PX = 64
# Side of a sheet: large enough to share a header, small enough to decode at once for a single region.
SHEET_PX = 512
# Cells along the longer side of a region map. A photo of 28 x 28 patches keeps them all.
MAP_CELLS = 32
NO_REGION = 255
# What a thumbnail takes as WebP: .22 bytes a pixel at 64 px, .18 at 128 px (150 photos of ECSSD); the rest: its map.
BYTES_PER_PX = 0.25
QUALITY = 60


@dataclass(frozen=True)
class Layout:
    """Where photos stand on the sheets: photo `i` on sheet `i // per_sheet`, row by row.

    Attributes:
        side_px: side of a cell, and longest side of a thumbnail.
        per_row: cells along a sheet's side.
    """

    side_px: int
    per_row: int

    @property
    def per_sheet(self) -> int:
        """Photos of a whole sheet."""
        return self.per_row**2


def layout_for(photos: int, room: int, most_px: int) -> Layout:
    """Return the layout whose sheets should fit into `room` bytes.

    Args:
        photos: how many there are.
        room: bytes of the page.
        most_px: no thumbnail is larger than this.
    """
    # Base64 takes four bytes for three. Photos are 4 : 3, more or less.
    pixels = 0.75 * room / max(1, photos) / BYTES_PER_PX
    side = int(min(most_px, max(LEAST_PX, (pixels / 0.75) ** 0.5)))
    return Layout(side, max(1, SHEET_PX // side))


@dataclass(frozen=True)
class Entry:
    """One photo of the atlas.

    Attributes:
        row: in the patch maps.
        path: of the file.
        tokens: of its regions, in the order in which the page lists them.
    """

    row: int
    path: Path
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Sheet:
    """Some photos side by side.

    Attributes:
        thumbnails: WebP in base64, or "" where the page had no room for them.
        maps: PNG in base64: which of its photo's regions each cell belongs to, `NO_REGION` where none.
        sizes: of each photo: thumbnail width and height, map width and height.
    """

    thumbnails: str
    maps: str
    sizes: list[tuple[int, int, int, int]]


def _sheet(layout: Layout, maps: Maps, entries: Sequence[Entry]) -> Sheet:
    side, per_row = layout.side_px, layout.per_row
    rows = -(-len(entries) // per_row)
    thumbnails = np.zeros((rows * side, per_row * side, 3), dtype=np.uint8)
    cells = np.full((rows * MAP_CELLS, per_row * MAP_CELLS), NO_REGION, dtype=np.uint8)
    sizes = []
    for number, entry in enumerate(entries):
        y, x = divmod(number, per_row)
        photo = read_photo(entry.path, max_px=side)
        own = _cells(maps, entry)
        thumbnails[y * side :, x * side :][: photo.shape[0], : photo.shape[1]] = photo
        cells[y * MAP_CELLS :, x * MAP_CELLS :][: own.shape[0], : own.shape[1]] = own
        sizes.append((photo.shape[1], photo.shape[0], own.shape[1], own.shape[0]))
    return Sheet(_base64(pictures.webp(thumbnails, QUALITY)), _base64(_png(cells)), sizes)


def _cells(maps: Maps, entry: Entry) -> npt.NDArray[np.uint8]:
    """Return the region map of a photo, its longer side at most `MAP_CELLS`."""
    grid, tokens = maps.grid(entry.row), maps.region(entry.row)
    height, width = grid.photo_hw
    # One cell a patch where they fit: then no border of a region shifts.
    scale = min(1.0, MAP_CELLS / max(tokens.shape)) * max(tokens.shape) / max(height, width)
    small = (max(1, round(height * scale)), max(1, round(width * scale)))
    tokens = grid.at(small).enlarge(tokens)
    cells = np.full(tokens.shape, NO_REGION, dtype=np.uint8)
    # With 256 tokens the last region of a photo has no number left; it is listed and has no outline.
    for position, token in enumerate(entry.tokens[:NO_REGION]):
        cells[tokens == token] = position
    return cells


def sheets(
    entries: Sequence[Entry],
    open_maps: Callable[[], Maps],
    layout: Layout,
    room: int,
    doing: str,
    workers: int | None = None,
) -> list[Sheet]:
    """Return the sheets of the photos; once `room` bytes are full, the following ones have maps alone.

    Args:
        entries: the photos, in the page's order.
        open_maps: opens HEAP's patch maps.
        layout: where they stand.
        room: bytes for thumbnails and maps, as base64.
        doing: what the progress says.
        workers: processes; None chooses by cores and photos.

    Raises:
        PhotoError: a photo cannot be read.
    """
    parts = [entries[first : first + layout.per_sheet] for first in range(0, len(entries), layout.per_sheet)]
    workers = workers_for(len(entries)) if workers is None else workers
    made: list[Sheet] = []
    done = spread(Reading(open_maps, partial(_sheet, layout)), parts, workers, chunk=1)
    for sheet in track(done, len(parts), "sheets", doing):
        room -= len(sheet.thumbnails) + len(sheet.maps)
        made.append(sheet if room >= 0 else Sheet("", sheet.maps, sheet.sizes))
    return made


def _png(cells: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(cells).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
