"""PASCAL VOC's layout: JPEGImages, Annotations, SegmentationClass, ImageSets. The embedded scenes use it too."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError  # the types; reading is defusedxml's

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from heap.data.items import (
    MAX_COORDINATE,
    Box,
    Item,
    Listing,
    below,
    existing_folder,
    read_lines,
    refuse_normalised,
    relative_to,
    some,
    visible_files,
)
from heap.errors import DataError
from heap.files import regular
from heap.settings.datasets import VocDataset

# In the order of the class masks' ids, 1 to 20.
CLASSES = [
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
]  # fmt: skip
# The publishers' photos are .jpg; datasets in the same layout may hold others. First match wins.
_SUFFIXES = (".jpg", ".jpeg", ".png")


def read(settings: VocDataset, root: Path) -> Listing:
    """List the images of the settings' splits.

    Raises:
        DataError: a folder, list, photo, annotation or class mask is missing or unreadable; names it.
    """
    folder, warnings = find_folder(root, settings.year)
    return Listing(_items(settings, root, folder), list(CLASSES), warnings)


def read_scenes(root: Path) -> Listing:
    """List the embedded scenes: two splits, boxes, and class masks with the names of classes.txt.

    Raises:
        DataError: as `read`.
    """
    names = root / "classes.txt"
    if not names.is_file():
        raise DataError(f"{names}: no such file; the scenes are incomplete, fetch them again")
    settings = VocDataset(
        layout="voc",
        year=2012,  # not used: the scenes lie in the root itself
        splits={"train": "Main/train", "val": "Main/val"},
        class_masks=True,
    )
    return Listing(_items(settings, root, root), names.read_text(encoding="utf-8").splitlines())


def find_folder(root: Path, year: int) -> tuple[Path, list[str]]:
    """Return the folder that holds JPEGImages, and a warning where it is not the one of `year`.

    Publishers' archives unpack to VOCdevkit/VOC{year}; people move that about, so the usual places are tried in turn.

    Raises:
        DataError: there is none, or more than one and none of `year`.
    """
    for folder in (root / f"VOC{year}", root / "VOCdevkit" / f"VOC{year}", root):
        if (folder / "JPEGImages").is_dir():
            return folder, []
    others = sorted(
        {path.parent for pattern in ("VOC*", "VOCdevkit/VOC*") for path in root.glob(f"{pattern}/JPEGImages")}
    )
    if len(others) == 1:
        return others[0], [f"no VOC{year} below {root}: {relative_to(root, others[0])} was read in its place"]
    found = f"found {some(relative_to(root, path) for path in others)}" if others else "found no JPEGImages"
    raise DataError(f"{root}: expected VOC{year}/JPEGImages or VOCdevkit/VOC{year}/JPEGImages below it, {found}")


def read_annotation(path: Path) -> tuple[list[Box], list[str], tuple[int, int] | None]:
    """Read one annotation: every object, difficult and truncated ones too.

    Returns:
        Boxes `(xmin - 1, ymin - 1, xmax, ymax)`, end exclusive (VOC counts pixels from 1 and includes the last
        one); their classes; (height, width) if it is there. A few real files hold fractions, which are rounded (ours).

    Raises:
        DataError: not XML, no annotation, or an object lacks a key; names the file and the key.
    """
    try:
        tree: Element = ElementTree.parse(regular(path)).getroot()
    except FileNotFoundError:
        raise DataError(f"{path}: no such annotation") from None
    except (ParseError, DefusedXmlException, OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as XML ({error})") from error
    if tree.tag != "annotation":
        raise DataError(f"{path}: the root element is {tree.tag!r}, expected 'annotation' without a namespace")
    foreign = next((one.tag for one in tree.iter() if one.tag.startswith("{")), None)
    if foreign is not None:  # an object among them would be no object
        raise DataError(f"{path}: an element is {foreign!r}, expected names without a namespace")
    boxes: list[Box] = []
    classes: list[str] = []
    # Only children: people in VOC 2012 have parts (head, hands) with boxes of their own inside the object.
    for number, thing in enumerate(tree.findall("object")):
        where = f"object[{number}]"
        classes.append(_text(path, thing, "name", where))
        x1, y1, x2, y2 = (_number(path, thing, f"bndbox/{side}", where) for side in ("xmin", "ymin", "xmax", "ymax"))
        if x2 < x1 or y2 < y1:
            raise DataError(f"{path}: {where}/bndbox ends before it begins ({x1}, {y1}, {x2}, {y2})")
        boxes.append((x1 - 1, y1 - 1, x2, y2))
    if tree.find("size/height") is None or tree.find("size/width") is None:
        return boxes, classes, None
    return boxes, classes, (_number(path, tree, "size/height", ""), _number(path, tree, "size/width", ""))


def _items(settings: VocDataset, root: Path, folder: Path) -> list[Item]:
    photos = visible_files(existing_folder(folder, "JPEGImages", "root"))
    class_masks: dict[str, Path] = {}
    if settings.class_masks:
        class_masks = visible_files(existing_folder(folder, settings.class_mask_folder, "class_mask_folder"))
    items: list[Item] = []
    split_of: dict[str, str] = {}
    for split, listed in settings.splits.items():
        for image_id in _ids(folder, split, listed):
            if image_id in split_of:
                raise DataError(f"{folder}: {image_id} stands twice, in splits {split_of[image_id]} and {split}")
            split_of[image_id] = split
            photo = next((photos[name] for s in _SUFFIXES if (name := image_id + s) in photos), None)
            if photo is None:
                raise DataError(f"{folder / 'JPEGImages' / image_id}.jpg: no such photo (listed in split {split})")
            boxes, classes, size_px = None, None, None
            if settings.boxes:
                boxes, classes, size_px = read_annotation(folder / "Annotations" / f"{image_id}.xml")
            mask = class_masks.get(f"{image_id}.png")
            if settings.class_masks and mask is None:
                missing = folder / settings.class_mask_folder / f"{image_id}.png"
                raise DataError(f"{missing}: no such class mask (listed in split {split})")
            items.append(
                Item(
                    image_id=image_id,
                    path=relative_to(root, photo),
                    split=split,
                    class_mask_path=None if mask is None else relative_to(root, mask),
                    boxes=boxes,
                    box_classes=classes,
                    size_px=size_px,
                )
            )
    refuse_normalised((box for item in items for box in item.boxes or []), folder / "Annotations")
    return items


def _ids(folder: Path, split: str, listed: str) -> list[str]:
    """Return the image ids of one list, in its order."""
    path = below(folder / "ImageSets", f"{listed}.txt", f"key splits.{split}")
    ids = read_lines(path, f"splits.{split}")
    for image_id in ids:
        # Lists of one class (Main/dog_trainval) hold a flag after the id; read as ids they would give every photo.
        if len(image_id.split()) > 1 or "/" in image_id or "\\" in image_id:
            raise DataError(f"{path}: expected one image id a line, found {image_id!r}")
    return ids


def _text(path: Path, parent: Element, key: str, where: str) -> str:
    found = parent.find(key)
    text = "" if found is None else (found.text or "").strip()
    if not text:
        raise DataError(f"{path}: {where}/{key} is missing or empty")
    return text


def _number(path: Path, parent: Element, key: str, where: str) -> int:
    text = _text(path, parent, key, where)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path}: {where}/{key} is {text!r}, expected a number")
    if abs(value) > MAX_COORDINATE:
        raise DataError(f"{path}: {where}/{key} is {text!r}, beyond the pixels of any photo ({MAX_COORDINATE})")
    return round(value)
