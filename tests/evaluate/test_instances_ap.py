"""Multi-object discovery: worked by hand, and against pycocotools run as a whole."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from heap.evaluate.bootstrap import draws
from heap.evaluate.instances import Matches, Objects, match, resampled, summary

BOX = (0.0, 0.0, 10.0, 10.0)
AWAY = (50.0, 50.0, 60.0, 60.0)


def photo(found: list[Any], scores: list[float], true: list[Any], crowd: list[bool] | None = None) -> Matches:
    return match(Objects(found, scores), Objects(true, crowd=crowd or [False] * len(true)), "bbox")


def random_photos(count: int, seed: int = 0) -> list[tuple[list[Any], list[float], list[Any], list[bool]]]:
    values = np.random.default_rng(seed)
    photos = []
    for _ in range(count):
        corners = values.integers(0, 80, (int(values.integers(0, 6)), 2)).astype(float)
        sides = values.integers(5, 40, corners.shape).astype(float)
        true = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(corners.tolist(), sides.tolist(), strict=True)]
        near = [tuple(side + float(values.integers(-3, 4)) for side in box) for box in true if values.random() < 0.7]
        found = [*near, *([AWAY] if values.random() < 0.4 else [])]
        photos.append((found, values.random(len(found)).tolist(), true, (values.random(len(true)) < 0.2).tolist()))
    return photos


def test_by_hand() -> None:
    # Best first: right, wrong, right, of 2 true objects. Precision at recall .5 is 1, above it 2/3.
    photos = [photo([BOX, AWAY], [0.9, 0.8], [BOX]), photo([BOX], [0.7], [BOX])]
    figures = summary(photos)
    assert figures["ap50"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert figures["ap50_95"] == pytest.approx(figures["ap50"])  # the boxes are exact at every threshold
    assert figures["ar100"] == 1


def test_a_box_of_half_the_overlap_counts_at_50_only() -> None:
    figures = summary([photo([(0.0, 0.0, 10.0, 5.5)], [1.0], [BOX])])  # IoU .55: right at .5 and .55
    assert figures == {"ap50": pytest.approx(1), "ap50_95": pytest.approx(0.2), "ar100": pytest.approx(0.2)}


def test_a_second_box_on_one_object_is_wrong() -> None:
    assert summary([photo([BOX, BOX], [0.9, 0.8], [BOX, AWAY])])["ap50"] == pytest.approx(51 / 101)


def test_crowds_are_neither_to_be_found_nor_wrong_to_be_found() -> None:
    one = photo([BOX, AWAY], [0.5, 0.9], [BOX, AWAY], [False, True])
    assert one.truths == 1
    assert summary([one]) == {"ap50": pytest.approx(1), "ap50_95": pytest.approx(1), "ar100": 1}


def test_a_photo_without_true_objects_can_only_be_wrong() -> None:
    right = photo([BOX], [0.5], [BOX])
    assert summary([right, photo([], [], [])])["ap50"] == pytest.approx(1)
    assert summary([right, photo([BOX], [0.9], [])])["ap50"] == pytest.approx(0.5)


def test_nothing_found_is_0_and_nothing_to_find_an_error() -> None:
    assert summary([photo([], [], [BOX])]) == {"ap50": 0, "ap50_95": 0, "ar100": 0}
    with pytest.raises(ValueError, match="no photo has a true object"):
        summary([photo([BOX], [1.0], [BOX], [True])])


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_photo_by_photo_is_pycocotools_as_a_whole(kind: Any) -> None:
    size = (128, 128)

    def mask(box: Any) -> Any:
        return coco_mask.merge(coco_mask.frPyObjects([list(box)], *size))

    def polygon(box: Any) -> list[float]:
        x1, y1, x2, y2 = box
        return [x1, y1, x2, y1, x2, y2, x1, y2]

    truths, results, photos = [], [], []
    for number, (found, scores, true, crowd) in enumerate(random_photos(80)):
        masks = [[mask(polygon(box)) for box in boxes] if kind == "segm" else [] for boxes in (found, true)]
        photos.append(match(Objects(found, scores, (), masks[0]), Objects(true, (), crowd, masks[1]), kind))
        for boxes, others, place in ((true, crowd, truths), (found, scores, results)):
            for box, other in zip(boxes, others, strict=True):
                x1, y1, x2, y2 = box
                place.append(
                    {
                        "id": len(place) + 1, "image_id": number, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": (x2 - x1) * (y2 - y1), "segmentation": mask(polygon(box)),
                        "iscrowd": int(other) if place is truths else 0, "score": other,
                    }
                )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        whole = COCO()
        images = [{"id": number, "height": 128, "width": 128} for number in range(80)]
        whole.dataset = {"images": images, "annotations": truths, "categories": [{"id": 1}]}
        whole.createIndex()
        if kind == "bbox":  # else pycocotools takes masks from results that have both
            results = [{k: v for k, v in one.items() if k != "segmentation"} for one in results]
        evaluation = COCOeval(whole, whole.loadRes(results), kind)
        evaluation.params.useCats = 0
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ap, ap50, ar100 = evaluation.stats[[0, 1, 8]]
    assert summary(photos) == pytest.approx({"ap50": ap50, "ap50_95": ap, "ar100": ar100}, abs=1e-12)
    assert 0.2 < ap50 < 0.9


def test_weights_of_1_are_pycocotools_and_a_draw_is_the_drawn_photos() -> None:
    photos = [photo(*one) for one in random_photos(30)]
    statistic = resampled(photos)
    once = {metric: values[0] for metric, values in statistic(np.ones((1, 30))).items()}
    assert once == pytest.approx(summary(photos), abs=1e-12)
    for row in next(draws(30, 4, 0)):
        repeated = [one for one, times in zip(photos, row, strict=True) for _ in range(int(times))]
        drawn = {metric: values[0] for metric, values in statistic(row[None]).items()}
        assert drawn == pytest.approx(summary(repeated), abs=1e-12)


def test_a_draw_without_a_true_object_is_0() -> None:
    statistic = resampled([photo([BOX], [0.5], [BOX]), photo([BOX], [0.5], [])])
    assert {metric: values[0] for metric, values in statistic(np.array([[0.0, 2.0]])).items()} == {
        "ap50": 0, "ap50_95": 0, "ar100": 0,
    }  # fmt: skip
