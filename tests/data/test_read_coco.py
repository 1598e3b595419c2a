from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from heap.data import coco
from heap.data.manifest import build, read, write
from heap.data.masks import paint, read_class_mask
from heap.errors import DataError
from heap.settings.datasets import CocoDataset

SETTINGS = CocoDataset(layout="coco", images="train2014", annotations="instances.json")
LISTED = SETTINGS.model_copy(update={"image_list": "list.txt"})


def content() -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "b.jpg", "height": 6, "width": 8}, {"id": 3, "file_name": "a.jpg"}],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
        "annotations": [
            {"image_id": 7, "category_id": 1, "bbox": [0.5, 1.5, 2.0, 2.0], "iscrowd": 0},
            {"image_id": 7, "category_id": 18, "bbox": [0, 0, 8, 6], "iscrowd": 1},
            {"image_id": 7, "category_id": 18, "bbox": [1, 1, 2, 3]},
        ],
    }


def tree(root: Path, instances: Any = None, names: tuple[str, ...] = ("a.jpg", "b.jpg")) -> Path:
    for name in names:
        path = root / "train2014" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6)).save(path)
    (root / "instances.json").write_text(json.dumps(content() if instances is None else instances))
    return root


def test_rounding_is_the_peers(golden: Path) -> None:
    expected = json.loads((golden / "corloc/expected.json").read_text())["coco_rounding"]
    boxes = [coco.corners(Path("x"), xywh, "") for xywh in expected["bbox_xywh"]]
    assert boxes == [tuple(box) for box in expected["boxes_xyxy"]]


def test_all_boxes_of_the_golden_cases(golden: Path) -> None:
    cases = json.loads((golden / "corloc/expected.json").read_text())["cases"]
    cases = [case for case in cases if "coco_annotations" in case]
    assert cases
    for case in cases:
        kept = [a for a in case["coco_annotations"] if not a["iscrowd"]]
        assert [list(coco.corners(Path("x"), a["bbox_xywh"], "")) for a in kept] == case["gt_boxes"]


def test_images_boxes_and_classes(tmp_path: Path) -> None:
    second, first = coco.read(SETTINGS, tree(tmp_path)).items
    assert (second.image_id, second.path, second.size_px) == ("b", "train2014/b.jpg", (6, 8))
    assert second.boxes == [(0, 2, 2, 4), (1, 1, 3, 4)]  # the crowd is left out
    assert second.box_classes == ["person", "dog"]
    assert (second.crowd_boxes, first.crowd_boxes) == ([(0, 0, 8, 6)], [])
    assert second.segments is None
    assert (second.coco_id, first.coco_id) == (7, 3)
    assert (first.image_id, first.boxes, first.size_px) == ("a", [], None)


def test_a_list_picks_and_orders_with_and_without_folder(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "list.txt").write_text("train2014/a.jpg\n\nb.jpg\n")
    assert [item.image_id for item in coco.read(LISTED, tmp_path).items] == ["a", "b"]
    (tmp_path / "list.txt").write_text("train2014/a.jpg\r\n")
    assert [item.image_id for item in coco.read(LISTED, tmp_path).items] == ["a"]
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa.jpg\n")  # a byte order mark, of Windows editors
    instances = (tmp_path / "instances.json").read_bytes()
    (tmp_path / "instances.json").write_bytes(b"\xef\xbb\xbf" + instances)
    assert [item.image_id for item in coco.read(LISTED, tmp_path).items] == ["a"]
    (tmp_path / "train2014/b.jpg").unlink()  # only what is listed must be there
    coco.read(LISTED, tmp_path)
    for text, told in (("c.jpg", r"list\.txt: c\.jpg is not one of"), ("a.jpg\nx/a.jpg", "more than once")):
        (tmp_path / "list.txt").write_text(text)
        with pytest.raises(DataError, match=told):
            coco.read(LISTED, tmp_path)
    (tmp_path / "list.txt").unlink()
    with pytest.raises(DataError, match=r"list\.txt.*key image_list"):
        coco.read(LISTED, tmp_path)


def test_equal_names_in_folders_are_told_apart(tmp_path: Path) -> None:
    data = content()
    data["images"][0]["file_name"], data["images"][1]["file_name"] = "x/a.jpg", "y/a.jpg"
    tree(tmp_path, data, ("x/a.jpg", "y/a.jpg"))
    assert [item.image_id for item in coco.read(SETTINGS, tmp_path).items] == ["x/a.jpg", "y/a.jpg"]
    (tmp_path / "list.txt").write_text("y/a.jpg\n")
    assert [item.image_id for item in coco.read(LISTED, tmp_path).items] == ["a"]
    (tmp_path / "list.txt").write_text("a.jpg\n")  # which of the two?
    with pytest.raises(DataError, match="not one of the images"):
        coco.read(LISTED, tmp_path)


def broken(path: str, value: Any) -> dict[str, Any]:
    """The content with the value at `a/0/b` replaced, or removed if None."""
    data: Any = content()
    *way, last = path.split("/")
    at = data
    for step in way:
        at = at[int(step) if step.isdigit() else step]
    at[last] = value
    if value is None:
        del at[last]
    return data  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ([], "expected an object"),
        (broken("images", None), "images is missing or no list"),
        (broken("images/1/id", None), r"images\[1\]/id is missing or no int"),
        (broken("images/1/file_name", 5), r"images\[1\]/file_name is missing or no str"),
        (broken("images/1/id", 7), "images/id stands more than once: 7"),
        (broken("images/1/id", 2**70), "images/id is 1180591620717411303424, expected an integer of 64 bits"),
        (broken("images/1/file_name", "../b.jpg"), "does not lie below"),
        (broken("images/1/file_name", "c.jpg"), r"train2014/c\.jpg: no such photo"),
        (broken("categories/0/name", None), r"categories\[0\]/name is missing"),
        (broken("annotations/2/image_id", 99), r"annotations\[2\] refers to image 99"),
        (broken("categories/1/id", 18), "categories/id stands more than once: 18"),
        (broken("annotations/2/category_id", 99), "category 99"),
        (broken("annotations/2/iscrowd", "no"), r"annotations\[2\]/iscrowd is 'no', expected 0 or 1"),
        (broken("annotations/2/iscrowd", 2), "iscrowd is 2, expected 0 or 1"),
        (broken("annotations/2/iscrowd", [1]), "expected 0 or 1"),
        (broken("annotations/0/bbox", [1e12, 2, 3, 3]), r"bbox is \[1000000000000\.0, 2, 3, 3\], beyond the pixels"),
        (broken("annotations/0/bbox", [1, 2, 3]), r"annotations\[0\]/bbox is \[1, 2, 3\], expected four numbers"),
        (broken("annotations/0/bbox", [1, 2, "w", 3]), "expected four numbers"),
        (broken("annotations/0/bbox", [1, 2, -3, 3]), "negative side"),
    ],
)
def test_broken_json_names_file_and_key(tmp_path: Path, data: Any, told: str) -> None:
    tree(tmp_path, data)
    with pytest.raises(DataError, match=told) as caught:
        coco.read(SETTINGS, tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_crowds_as_people_write_them(tmp_path: Path) -> None:
    data = content()
    for annotation, value in zip(data["annotations"], ("0", "1", None), strict=True):
        annotation["iscrowd"] = value
    first, _ = coco.read(SETTINGS, tree(tmp_path, data)).items
    assert (len(first.boxes or []), first.crowd_boxes) == (2, [(0, 0, 8, 6)])
    data["annotations"][1]["iscrowd"] = True
    assert coco.read(SETTINGS, tree(tmp_path, data)).items[0].crowd_boxes == [(0, 0, 8, 6)]


def test_boxes_as_shares_of_the_sides_are_refused(tmp_path: Path) -> None:
    data = content()
    for annotation in data["annotations"]:
        annotation["bbox"] = [0.25, 0.5, 0.5, 0.125]
    with pytest.raises(DataError, match=r"instances\.json: all boxes lie between 0 and 1, expected pixels"):
        coco.read(SETTINGS, tree(tmp_path, data))


def test_sizes_may_be_written_as_floats(tmp_path: Path) -> None:
    data = content()
    data["images"][0] |= {"height": 6.0, "width": 8.0}
    assert coco.read(SETTINGS, tree(tmp_path, data)).items[0].size_px == (6, 8)


@pytest.mark.parametrize("categories", [254, 255])
def test_class_masks_hold_254_classes(tmp_path: Path, categories: int) -> None:
    data = content()
    data["categories"] = [{"id": 10 * n, "name": f"c{n}"} for n in range(1, categories + 1)]
    data["annotations"] = [
        {
            "image_id": 7,
            "category_id": 10 * categories,
            "bbox": [0, 0, 2, 6],
            "segmentation": [[0, 0, 2, 0, 2, 6, 0, 6]],
        }
    ]
    settings = SETTINGS.model_copy(update={"class_masks": True})
    tree(tmp_path, data)
    if categories > 254:
        with pytest.raises(DataError, match=r"255 categories, but class masks hold at most 254 \(key class_masks\)"):
            coco.read(settings, tmp_path)
        with pytest.raises(ValueError, match="255 categories"):
            paint([], {n: n for n in range(255)}, (6, 8))
        assert coco.read(SETTINGS, tmp_path).items[0].box_classes == ["c255"]  # boxes have no such limit
    else:
        made = build(settings, "toy", tmp_path, painted=tmp_path / "painted")
        assert read_class_mask(made.class_mask(made.table.iloc[0]))[0].tolist() == [254, 254, 0, 0, 0, 0, 0, 0]


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train2014: no such folder \(key images"):
        coco.read(SETTINGS, tmp_path)
    tree(tmp_path)
    (tmp_path / "instances.json").unlink()
    os.mkfifo(tmp_path / "instances.json")
    with pytest.raises(DataError, match=r"instances\.json: a named pipe"):
        coco.read(SETTINGS, tmp_path)
    (tmp_path / "instances.json").unlink()
    (tmp_path / "instances.json").write_text("{")
    with pytest.raises(DataError, match=r"instances\.json: not readable as JSON"):
        coco.read(SETTINGS, tmp_path)


def test_real_layout(shared: Path) -> None:
    settings = SETTINGS.model_copy(update={"annotations": "instances_train2014.json"})
    listing = coco.read(settings, shared / "data/coco_mini")
    assert len(listing.items) == 64
    assert listing.items[0].image_id == "COCO_train2014_000000000009"
    assert listing.items[0].size_px == (480, 640)
    assert sum(len(item.boxes or []) for item in listing.items) > 200


def test_class_masks_are_painted_beside_the_manifest(tmp_path: Path) -> None:
    def polygon(x: int, y: int, side: int) -> list[list[int]]:
        return [[x, y, x + side, y, x + side, y + side, x, y + side]]

    found = content()
    crowd = {"size": [6, 8], "counts": [24, 6, 18]}  # column-major: the fifth column
    for annotation, segmentation in zip(found["annotations"], (polygon(0, 0, 2), crowd, polygon(0, 0, 4)), strict=True):
        annotation["segmentation"] = segmentation
    settings = SETTINGS.model_copy(update={"class_masks": True})
    painted = tmp_path / "painted"
    manifest = build(settings, "toy", tree(tmp_path, found), painted=painted)
    assert manifest.info["classes"] == ["person", "dog"]  # by category id: 1, 18
    b, a = manifest.table.itertuples()
    expected = np.zeros((6, 8), np.uint8)
    expected[:, 4], expected[:4, :4], expected[:2, :2] = 255, 2, 1  # the smaller object on top
    assert (read_class_mask(manifest.class_mask(b)) == expected).all()
    assert not read_class_mask(manifest.class_mask(a)).any()
    assert b.crowd_boxes == [[0, 0, 8, 6]]
    write(tmp_path / "m.parquet", manifest)
    assert read(tmp_path / "m.parquet").table["crowd_boxes"].tolist() == [[[0, 0, 8, 6]], []]
    found["annotations"][0]["segmentation"] = "no mask"
    with pytest.raises(DataError, match=r"b\.jpg: its class mask cannot be painted: a segmentation that is neither"):
        build(settings, "toy", tree(tmp_path, found), painted=painted)
