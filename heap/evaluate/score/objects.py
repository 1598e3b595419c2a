"""True and found objects as files tell them: VOC annotations, COCO JSON, or a plain JSON of boxes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from heap.data.coco import read_instances
from heap.data.items import refuse_normalised
from heap.data.voc import read_annotation
from heap.errors import DataError
from heap.evaluate.instances import Box, Kind, Objects
from heap.evaluate.problems import refuse
from heap.evaluate.score.files import name_of, visible
from heap.files import read_json

# Exact COCO figures want boxes as COCO has them; CorLoc wants them rounded to pixels, as its peers do.
Boxes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Truth:
    """The true objects of every photo, by name.

    Attributes:
        boxes: `(n, 4)` for CorLoc: whole pixels, without crowds.
        objects: for multi-object discovery: boxes as they are, with crowds.
        sizes: height and width, where they are stated.
        name_of_id: COCO's image ids.
        nested: whether names hold folders.
        masks: COCO annotations, for masks and classes; empty where there are none.
        categories: COCO's.
    """

    boxes: dict[str, Boxes]
    objects: dict[str, Objects]
    sizes: dict[str, tuple[int, int]]
    nested: bool
    name_of_id: dict[int, str] = field(default_factory=dict)
    masks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)

    def name(self, key: Any) -> str | None:
        """Return the photo that a prediction's key means: a COCO id, or a name with or without suffix; or None."""
        if isinstance(key, int):
            return self.name_of_id.get(key)
        name = name_of(str(key), self.nested)
        if name not in self.boxes and name.isdecimal():
            return self.name_of_id.get(int(name))
        return name if name in self.boxes else None


def read_truth(path: Path) -> Truth:
    """Read true boxes.

    Args:
        path: a folder of VOC's annotations (every object, difficult and truncated ones too), COCO's instances JSON, or
            a JSON object that gives each photo its boxes `[[x1, y1, x2, y2], ...]`, ends exclusive.

    Raises:
        DataError: it is none of these, or damaged; names file and key.
    """
    if path.is_dir():
        return _voc(path)
    content = read_json(path)
    if isinstance(content, dict) and {"images", "annotations"} <= set(content):
        return _coco(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected COCO's instances, or an object of boxes by photo")
    boxes: dict[str, Boxes] = {}
    objects: dict[str, Objects] = {}
    nested = _nested(content)
    for key, listed in content.items():
        found = [_box(path, key, box) for box in _list(path, key, listed)]
        name = _fresh(path, name_of(key, nested), key, boxes)
        boxes[name] = np.array([[round(side) for side in box] for box in found], dtype=np.int64).reshape(-1, 4)
        objects[name] = Objects(found, crowd=[False] * len(found))
    return Truth(boxes, objects, {}, nested)


def _voc(folder: Path) -> Truth:
    files, _ = visible(folder, (".xml",))
    if not files:
        raise DataError(f"{folder}: holds no annotation (.xml)")
    boxes: dict[str, Boxes] = {}
    objects: dict[str, Objects] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for path in files:
        found, _, size = read_annotation(path)
        name = _fresh(folder, name_of(path.name, False), str(path), boxes)
        boxes[name] = np.array(found, dtype=np.int64).reshape(-1, 4)
        objects[name] = Objects(found, crowd=[False] * len(found))
        if size is not None:
            sizes[name] = size
    refuse_normalised((box for one in boxes.values() for box in one.tolist()), folder)
    return Truth(boxes, objects, sizes, nested=False)


def _coco(path: Path) -> Truth:
    found = read_instances(path)
    nested = _nested([image["file_name"] for image in found.images])
    truth = Truth({}, {}, {}, nested, categories=found.categories)
    for image in found.images:
        number = image["id"]
        name = _fresh(path, name_of(image["file_name"], nested), image["file_name"], truth.boxes)
        truth.name_of_id[number] = name
        truth.boxes[name] = np.array(found.boxes[number], dtype=np.int64).reshape(-1, 4)
        annotations = found.annotations[number]
        exact: list[Box] = [(x, y, x + w, y + h) for x, y, w, h in (one["bbox"] for one in annotations)]
        truth.objects[name] = Objects(exact, crowd=[bool(one.get("iscrowd")) for one in annotations])
        truth.masks[name] = annotations
        if isinstance(image.get("height"), int) and isinstance(image.get("width"), int):
            truth.sizes[name] = image["height"], image["width"]
    return truth


def read_boxes(path: Path, truth: Truth) -> dict[str, Box | None]:
    """Read one box a photo: `{photo: [x1, y1, x2, y2]}`, ends exclusive; null where nothing was found.

    Raises:
        DataError: not such a JSON, or keys that mean no photo of the truth, or one twice; names them.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected an object with one box a photo, {{photo: [x1, y1, x2, y2]}}")
    found: dict[str, Box | None] = {}
    unknown = []
    for key, value in content.items():
        name = truth.name(key)
        if name is None:
            unknown.append(key)
            continue
        # A list of one box is read too, since truth is written so.
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
            value = value[0]
        found[_fresh(path, name, key, found)] = None if value is None or value == [] else _box(path, key, value)
    refuse({f"predictions of {path} have no truth": unknown})
    return found


def read_results(path: Path, truth: Truth, kind: Kind) -> dict[str, list[dict[str, Any]]]:
    """Read found objects with scores, by photo: COCO's results (a list), or a JSON as `heap segment` writes it.

    Args:
        path: the JSON.
        truth: whose image ids or names the objects refer to.
        kind: what every object must have: `bbox` or a `segmentation`.

    Raises:
        DataError: not such a JSON, or objects that lack a key or refer to no photo of the truth; names them.
    """
    content = read_json(path)
    photo_of: dict[Any, Any] = {}
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        # The ids are the file's own: names tell which photo is meant.
        try:
            photo_of = {image["id"]: image.get("heap_id") or image["file_name"] for image in content["images"]}
        except (KeyError, TypeError, AttributeError):
            raise DataError(f"{path}: its images lack id or file_name") from None
        content = content.get("annotations")
    if not isinstance(content, list):
        raise DataError(f"{path}: expected COCO's results, a list of objects with image_id, {_KEY[kind]} and score")
    found: dict[str, list[dict[str, Any]]] = {}
    wrong: list[str] = []
    unknown: list[str] = []
    for number, one in enumerate(content):
        problem = _problem(one, kind)
        if problem is not None:
            wrong.append(f"[{number}]: {problem}")
            continue
        key = photo_of.get(one["image_id"], one["image_id"]) if photo_of else one["image_id"]
        name = truth.name(key)
        if name is None:
            unknown.append(str(key))
        else:
            found.setdefault(name, []).append(one)
    refuse(
        {
            f"objects of {path} are not what they should be": wrong,
            f"photos of {path} have no truth": list(dict.fromkeys(unknown)),
        }
    )
    return found


_KEY = {"bbox": "bbox", "segm": "segmentation"}


def _problem(one: Any, kind: Kind) -> str | None:
    if not isinstance(one, dict):
        return "no object"
    missing = [key for key in ("image_id", _KEY[kind], "score") if key not in one]
    if missing:
        return f"has no {', '.join(missing)}"
    if not isinstance(one["image_id"], int | str):
        return f"image_id is {one['image_id']!r}, expected a number or a name"
    if not _is_number(one["score"]):
        return f"score {one['score']!r} is no number"
    if kind == "bbox":
        box = one["bbox"]
        if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)) or min(box[2:]) < 0:
            return f"bbox {box!r}, expected [x, y, width, height]"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _box(path: Path, key: str, value: Any) -> Box:
    if not isinstance(value, list) or len(value) != 4 or not all(map(_is_number, value)):
        raise DataError(f"{path}: {key} is {value!r}, expected [x1, y1, x2, y2]")
    x1, y1, x2, y2 = value
    if x2 < x1 or y2 < y1:
        raise DataError(f"{path}: {key} ends before it begins ({value})")
    return x1, y1, x2, y2


def _list(path: Path, key: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"{path}: {key} is {value!r}, expected a list of boxes [x1, y1, x2, y2]")
    return value


def _nested(names: Sequence[str] | Mapping[str, Any]) -> bool:
    counts = Counter(name_of(name, nested=False) for name in names)
    return len(counts) < len(names)


def _fresh(path: Path, name: str, key: str, taken: Mapping[str, Any]) -> str:
    if name in taken:
        raise DataError(f"{path}: {key} is a second entry of photo {name}")
    return name
