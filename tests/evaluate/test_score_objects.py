"""`heap score discovery` and `heap score instances`: boxes, masks and results of any program against any truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from scoring import Called, save

VOC = """<annotation><size><width>40</width><height>30</height><depth>3</depth></size>
<object><name>dog</name><difficult>1</difficult>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>10</ymax></bndbox></object></annotation>"""


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def discovery(folder: Path, pred: Any, truth: Any, *options: str | Path, bootstrap: int = 0) -> Called:
    pred = pred if isinstance(pred, Path) else write(folder / "pred.json", pred)
    truth = truth if isinstance(truth, Path) else write(folder / "truth.json", truth)
    return Called(folder, "discovery", "--pred", pred, "--truth", truth, *options, bootstrap=bootstrap)


def coco(annotations: list[dict[str, Any]], images: int = 2) -> dict[str, Any]:
    return {
        "images": [
            {"id": 7 + i, "file_name": f"train2014/COCO_{7 + i:03}.jpg", "height": 30, "width": 40}
            for i in range(images)
        ],
        "annotations": [{"id": n, "category_id": 3, **one} for n, one in enumerate(annotations, start=1)],
        "categories": [{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}],
    }


def square(x: int, y: int, side: int) -> dict[str, Any]:
    """An object of COCO: box and polygon."""
    corners = [x, y, x + side, y, x + side, y + side, x, y + side]
    return {"bbox": [x, y, side, side], "segmentation": [corners], "iscrowd": 0}


def crowd(x: int, y: int, side: int) -> dict[str, Any]:
    pixels = np.zeros((30, 40), np.uint8, order="F")
    pixels[y : y + side, x : x + side] = 1
    rle = coco_mask.encode(pixels)
    segmentation = {"size": [30, 40], "counts": rle["counts"].decode()}
    return {"bbox": [x, y, side, side], "segmentation": segmentation, "iscrowd": 1}


def test_golden_masks_give_the_peers_boxes_and_decisions(golden: Path, tmp_path: Path) -> None:
    expected = json.loads((golden / "corloc" / "expected.json").read_text())
    masks = np.load(golden / "corloc" / "masks.npz")
    for case in expected["cases"]:
        height, width = case["image_hw"]
        side = case["patch_size"]
        pixels = np.kron(masks[case["name"]], np.ones((side, side)))[:height, :width] > 0  # the patches as pixels
        save(tmp_path / "pred" / f"{case['name']}.png", pixels)
    truth = {case["name"]: case["gt_boxes"] for case in expected["cases"]}
    from_masks = discovery(tmp_path, tmp_path / "pred", truth)
    assert from_masks.value("corloc") == pytest.approx(expected["summary"]["corloc"], abs=1e-4)
    rows = from_masks.photos.set_index("photo")
    boxes = {case["name"]: case["pred_box"] for case in expected["cases"]}
    for case in expected["cases"]:
        row = rows.loc[case["name"]]
        assert row[["x1", "y1", "x2", "y2"]].tolist() == case["pred_box"]
        assert row["iou"] == pytest.approx(max(case["ious_with_gt"]), abs=2e-6)
        assert bool(row["correct"]) == case["correct"]
    from_boxes = discovery(tmp_path, boxes, truth)
    assert from_boxes.value("corloc") == from_masks.value("corloc")
    assert from_boxes.photos.equals(rows.reset_index()[from_boxes.photos.columns])


def test_an_iou_of_exactly_one_half_counts(tmp_path: Path) -> None:
    done = discovery(tmp_path, {"a": [0, 0, 10, 10], "b": [0, 0, 10, 10]}, {"a": [[0, 0, 10, 5]], "b": [[0, 0, 10, 4]]})
    assert done.photos["correct"].tolist() == [1, 0]


def test_nothing_found_is_wrong_and_counted(tmp_path: Path) -> None:
    truth = {name: [[0, 0, 8, 8]] for name in "abc"}
    done = discovery(tmp_path, {"a": [0, 0, 8, 8], "b": None, "c": []}, truth, bootstrap=100)
    assert done.value("corloc") == pytest.approx(100 / 3)
    assert done.about["fallbacks"] == ["b", "c"]
    assert done.table["fallbacks"].tolist() == [2]
    assert "2 empty predictions, counted as wrong: b, c" in done.result.output
    for name in "abc":
        save(tmp_path / "masks" / f"{name}.png", np.arange(64).reshape(8, 8) >= (0 if name == "a" else 64))
    assert discovery(tmp_path, tmp_path / "masks", truth).about["fallbacks"] == ["b", "c"]


def test_photos_without_a_true_box_are_left_out_and_counted(tmp_path: Path) -> None:
    done = discovery(tmp_path, {"a": [0, 0, 8, 8], "b": [0, 0, 8, 8]}, {"a": [[0, 0, 8, 8]], "b": []})
    assert (done.value("corloc"), done.table["images"].tolist(), done.table["skipped"].tolist()) == (100, [1], [1])
    assert done.about["skipped"] == [{"photo": "b", "reason": "no true box"}]
    assert "none of the photos" in discovery(tmp_path, {"b": [0, 0, 8, 8]}, {"b": []}).error


def test_voc_counts_from_1_and_difficult_objects_count(tmp_path: Path) -> None:
    (tmp_path / "Annotations").mkdir()
    for name in ("2007_000001", "2007_000002"):
        (tmp_path / "Annotations" / f"{name}.xml").write_text(VOC)
    (tmp_path / "trainval.txt").write_text("2007_000001\n")
    options = ("--list", tmp_path / "trainval.txt")
    done = discovery(tmp_path, {"2007_000001": [0, 0, 20, 10]}, tmp_path / "Annotations", *options)
    assert done.photos["iou"].tolist() == [1]
    # A mask has its photo's size.
    save(tmp_path / "masks" / "2007_000001.png", np.ones((40, 30), bool))
    error = discovery(tmp_path, tmp_path / "masks", tmp_path / "Annotations", *options).error
    assert "40 x 30 px (height x width), but the ground truth has 30 x 40" in error


def test_coco_boxes_are_rounded_crowds_left_out_and_photos_known_by_id_or_name(tmp_path: Path) -> None:
    truth = coco([{"image_id": 7, "bbox": [0.5, 1.5, 9.0, 8.0], "iscrowd": 0}, {"image_id": 8, **crowd(0, 0, 9)}])
    for key in ("7", "COCO_007", "COCO_007.jpg", "val/COCO_007.JPG"):
        done = discovery(tmp_path, {key: [0, 2, 10, 10], "8": [0, 0, 9, 9]}, truth)
        assert done.photos["iou"].tolist() == [1], key  # round half to even: 0, 2, 10, 10
        assert done.about["skipped"] == [{"photo": "COCO_008", "reason": "no true box"}]
    assert "a second entry of photo COCO_007" in discovery(tmp_path, {"7": None, "COCO_007": None}, truth).error


@pytest.mark.parametrize(
    ("pred", "words"),
    [
        ({"a": [0, 0, 8]}, "a is [0, 0, 8], expected [x1, y1, x2, y2]"),
        ({"a": [8, 0, 0, 8]}, "a ends before it begins"),
        ({"a": [0, 0, "8", 8]}, "expected [x1, y1, x2, y2]"),
        ({"a": [[0, 0, 8, 8], [1, 1, 2, 2]]}, "expected [x1, y1, x2, y2]"),
        ([[0, 0, 8, 8]], "expected an object with one box a photo"),
        ({"x": [0, 0, 8, 8]}, "have no truth:\n  x"),
        ({}, "1 photos have no prediction"),
    ],
)
def test_wrong_boxes_are_named(tmp_path: Path, pred: Any, words: str) -> None:
    assert words in discovery(tmp_path, pred, {"a": [[0, 0, 8, 8]]}).error


def instances(folder: Path, pred: Any, truth: Any, *options: str, bootstrap: int = 0) -> Called:
    pred, truth = write(folder / "pred.json", pred), write(folder / "truth.json", truth)
    return Called(folder, "instances", "--pred", pred, "--truth", truth, *options, bootstrap=bootstrap)


def found(image: Any, one: dict[str, Any], score: float = 0.5) -> dict[str, Any]:
    return {"image_id": image, "category_id": 77, "score": score, **{k: one[k] for k in ("bbox", "segmentation")}}


TRUTH = coco(
    [{"image_id": 7, **square(1, 1, 8)}, {"image_id": 7, **square(20, 10, 12)}, {"image_id": 8, **crowd(0, 0, 9)}]
)


@pytest.mark.parametrize("compare", ["boxes", "masks"])
def test_coco_results_of_boxes_and_masks(tmp_path: Path, compare: str) -> None:
    pred = [found(7, square(1, 1, 8)), found(7, square(20, 10, 12)), found("COCO_008", square(2, 2, 4), 0.9)]
    done = instances(tmp_path, pred, TRUTH, "--compare", compare, bootstrap=20)
    assert set(done.table["variant"]) == {compare}
    assert [done.value(metric) for metric in ("ap50", "ap50_95", "ar100")] == pytest.approx([1, 1, 1])
    assert done.photos[["found", "true", "right"]].to_numpy().tolist() == [[2, 2, 2], [1, 0, 0]]
    half = instances(tmp_path, pred[1:], TRUTH, "--compare", compare)
    assert half.value("ar100") == 0.5


def test_heaps_own_masks_json_is_read_as_it_is(tmp_path: Path) -> None:
    own = {
        "info": {"dataset": "coco20k"},
        "images": [{"id": 1, "file_name": "train2014/COCO_007.jpg", "heap_id": "COCO_007", "height": 30, "width": 40}],
        "annotations": [{"id": 1, **found(1, square(1, 1, 8))}],
    }
    done = instances(tmp_path, own, TRUTH)
    assert done.value("ar100") == 0.5
    assert done.about["counts"]["photos_without_instances"] == 1


def test_voc_and_plain_boxes_have_no_masks(tmp_path: Path) -> None:
    pred = [{"image_id": "a", "bbox": [0, 0, 8, 8], "score": 1}]
    assert instances(tmp_path, pred, {"a": [[0, 0, 8, 8]]}).value("ap50") == pytest.approx(1)
    with_mask = [found("a", square(0, 0, 8))]
    assert "has no masks" in instances(tmp_path, with_mask, {"a": [[0, 0, 8, 8]]}, "--compare", "masks").error


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"score": None}, "[0]: score None is no number"),
        ({"bbox": [0, 0, -1, 2]}, "[0]: bbox [0, 0, -1, 2]"),
        ({"image_id": 99}, "photos of"),
        ({"image_id": [1]}, "image_id is [1]"),
    ],
)
def test_wrong_results_are_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    error = instances(tmp_path, [{**found(7, square(1, 1, 8)), **change}], TRUTH).error
    assert words in error


def test_masks_of_another_size_are_named(tmp_path: Path) -> None:
    wrong = {"bbox": [0, 0, 1, 1], "segmentation": {"size": [40, 30], "counts": [1200]}}
    error = instances(tmp_path, [found(7, wrong)], TRUTH, "--compare", "masks").error
    assert "COCO_007: a mask of size [40, 30], but its photo has [30, 40]" in error


def test_results_without_a_key_are_named(tmp_path: Path) -> None:
    assert "[0]: has no bbox, score" in instances(tmp_path, [{"image_id": 7}, 3], TRUTH).error
    assert "expected COCO's results" in instances(tmp_path, {"7": []}, TRUTH).error
