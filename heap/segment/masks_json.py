"""The masks JSON that `segment` wrote (COCO's instances), as the stages after it read it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from heap.errors import DataError
from heap.files import read_json
from heap.receipts import Positive, Receipt, check


class _Info(Receipt):
    dataset: str
    threshold: float
    min_area: float


class _Image(Receipt):
    id: Annotated[int, Field(ge=0)]  # COCO's own, where the dataset is of COCO; some begin with 0
    heap_id: str


class _Category(Receipt):
    id: Positive


class _Rle(Receipt):
    size: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    counts: str


class _Annotation(Receipt):
    image_id: Annotated[int, Field(ge=0)]
    # Confusion matrices have a row for each; `segment` itself allows 255.
    category_id: Annotated[int, Field(ge=1, le=65535)]
    bbox: Annotated[list[int], Field(min_length=4, max_length=4)]
    score: float
    segmentation: _Rle


class MasksJson(Receipt):
    """What later stages rely on."""

    info: _Info
    images: list[_Image]
    annotations: list[_Annotation]
    categories: Annotated[list[_Category], Field(min_length=1)]


def read_masks(path: str | Path) -> dict[str, Any]:
    """Read the masks JSON of a dataset.

    Raises:
        DataError: it is missing, or something else; names the file and the first wrong key.
    """
    masks: dict[str, Any] = read_json(path)
    check(masks, MasksJson, f"{path}: not the COCO instances of a dataset")
    known = {image["id"] for image in masks["images"]}
    strays = [n for n, one in enumerate(masks["annotations"]) if one["image_id"] not in known]
    if strays:
        raise DataError(f"{path}: annotations.{strays[0]} is of a photo that is not listed ({len(strays)} such)")
    return masks


def annotations_of(masks: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the annotations of each photo, by its id."""
    found: dict[str, list[dict[str, Any]]] = {str(image["heap_id"]): [] for image in masks["images"]}
    name_of = {image["id"]: str(image["heap_id"]) for image in masks["images"]}
    for annotation in masks["annotations"]:
        found[name_of[annotation["image_id"]]].append(annotation)
    return found
