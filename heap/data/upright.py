"""Ground truth on the upright photo, also where it was drawn on the pixels as the file stores them.

Photos are read upright, by their EXIF orientation. A part of the tools that annotate ignores it, and so do the peers'
codes: their boxes and masks are of the stored pixels and are turned here with the photo. The annotated size says which
it is; where that is the same either way (upside down, mirrored, or square), the key `annotated_on` of the dataset does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from heap.data.items import Box, Item, some
from heap.data.masks import Labels, check_class_mask, check_mask, paint, read_class_mask, read_mask
from heap.data.photos import UPRIGHT, Frame
from heap.errors import DataError, PhotoError
from heap.files import atomic_path
from heap.settings.datasets import AnnotatedOn


@dataclass(frozen=True)
class Fitted:
    """An item whose ground truth was held against its photo."""

    item: Item
    frame: Frame  # of the photo
    turn_boxes: bool  # boxes and polygons were drawn on the stored pixels
    turn_masks: bool  # masks were
    unsettled: bool  # nothing says on which pixels they were drawn
    other_size: bool  # the annotation claims a size that the photo has neither way


def fit(root: Path, item: Item, frame: Frame, annotated_on: AnnotatedOn) -> Fitted:
    """Hold an item's ground truth against its photo, by headers alone.

    Raises:
        PhotoError: a mask is missing, unreadable or of another size.
    """
    both = {"upright": (frame.size_px,), "stored": (frame.stored_px,), "auto": (frame.size_px, frame.stored_px)}
    sizes = both[annotated_on]
    mask_px = None
    try:
        if item.mask_path is not None:
            mask_px = check_mask(root / item.mask_path, *sizes)
        if item.class_mask_path is not None:
            mask_px = check_class_mask(root / item.class_mask_path, *sizes)
    except DataError as error:
        raise PhotoError(f"{error}{_exif(frame)}") from error
    has_boxes = bool(item.boxes or item.crowd_boxes or item.segments)
    boxes = _of_stored(item.size_px, frame, annotated_on) if has_boxes else None
    masks = _of_stored(mask_px, frame, annotated_on) if mask_px is not None else None
    settled = boxes if masks is None else masks
    other_size = item.size_px is not None and item.size_px not in sizes
    return Fitted(
        item,
        frame,
        turn_boxes=bool(settled if boxes is None else boxes),
        turn_masks=bool(settled if masks is None else masks),
        unsettled=settled is None and not other_size and (has_boxes or mask_px is not None),
        other_size=other_size,
    )


def upright(fitted: Fitted, root: Path, painted: Path | None, classes: int) -> Item:
    """Return the item with boxes on the upright photo, and masks of its size.

    Masks that are painted (COCO's, of so many classes) or turned go to the folder `painted`; None paints none.

    Raises:
        PhotoError: a segmentation cannot be painted, or a mask not be turned.
    """
    item, frame = fitted.item, fitted.frame
    if fitted.turn_boxes:
        boxes, crowds = (
            None if found is None else [turned_box(box, frame) for box in found]
            for found in (item.boxes, item.crowd_boxes)
        )
        item = replace(item, boxes=boxes, crowd_boxes=crowds)
    if item.segments is not None and painted is not None:
        size_px = frame.stored_px if fitted.turn_boxes else frame.size_px
        try:
            labels = paint(item.segments, {number: number for number in range(1, classes + 1)}, size_px)
        except ValueError as error:
            raise PhotoError(f"{item.path}: its class mask cannot be painted: {error}{_exif(frame)}") from error
        return replace(item, class_mask_path=_write(painted, item, labels, frame if fitted.turn_boxes else None))
    if not fitted.turn_masks or (item.mask_path is None and item.class_mask_path is None):
        return item
    if painted is None:
        raise PhotoError(f"{item.path}: its mask is of the stored pixels, and there is no folder to turn it to")
    try:
        if item.mask_path is not None:
            item = replace(item, mask_path=_write(painted, item, read_mask(root / item.mask_path), frame))
        if item.class_mask_path is not None:
            labels = read_class_mask(root / item.class_mask_path)
            item = replace(item, class_mask_path=_write(painted, item, labels, frame))
    except DataError as error:
        raise PhotoError(str(error)) from error
    return item


def warnings_of(photos: Sequence[Fitted]) -> list[str]:
    """Return what a reader of the figures should know of a dataset's sizes and orientations."""
    found = []

    def warn(chosen: list[Fitted], what: str) -> None:
        if chosen:
            found.append(f"{len(chosen)} photos have {what}: {some(one.item.path for one in chosen)}")

    warn(
        [one for one in photos if one.turn_boxes or one.turn_masks],
        "an EXIF orientation and ground truth of their stored pixels, which was turned with them",
    )
    warn(
        [one for one in photos if one.unsettled],
        "an EXIF orientation, and no size says whether their ground truth is of the stored or upright pixels; taken as "
        "upright (key annotated_on)",
    )
    other = [one for one in photos if one.other_size]
    exif = sum(one.frame.orientation > 1 for one in other)
    also = f" ({exif} of them have an EXIF orientation; key annotated_on)" if exif else ""
    warn(other, f"another size than their annotation says{also}")
    lost = {one.item.path: count for one in photos if (count := _without_pixels(one))}
    if lost:
        found.append(f"{sum(lost.values())} boxes hold no pixel of their photo, nothing can match them: {some(lost)}")
    return found


def _without_pixels(fitted: Fitted) -> int:
    """Return how many true boxes are empty, as rounded, or lie outside of their photo."""
    height, width = fitted.frame.stored_px if fitted.turn_boxes else fitted.frame.size_px
    boxes = fitted.item.boxes or []
    return sum(min(x2, width) <= max(x1, 0) or min(y2, height) <= max(y1, 0) for x1, y1, x2, y2 in boxes)


def turned_box(box: Box, frame: Frame) -> Box:
    """Return a box of the stored pixels as one of the upright photo."""
    (height, width), (x1, y1, x2, y2) = frame.stored_px, box
    if frame.orientation in (2, 3, 7, 8):
        x1, x2 = width - x2, width - x1
    if frame.orientation in (3, 4, 6, 7):
        y1, y2 = height - y2, height - y1
    return (x1, y1, x2, y2) if frame.orientation < 5 else (y1, x1, y2, x2)


def _of_stored(size_px: tuple[int, int] | None, frame: Frame, annotated_on: AnnotatedOn) -> bool | None:
    """Return whether ground truth of a size was drawn on the stored pixels; None where nothing says so."""
    if frame.orientation == 1 or annotated_on != "auto":
        return frame.orientation > 1 and annotated_on == "stored"
    if frame.stored_px == frame.size_px or size_px not in (frame.stored_px, frame.size_px):
        return None
    return size_px == frame.stored_px


def _exif(frame: Frame) -> str:
    """Return what an error about sizes adds for a photo that is turned."""
    if frame.orientation == 1:
        return ""
    return f" (the photo has EXIF orientation {frame.orientation}; see key annotated_on of the dataset)"


def _write(folder: Path, item: Item, labels: Labels, frame: Frame | None) -> str:
    """Write a mask, turned by `frame`; return where, absolute, since it does not lie below the dataset's root."""
    image = Image.fromarray(labels)
    if frame is not None:
        image = image.transpose(UPRIGHT[frame.orientation])
    path = folder / f"{item.image_id}.png"
    with atomic_path(path, durable=False) as temporary:
        image.save(temporary, format="PNG")
    return str(path)
