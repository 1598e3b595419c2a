"""COCO's layout: a folder of images and one JSON of instances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from heap.data.items import (
    MAX_COORDINATE,
    Box,
    Item,
    Listing,
    below,
    entries,
    existing_folder,
    read_lines,
    refuse_normalised,
    relative_to,
    some,
)
from heap.data.masks import MAX_CLASSES
from heap.errors import DataError
from heap.files import read_json
from heap.settings.datasets import CocoDataset


def read(settings: CocoDataset, root: Path) -> Listing:
    """List the images of the JSON, or those of `image_list` in its order, with their boxes.

    Raises:
        DataError: a file is missing, or a key of the JSON is missing or wrong; names file and key.
    """
    folder = existing_folder(root, settings.images, "images")
    source = below(root, settings.annotations, "key annotations")
    if source.exists() and not source.is_file():
        raise DataError(f"{source}: a named pipe, device or folder, expected a regular file (key annotations)")
    found = read_instances(source)
    images, boxes, crowds, classes = found.images, found.boxes, found.crowds, found.classes
    if settings.image_list is not None:
        images = _chosen(images, source, below(root, settings.image_list, "key image_list"))
    present = {path.name for path in entries(folder)}
    ids = Counter(PurePosixPath(image["file_name"]).stem for image in images)
    if settings.class_masks and len(found.categories) > MAX_CLASSES:
        count = len(found.categories)
        raise DataError(f"{source}: {count} categories, but class masks hold at most {MAX_CLASSES} (key class_masks)")
    class_of = {category: number for number, category in enumerate(sorted(found.categories), start=1)}
    items: list[Item] = []
    for image in images:
        name = PurePosixPath(image["file_name"])
        photo = below(folder, image["file_name"], str(source))
        if not (photo.name in present if len(name.parts) == 1 else photo.is_file()):
            raise DataError(f"{photo}: no such photo (listed in {source.name})")
        items.append(
            Item(
                # Bare names are COCO's own; where folders tell equal names apart, they belong to the id.
                image_id=name.stem if ids[name.stem] == 1 else image["file_name"],
                path=relative_to(root, photo),
                coco_id=image["id"],
                boxes=boxes[image["id"]],
                box_classes=classes[image["id"]],
                crowd_boxes=crowds[image["id"]],
                segments=_segments(found, image["id"], class_of) if settings.class_masks else None,
                size_px=_size(image),
            )
        )
    return Listing(items, [found.categories[category] for category in class_of] if settings.class_masks else [])


@dataclass(frozen=True)
class Instances:
    """What an instances JSON says, by image id."""

    images: list[dict[str, Any]]  # COCO's `images`, in the order of the file
    annotations: dict[int, list[dict[str, Any]]]  # of each image, crowds too; `iscrowd` is 0 or 1
    boxes: dict[int, list[Box]]  # of each image, rounded as the peers do, without crowds
    crowds: dict[int, list[Box]]  # boxes of crowds of each image
    classes: dict[int, list[str]]  # names of the classes of `boxes`
    categories: dict[int, str]  # name of each category id


def read_instances(source: Path) -> Instances:
    """Read COCO's instances JSON.

    Raises:
        DataError: the file is missing or no JSON, or a key is missing or wrong; names file and key.
    """
    content = read_json(source)
    if not isinstance(content, dict):
        raise DataError(f"{source}: expected an object with images, annotations and categories")
    categories = _unique(source, content, "categories", ("id", int))
    names = {one["id"]: _key(source, one, "name", str, f"categories[{n}]") for n, one in enumerate(categories)}
    images = _unique(source, content, "images", ("id", int), ("file_name", str))
    annotations, boxes, crowds, classes = ({image["id"]: list[Any]() for image in images} for _ in range(4))
    for number, annotation in enumerate(_key(source, content, "annotations", list, "")):
        where = f"annotations[{number}]"
        image_id = _key(source, annotation, "image_id", int, where)
        category = _key(source, annotation, "category_id", int, where)
        if image_id not in boxes or category not in names:
            raise DataError(f"{source}: {where} refers to image {image_id}, category {category}: no such one there")
        box = corners(source, _key(source, annotation, "bbox", list, where), where)
        annotations[image_id].append(annotation)
        annotation["iscrowd"] = int(_is_crowd(source, annotation, where))  # every later reader takes it as it is
        if annotation["iscrowd"]:  # one box around many objects: the peers leave them out
            crowds[image_id].append(box)
            continue
        boxes[image_id].append(box)
        classes[image_id].append(names[category])
    refuse_normalised((a["bbox"] for of_image in annotations.values() for a in of_image), source)
    return Instances(images, annotations, boxes, crowds, classes, names)


def _is_crowd(source: Path, annotation: Mapping[str, Any], where: str) -> bool:
    value = annotation.get("iscrowd", 0)
    known = {None: False, 0: False, 1: True, "0": False, "1": True}  # false and true are equal to 0 and 1
    if not isinstance(value, int | str | None) or value not in known:
        raise DataError(f"{source}: {where}/iscrowd is {value!r}, expected 0 or 1")
    return known[value]


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return (height, width) as the JSON gives it, if it does; some tools write 480.0."""
    height, width = image.get("height"), image.get("width")
    if not isinstance(height, int | float) or not isinstance(width, int | float):
        return None
    return round(height), round(width)


def _segments(found: Instances, image_id: int, class_of: Mapping[int, int]) -> list[dict[str, Any]]:
    """Return what a class mask is painted of; the category of each annotation becomes its class id."""
    return [
        {"segmentation": a.get("segmentation"), "category_id": class_of[a["category_id"]], "iscrowd": a["iscrowd"]}
        for a in found.annotations[image_id]
    ]


def corners(source: Path, xywh: list[Any], where: str) -> Box:
    """Return [x, y, width, height] as a box: Python's round, half to even, after the addition, as the peers do.

    Raises:
        DataError: not four finite numbers, a negative side, or beyond `MAX_COORDINATE`; names file and place.
    """
    try:
        x, y, w, h = (float(value) for value in xywh)
        box = (round(x), round(y), round(x + w), round(y + h))
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{source}: {where}/bbox is {xywh!r}, expected four numbers") from None
    if max(map(abs, box)) > MAX_COORDINATE:
        raise DataError(f"{source}: {where}/bbox is {xywh!r}, beyond the pixels of any photo ({MAX_COORDINATE})")
    if w < 0 or h < 0:
        raise DataError(f"{source}: {where}/bbox has a negative side ({xywh!r})")
    return box


def _unique(source: Path, content: Mapping[str, Any], key: str, *unique: tuple[str, type]) -> list[dict[str, Any]]:
    """Return the things of a list, of which no two may share the value of a key of `unique` (name, kind)."""
    things: list[dict[str, Any]] = _key(source, content, key, list, "")
    for name, kind in unique:
        seen = Counter(_key(source, thing, name, kind, f"{key}[{n}]") for n, thing in enumerate(things))
        large = [value for value in seen if isinstance(value, int) and abs(value) >= 2**63]
        if large:
            raise DataError(f"{source}: {key}/{name} is {large[0]}, expected an integer of 64 bits")
        twice = [str(value) for value, count in seen.items() if count > 1]
        if twice:
            raise DataError(f"{source}: {key}/{name} stands more than once: {some(twice)}")
    return things


def _chosen(images: list[dict[str, Any]], source: Path, path: Path) -> list[dict[str, Any]]:
    """Return the images that a list names, in its order; names may carry the folder (train2014/x.jpg) or not."""
    listed = read_lines(path, "image_list")
    by_name = {image["file_name"]: image for image in images}
    bare = Counter(PurePosixPath(name).name for name in by_name)
    by_bare = {PurePosixPath(name).name: image for name, image in by_name.items()}
    chosen: dict[int, dict[str, Any]] = {}
    for name in listed:
        last = PurePosixPath(name).name
        image = by_name.get(name) or (by_bare[last] if bare[last] == 1 else None)
        if image is None:
            raise DataError(f"{path}: {name} is not one of the images of {source}")
        if image["id"] in chosen:
            raise DataError(f"{path}: {name} stands more than once")
        chosen[image["id"]] = image
    return list(chosen.values())


def _key(source: Path, thing: Any, key: str, kind: type, where: str) -> Any:
    value = thing.get(key) if isinstance(thing, dict) else None
    if not isinstance(value, kind):
        raise DataError(f"{source}: {where}{'/' if where else ''}{key} is missing or no {kind.__name__}")
    return value
