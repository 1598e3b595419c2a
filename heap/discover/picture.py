"""Pictures of what was found in one photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from heap.report import pictures
from heap.segment.instances import UNCLUSTERED, Instance, Mask

Pixels = npt.NDArray[np.uint8]
# As in the report: a tint that leaves the photo readable, and a darkness that shows where the mask ends.
_TINT = 0.25
_OUTSIDE = 0.5


def objects_over(photo: Pixels, found: Mask, instances: Sequence[Instance]) -> Pixels:
    """Return a photo `(h, w, 3)` with its objects tinted, outlined and boxed, and all else darkened.

    Args:
        photo: `(h, w, 3)` uint8, at any size.
        found: `(H, W)` bool, the foreground.
        instances: the objects, at the size of the foreground.
    """
    if not found.any():
        return photo
    size = photo.shape[:2]
    out = np.where(pictures.resized(found, size)[..., None], photo, _OUTSIDE * photo)
    colours = pictures.palette(max(0, *(one.cluster for one in instances)) + 1) if instances else None
    boxes: list[tuple[tuple[float, ...], pictures.Colour]] = []
    for one in instances:
        assert colours is not None
        colour = pictures.FOUND if one.cluster == UNCLUSTERED else colour_of(colours[one.cluster])
        mask = pictures.resized(one.mask, size)
        out[mask] = (1 - _TINT) * out[mask] + _TINT * np.asarray(colour)
        out[outline(mask)] = colour
        scale = (size[1] / found.shape[1], size[0] / found.shape[0]) * 2
        boxes.append((tuple(side * by for side, by in zip(one.box, scale, strict=True)), colour))
    drawn = np.rint(out).astype(np.uint8)
    for box, colour in boxes:
        drawn = pictures.draw_boxes(drawn, [box], colour)
    return drawn


def outline(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the edge of a mask, two pixels wide, inside it: one is lost when a picture is shown smaller."""
    first = pictures.edge(mask)
    return first | pictures.edge(mask & ~first)


def colour_of(row: npt.NDArray[np.uint8]) -> pictures.Colour:
    """Return a row of a palette as a colour."""
    red, green, blue = (int(value) for value in row)
    return red, green, blue
