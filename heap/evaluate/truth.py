"""Photos with their ground truth, as the scoring of a task takes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from heap.components import Mask
from heap.data.masks import paint, read_class_mask, read_mask
from heap.errors import DataError
from heap.evaluate.instances import Box, Objects
from heap.evaluate.levels import Levels, Reading, levels_of
from heap.evaluate.retrieval import BACKGROUND, IGNORED
from heap.evaluate.saliency import truth_of

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Photo:
    """One row of a manifest.

    Attributes:
        image_id: its name in every table.
        path: how messages call it: its file as the manifest gives it, or the file of its prediction.
        size: height and width in pixels; None where no file says them.
        mask: file of the binary mask.
        class_mask: file of the true classes.
        boxes: `(n, 4)` true boxes `x1, y1, x2, y2`, or None where the dataset has none.
        objects: true objects of multi-object discovery, crowds among them; None where there are none.
        annotations: COCO's, for masks of objects and of classes; their categories are class ids.
        file: of the photo itself, which only the bilateral solver reads.
    """

    image_id: str
    path: str
    size: tuple[int, int] | None = None
    mask: Path | None = None
    class_mask: Path | None = None
    boxes: npt.NDArray[np.int64] | None = None
    objects: Objects | None = None
    annotations: list[dict[str, Any]] | None = None
    file: Path | None = None


def photos_of(rows: pd.DataFrame, root: Path) -> list[Photo]:
    """Return the photos of a manifest's rows, in their order."""
    return [
        Photo(
            image_id=str(row["image_id"]),
            path=str(row["path"]),
            size=(int(row["height_px"]), int(row["width_px"])),
            mask=_file(root, row["mask_path"]),
            class_mask=_file(root, row["class_mask_path"]),
            boxes=None if row["boxes"] is None else np.array(row["boxes"], dtype=np.int64).reshape(-1, 4),
            objects=None if row["boxes"] is None else _objects(row["boxes"], row["crowd_boxes"] or []),
            file=root / row["path"],
        )
        for row in rows.to_dict("records")
    ]


def saliency_truth(photo: Photo, reading: Reading) -> tuple[Mask, Levels]:
    """Return the foreground of a photo, `(H, W)` bool, and the levels of the file it was read from.

    Where there is no binary truth but a class mask, every class is foreground; background and 255 are not.

    Raises:
        DataError: there is neither, or it is unreadable or of another size than the photo.
    """
    if photo.mask is not None:
        values = _fitting(read_mask(photo.mask), photo.mask, photo.size)
        return truth_of(values, reading), levels_of(photo.mask, values)
    labels = class_labels(photo)
    foreground: Mask = (labels != BACKGROUND) & (labels != IGNORED)
    highest, ignored = 255 * int(foreground.any()), bool((labels == IGNORED).all())
    return foreground, Levels(str(photo.class_mask), highest, pixels=labels.size, ignored=ignored)


def class_labels(photo: Photo) -> Labels:
    """Return the true class of each pixel, `(H, W)` uint8, 255 ignored.

    Raises:
        DataError: there is no class mask, or it is unreadable or of another size than the photo.
        ValueError: it is to be painted of annotations, and these have no size or do not fit.
    """
    if photo.annotations is not None:
        if photo.size is None:
            raise ValueError("the ground truth does not say this photo's size")
        return paint(photo.annotations, {number: number for number in range(1, IGNORED)}, photo.size)
    if photo.class_mask is None:
        raise DataError(f"{photo.path}: the manifest names no truth for this photo, and the task needs it")
    return _fitting(read_class_mask(photo.class_mask), photo.class_mask, photo.size)


def _fitting(values: Labels, path: Path, size: tuple[int, int] | None) -> Labels:
    if size is not None and values.shape != size:
        raise DataError(f"{path}: {values.shape[0]} x {values.shape[1]} px, but its photo has {size[0]} x {size[1]}")
    return values


def _objects(boxes: list[Box], crowds: list[Box]) -> Objects:
    return Objects([*boxes, *crowds], crowd=[False] * len(boxes) + [True] * len(crowds))


def _file(root: Path, path: str | None) -> Path | None:
    return None if path is None else root / path
