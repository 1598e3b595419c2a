"""What the grey levels of true saliency masks say: how they were saved, and whether that can be meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from heap.data.items import some
from heap.errors import DataError

# Foreground of a true mask: 255 alone (FOUND), or any non-zero pixel (TokenCut).
Reading = Literal["255", "nonzero"]


@dataclass(frozen=True, slots=True)
class Levels:
    """What the values of a true mask say of how it was saved.

    Attributes:
        file: the mask's.
        highest: its largest value.
        grey: pixels that are neither 0 nor 255.
        pixels: all pixels.
        jpeg: the file is a JPEG, which changes the values near every border.
        ignored: every pixel is ignored (255 of a class mask).
    """

    file: str
    highest: int
    grey: int = 0
    pixels: int = 0
    jpeg: bool = False
    ignored: bool = False


def levels_of(path: Path, values: npt.NDArray[np.uint8]) -> Levels:
    """Return the levels of a true mask `(H, W)` that was read from a file."""
    counts = np.bincount(values.ravel(), minlength=256)
    with path.open("rb") as stream:
        jpeg = stream.read(2) == b"\xff\xd8"
    return Levels(str(path), int(values.max()), int(counts[1:255].sum()), values.size, jpeg)


def check_levels(levels: Sequence[Levels], reading: Reading) -> dict[str, Any]:
    """Return what is worth knowing of the true masks: `grey_share`, and `truth_warnings` where there are any.

    Raises:
        DataError: a mask has pixels above 0 but none of 255, where only 255 is foreground, or no mask has any
            foreground; names the first files.
    """
    if reading == "255":
        low = [one for one in levels if 0 < one.highest < 255]
        if low:
            raise DataError(
                f"{len(low)} of {len(levels)} true masks have pixels above 0 but none of 255, and 255 alone is "
                f"foreground: {some(f'{one.file} (highest {one.highest})' for one in low)}. Save them as 0 "
                "and 255, or count every pixel above 0 (`truth: nonzero` of the task, --truth-reading nonzero)"
            )
    empty = [one for one in levels if one.highest == 0]
    if len(empty) == len(levels):
        raise DataError(f"none of the {len(levels)} true masks has any foreground: {some(one.file for one in empty)}")
    warnings = []
    jpegs, grey = [one.file for one in levels if one.jpeg], [one for one in levels if one.grey]
    if empty:
        ignored = sum(one.ignored for one in empty)
        also = f" ({ignored} of them are ignored, 255, everywhere)" if ignored else ""
        files = some(one.file for one in empty)
        warnings.append(f"{len(empty)} true masks have no foreground{also}, so the IoU of their photos is 0: {files}")
    if jpegs:
        warnings.append(f"{len(jpegs)} true masks are JPEGs, which change values near borders: {some(jpegs)}")
    share = sum(one.grey for one in grey) / max(1, sum(one.pixels for one in levels))
    if grey:
        counted = "not foreground (`truth: nonzero` counts it)" if reading == "255" else "foreground"
        warnings.append(
            f"{len(grey)} true masks have grey pixels, {100 * share:.2g} % of all; grey is {counted}: "
            f"{some(one.file for one in grey)}"
        )
    return {"grey_share": share, **({"truth_warnings": warnings} if warnings else {})}
