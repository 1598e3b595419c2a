"""Multi-object discovery: every found object against every true one, whatever its class. AP50, AP50:95, AR100.

Matching and averaging are pycocotools' own (`COCOeval`, all areas, at most 100 objects a photo, one category for all).
An object's score decides only in which order the objects of all photos are taken. Crowds (`iscrowd`) are neither to be
found nor wrong to be found, as in COCO. A photo without a true object counts: what is found in it is wrong.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from heap.data.masks import rle_of

Box = tuple[float, float, float, float]
Kind = Literal["bbox", "segm"]
MAX_OBJECTS = 100
METRICS = ("ap50", "ap50_95", "ar100")
# One image a matching, so its number means nothing.
_IMAGE = 1
_EVERY_AREA = [0.0, 1e10]


@dataclass(frozen=True)
class Objects:
    """The found or true objects of one photo.

    Attributes:
        boxes: `(x1, y1, x2, y2)` each, ends exclusive.
        scores: of the found; empty for the true.
        crowd: whether each true one is a crowd (or else to be ignored); empty for the found.
        masks: RLE of each where masks are compared, else empty.
    """

    boxes: Sequence[Box]
    scores: Sequence[float] = ()
    crowd: Sequence[bool] = ()
    masks: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Matches:
    """What is kept of one photo.

    Attributes:
        scores: `(n,)` of the found objects, best first.
        hit: `(10, n)` at each IoU threshold, whether the object found a true one.
        ignored: `(10, n)` whether it counts nowhere.
        truths: true objects to be found.
    """

    scores: npt.NDArray[np.float64]
    hit: npt.NDArray[np.bool_]
    ignored: npt.NDArray[np.bool_]
    truths: int


def match(found: Objects, true: Objects, kind: Kind) -> Matches:
    """Match the objects of one photo at the IoU thresholds .5, .55, ... .95.

    Args:
        found: with scores.
        true: with crowds.
        kind: whether boxes or masks are compared.
    """
    evaluation = _evaluation(kind, [_IMAGE])
    evaluation.cocoGt, evaluation.cocoDt = _coco(true), _coco(found)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
    (photo,) = evaluation.evalImgs
    if photo is None:  # pycocotools' answer where there is neither a found nor a true object
        none = np.zeros((len(evaluation.params.iouThrs), 0), dtype=bool)
        return Matches(np.zeros(0), none, none, 0)
    return Matches(
        scores=np.array(photo["dtScores"], dtype=np.float64),
        hit=np.asarray(photo["dtMatches"]) > 0,
        ignored=np.asarray(photo["dtIgnore"]).astype(bool),
        truths=int(np.count_nonzero(np.asarray(photo["gtIgnore"]) == 0)),
    )


def summary(photos: Sequence[Matches]) -> dict[str, float]:
    """Return ap50, ap50_95 and ar100 of a data set, as fractions.

    Args:
        photos: in an order that does not hang on how they were read (sorted ids): of objects with one score, those of
            the earlier photo are taken first.

    Raises:
        ValueError: there is no true object at all.
    """
    if not any(photo.truths for photo in photos):
        raise ValueError("no photo has a true object")
    evaluation = _evaluation("bbox", list(range(len(photos))))
    evaluation._paramsEval = copy.deepcopy(evaluation.params)
    evaluation.evalImgs = [_told(photo) for photo in photos]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, 0, 0, 0]  # (IoU thresholds, recall thresholds)
    recall = evaluation.eval["recall"][:, 0, 0, 0]
    values = (precision[0].mean(), precision.mean(), recall.mean())
    return {metric: float(value) for metric, value in zip(METRICS, values, strict=True)}


def resampled(photos: Sequence[Matches]) -> Callable[[npt.NDArray[np.float64]], dict[str, npt.NDArray[np.float64]]]:
    """Return the statistic of `summary` for `heap.evaluate.bootstrap`.

    pycocotools knows no photo drawn twice, so its averaging is done here with weights: an object of a photo drawn twice
    counts twice, and with every weight 1 the figures are `summary`'s.
    """
    grid = _evaluation("bbox", []).params.recThrs
    scores = np.concatenate([photo.scores for photo in photos])
    order = np.argsort(-scores, kind="mergesort")  # as pycocotools
    photo_of = np.repeat(np.arange(len(photos)), [len(photo.scores) for photo in photos])[order]
    hit = np.concatenate([photo.hit for photo in photos], axis=1)[:, order]  # (10, objects)
    counted = ~np.concatenate([photo.ignored for photo in photos], axis=1)[:, order]
    right, wrong = (hit & counted).astype(np.float64), (~hit & counted).astype(np.float64)
    truths = np.array([photo.truths for photo in photos], dtype=np.float64)

    def one(drawn: npt.NDArray[np.float64]) -> tuple[float, float, float]:
        total = drawn @ truths
        if total == 0 or not len(photo_of):  # no true object was drawn, or nothing was found anywhere
            return 0.0, 0.0, 0.0
        weight = drawn[photo_of]
        hits, misses = (right * weight).cumsum(axis=1), (wrong * weight).cumsum(axis=1)
        recall = hits / total
        precision = hits / np.maximum(hits + misses, np.spacing(1))
        # The best precision at this recall or a higher one.
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        reached = np.array([np.searchsorted(row, grid, side="left") for row in recall])
        padded = np.pad(envelope, ((0, 0), (0, 1)))  # a recall never reached has precision 0
        at = np.take_along_axis(padded, reached, axis=1)  # (10, 101)
        return float(at[0].mean()), float(at.mean()), float(recall[:, -1].mean())

    def statistic(drawn: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
        table = np.array([one(row) for row in drawn])
        return {metric: table[:, i] for i, metric in enumerate(METRICS)}

    return statistic


def _evaluation(kind: Kind, images: list[int]) -> Any:
    evaluation = COCOeval(iouType=kind)
    params = evaluation.params
    params.useCats, params.imgIds, params.catIds = 0, images, [1]
    params.areaRng, params.areaRngLbl, params.maxDets = [_EVERY_AREA], ["all"], [MAX_OBJECTS]
    return evaluation


def _coco(objects: Objects) -> COCO:
    """Return the objects of one photo as pycocotools holds them."""
    coco = COCO()
    annotations = []
    for i, (x1, y1, x2, y2) in enumerate(objects.boxes):
        annotation: dict[str, Any] = {
            "id": i + 1, "image_id": _IMAGE, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1],
            # Not looked at, because every area counts; pycocotools only wants the key.
            "area": (x2 - x1) * (y2 - y1), "iscrowd": int(objects.crowd[i]) if objects.crowd else 0,
        }  # fmt: skip
        if objects.scores:
            annotation["score"] = float(objects.scores[i])
        if objects.masks:
            annotation["segmentation"] = objects.masks[i]
        annotations.append(annotation)
    size = objects.masks[0]["size"] if objects.masks else [0, 0]
    image = {"id": _IMAGE, "height": size[0], "width": size[1]}
    coco.dataset = {"images": [image], "annotations": annotations, "categories": [{"id": 1}]}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _told(photo: Matches) -> dict[str, Any]:
    """Return what `COCOeval.accumulate` reads of one photo."""
    return {
        "dtScores": photo.scores,
        "dtMatches": photo.hit,
        "dtIgnore": photo.ignored,
        "gtIgnore": np.zeros(photo.truths),
    }


def objects_of(annotations: Sequence[Mapping[str, Any]], kind: Kind, size: tuple[int, int] | None) -> Objects:
    """Return annotations as objects: found ones with scores, true ones with crowds.

    Args:
        annotations: of one photo.
        kind: boxes need no size.
        size: height and width of the photo, for masks.

    Raises:
        ValueError: a mask is of another size, or none that can be read.
    """
    scores = [float(one["score"]) for one in annotations if "score" in one]
    crowd = [] if scores else [bool(one.get("iscrowd")) for one in annotations]
    if kind == "bbox":
        boxes: list[Box] = [(x, y, x + w, y + h) for x, y, w, h in (one["bbox"] for one in annotations)]
        return Objects(boxes, scores, crowd)
    if size is None:
        raise ValueError("the truth does not tell this photo's size, which masks need")
    masks = [rle_of(one["segmentation"], size) for one in annotations]
    corners = [coco_mask.toBbox(mask).tolist() for mask in masks]
    return Objects([(x, y, x + w, y + h) for x, y, w, h in corners], scores, crowd, masks)
