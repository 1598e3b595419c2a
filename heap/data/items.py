"""What every reader returns: the images of a dataset in order, with the truth that belongs to each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from heap.data.photos import UNREAD_SUFFIXES
from heap.errors import DataError
from heap.files import regular

Box = tuple[int, int, int, int]  # x1, y1, x2, y2 in pixels, end exclusive
# The manifest's columns hold no more; no photo is as large.
MAX_COORDINATE = 2**31 - 1


@dataclass(frozen=True)
class Item:
    """One image as a reader found it; paths are relative to the dataset's root, with forward slashes."""

    image_id: str  # unique in the dataset; may hold slashes
    path: str  # of the photo
    split: str = ""  # empty where the dataset has none
    mask_path: str | None = None  # binary saliency mask
    class_mask_path: str | None = None
    boxes: list[Box] | None = None  # None where the dataset has no boxes, empty where this image shows no object
    box_classes: list[str] | None = None
    crowd_boxes: list[Box] | None = None  # around many objects at once (COCO's `iscrowd`): no object, no background
    segments: list[dict[str, Any]] | None = None  # annotations to paint a class mask of; categories are class ids
    coco_id: int | None = None  # in COCO's JSON, to which results compared with that JSON refer
    size_px: tuple[int, int] | None = None  # (height, width) that the annotation claims; compared with the photo's own
    problem: str | None = None  # why it cannot be read, where that shows while listing


@dataclass(frozen=True)
class Listing:
    """A whole dataset as a reader found it, in the order of the manifest."""

    items: list[Item]
    classes: list[str] = field(default_factory=list)  # names of the class ids 1, 2, ... of class masks
    warnings: list[str] = field(default_factory=list)  # what the reader had to assume


def below(root: Path, relative: str, source: str) -> Path:
    """Return `root / relative`, refusing what would leave `root`: lists of names come from foreign files.

    Raises:
        DataError: `relative` is absolute or climbs; names `source`, where it stands.
    """
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"{source}: {relative!r} does not lie below {root}")
    return root / path


def existing_folder(root: Path, relative: str, key: str) -> Path:
    """Return the folder `relative` below `root`.

    Raises:
        DataError: there is none; names the folder and the settings key that asks for it.
    """
    folder = below(root, relative, f"key {key}")
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder (key {key} of the dataset)")
    return folder


def relative_to(root: Path, path: Path) -> str:
    """Return `path` relative to `root`, as a manifest keeps it."""
    return path.relative_to(root).as_posix()


def entries(folder: Path) -> list[Path]:
    """Return what lies in a folder, sorted.

    Raises:
        DataError: the folder may not be listed.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: a folder that cannot be listed ({error.strerror})") from error


def visible_files(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by name, sorted, without hidden ones.

    Archives packed on a Mac carry a twin `._x.jpg` of every file (DUT-OMRON's does): no photo, though it is named so.

    Raises:
        DataError: the folder may not be listed.
    """
    return {path.name: path for path in entries(folder) if path.name[0] != "." and not path.is_dir()}


def overlooked(suffixes: Counter[str]) -> list[str]:
    """Return the warning, if any, of photos that are not read for their format.

    Args:
        suffixes: number of files of each suffix, lower case; others than photos' are passed over.
    """
    found = {suffix: count for suffix, count in suffixes.items() if suffix in UNREAD_SUFFIXES}
    if not found:
        return []
    by_suffix = ", ".join(f"{count} {suffix}" for suffix, count in sorted(found.items()))
    return [f"{sum(found.values())} photos of formats that are not read ({by_suffix}); convert them to JPEG or TIFF"]


def read_lines(path: Path, key: str) -> list[str]:
    """Return the lines of a list of images that are not blank, without the spaces around them.

    Raises:
        DataError: missing, not UTF-8 (a byte order mark is taken), or no regular file; names file and key.
    """
    try:
        lines = regular(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable as a list of images (key {key}; {error})") from error
    return [line.strip() for line in lines if line.strip()]


def refuse_normalised(boxes: Iterable[Sequence[float]], source: Path) -> None:
    """Refuse boxes that are shares of the photo's sides: rounded to pixels they are empty and score 0.

    Args:
        boxes: of a whole dataset, four numbers each.
        source: where they stand, for the message.

    Raises:
        DataError: there are boxes, and none reaches beyond 1.
    """
    highest = max((abs(number) for box in boxes for number in box), default=None)
    if highest is not None and highest <= 1:
        raise DataError(f"{source}: all boxes lie between 0 and 1, expected pixels; multiply them by the photos' sides")


def some(names: Iterable[str], limit: int = 3) -> str:
    """Return the first few of many names for a message, and how many more there are."""
    listed = list(names)
    more = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {more} more" if more > 0 else "")
