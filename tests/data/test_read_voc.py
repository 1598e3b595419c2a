from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from heap.data import voc
from heap.errors import DataError
from heap.settings.datasets import VocDataset

SETTINGS = VocDataset(layout="voc", year=2012, splits={"trainval": "Main/trainval"})
XML = """<annotation><size><width>8</width><height>6</height><depth>3</depth></size>{}</annotation>"""
OBJECT = """<object><bndbox><ymax>{3}</ymax><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax></bndbox>
<name>{4}</name><truncated>1</truncated><difficult>1</difficult>{5}</object>"""
PART = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"


def obj(x1: object, y1: object, x2: object, y2: object, name: str = "dog", rest: str = "") -> str:
    return OBJECT.format(x1, y1, x2, y2, name, rest)


def tree(folder: Path, ids: list[str], objects: str = obj(1, 1, 8, 6), masks: bool = False) -> Path:
    """Write a VOC folder of photos of 6 x 8 pixels."""
    for name in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for image_id in ids:
        Image.new("RGB", (8, 6)).save(folder / "JPEGImages" / f"{image_id}.jpg")
        (folder / "Annotations" / f"{image_id}.xml").write_text(XML.format(objects))
        if masks:
            Image.new("P", (8, 6)).save(folder / "SegmentationClass" / f"{image_id}.png")
    (folder / "ImageSets/Main/trainval.txt").write_text("".join(f"{i}\n" for i in ids))
    return folder


def annotation(tmp_path: Path, objects: str) -> Path:
    path = tmp_path / "a.xml"
    path.write_text(XML.format(objects))
    return path


def test_boxes_are_the_peers(golden: Path, tmp_path: Path) -> None:
    expected = json.loads((golden / "corloc/expected.json").read_text())["voc_boxes"]
    objects = "".join(obj(o["xmin"], o["ymin"], o["xmax"], o["ymax"], o["name"]) for o in expected["annotation"])
    boxes, classes, size_px = voc.read_annotation(annotation(tmp_path, objects))
    assert boxes == [tuple(box) for box in expected["boxes_xyxy"]]
    assert classes == ["dog", "cat"]  # difficult and truncated ones too
    assert size_px == (6, 8)


def test_parts_are_no_objects_and_fractions_are_rounded(tmp_path: Path) -> None:
    path = annotation(tmp_path, obj("45.70", "1.2", "99.6", " 6\n", "person", PART + PART))
    assert voc.read_annotation(path)[:2] == ([(45, 0, 100, 6)], ["person"])


def test_an_image_without_objects_has_no_boxes(tmp_path: Path) -> None:
    assert voc.read_annotation(annotation(tmp_path, "")) == ([], [], (6, 8))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<annotation><object>", "not readable as XML"),
        ("", "not readable as XML"),
        (XML.format("<object><name>dog</name></object>"), r"object\[0\]/bndbox/xmin is missing"),
        (XML.format(obj(1, 1, 8, 6) + obj(1, 1, 8, 6, "")), r"object\[1\]/name is missing or empty"),
        (XML.format(obj("one", 1, 8, 6)), r"object\[0\]/bndbox/xmin is 'one', expected a number"),
        (XML.format(obj("nan", 1, 8, 6)), "expected a number"),
        (XML.format(obj(9, 1, 8, 6)), "ends before it begins"),
        (XML.format(obj(1, 1, 1e12, 6)), r"bndbox/xmax is '1000000000000\.0', beyond the pixels"),
        (
            XML.format("").replace("<annotation>", '<annotation xmlns="http://x">'),
            "the root element is '{http://x}annot",
        ),
        (XML.format("<o:object xmlns:o='http://x'/>"), "an element is '{http://x}object'"),  # a photo without objects
        ("<html><body/></html>", "the root element is 'html', expected 'annotation'"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "not readable as XML"),
    ],
)
def test_a_bad_annotation_names_file_and_key(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "bad.xml"
    path.write_text(text)
    with pytest.raises(DataError, match=rf"bad\.xml.*{told}"):
        voc.read_annotation(path)


@pytest.mark.parametrize("where", [".", "VOC2012", "VOCdevkit/VOC2012"])
def test_root_is_found_where_people_put_it(tmp_path: Path, where: str) -> None:
    tree(tmp_path / where, ["b", "a"])
    listing = voc.read(SETTINGS, tmp_path)
    assert [item.image_id for item in listing.items] == ["b", "a"]  # the list's order
    assert listing.items[0].path == (Path(where) / "JPEGImages/b.jpg").as_posix()
    assert listing.items[0].split == "trainval"
    assert listing.warnings == []
    assert listing.classes[14] == "person"  # id 15 of the class masks


def test_another_year_is_read_with_a_warning_if_it_is_the_only_one(tmp_path: Path) -> None:
    tree(tmp_path / "VOCdevkit/VOC2007", ["a"])
    assert "VOCdevkit/VOC2007 was read in its place" in voc.read(SETTINGS, tmp_path).warnings[0]
    tree(tmp_path / "VOC2008", ["a"])
    with pytest.raises(DataError, match=r"expected VOC2012/JPEGImages .* found VOC2008, VOCdevkit/VOC2007"):
        voc.read(SETTINGS, tmp_path)
    with pytest.raises(DataError, match="found no JPEGImages"):
        voc.read(SETTINGS, tmp_path / "VOC2008/Annotations")


def test_missing_files_are_named(tmp_path: Path) -> None:
    tree(tmp_path, ["a", "b"])
    (tmp_path / "Annotations/b.xml").unlink()
    with pytest.raises(DataError, match=r"Annotations/b\.xml: no such annotation"):
        voc.read(SETTINGS, tmp_path)
    assert voc.read(SETTINGS.model_copy(update={"boxes": False}), tmp_path).items[1].boxes is None
    with pytest.raises(DataError, match=r"SegmentationClass/a\.png: no such class mask"):
        voc.read(SETTINGS.model_copy(update={"class_masks": True}), tmp_path)
    (tmp_path / "JPEGImages/a.jpg").unlink()
    with pytest.raises(DataError, match=r"JPEGImages/a\.jpg: no such photo \(listed in split trainval\)"):
        voc.read(SETTINGS, tmp_path)
    (tmp_path / "ImageSets/Main/trainval.txt").unlink()
    with pytest.raises(DataError, match=r"trainval\.txt.*key splits\.trainval"):
        voc.read(SETTINGS, tmp_path)


@pytest.mark.parametrize(
    ("line", "told"), [("a 1", "one image id a line"), ("../a", "one image id"), ("a\na", "twice")]
)
def test_odd_lists_are_refused(tmp_path: Path, line: str, told: str) -> None:
    tree(tmp_path, ["a"])
    (tmp_path / "ImageSets/Main/trainval.txt").write_text(line)
    with pytest.raises(DataError, match=told):
        voc.read(SETTINGS, tmp_path)


def test_a_list_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    tree(tmp_path, ["a", "b"])
    (tmp_path / "ImageSets/Main/trainval.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\r\n")
    assert [item.image_id for item in voc.read(SETTINGS, tmp_path).items] == ["a", "b"]


def test_boxes_as_shares_of_the_sides_are_refused(tmp_path: Path) -> None:
    tree(tmp_path, ["a", "b"], obj(0.1, 0.25, 0.9, 1))
    with pytest.raises(DataError, match=r"Annotations: all boxes lie between 0 and 1, expected pixels"):
        voc.read(SETTINGS, tmp_path)


def test_named_pipes_hold_nobody_up(tmp_path: Path) -> None:
    tree(tmp_path, ["a"])
    for name, told in (("Annotations/a.xml", "not readable as XML"), ("ImageSets/Main/trainval.txt", "list of images")):
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
        with pytest.raises(DataError, match=rf"{told} .*a named pipe or device"):
            voc.read(SETTINGS, tmp_path)


def test_an_image_in_two_splits_is_refused(tmp_path: Path) -> None:
    tree(tmp_path, ["a"])
    both = SETTINGS.model_copy(update={"splits": {"one": "Main/trainval", "two": "Main/trainval"}})
    with pytest.raises(DataError, match="a stands twice, in splits one and two"):
        voc.read(both, tmp_path)


def test_scenes_are_read_by_the_same_reader(tmp_path: Path) -> None:
    tree(tmp_path, ["train_0001", "val_0001"], masks=True)
    for split in ("train", "val"):
        (tmp_path / f"ImageSets/Main/{split}.txt").write_text(f"{split}_0001\n")
    with pytest.raises(DataError, match=r"classes\.txt: no such file"):
        voc.read_scenes(tmp_path)
    (tmp_path / "classes.txt").write_text("mug\nfir tree\n")
    listing = voc.read_scenes(tmp_path)
    assert [(item.image_id, item.split) for item in listing.items] == [("train_0001", "train"), ("val_0001", "val")]
    assert listing.items[1].class_mask_path == "SegmentationClass/val_0001.png"
    assert listing.classes == ["mug", "fir tree"]


def test_real_layout(shared: Path) -> None:
    settings = VocDataset(
        layout="voc",
        year=2012,
        splits={"train": "Segmentation/train", "val": "Segmentation/val"},
        class_masks=True,
    )
    listing = voc.read(settings, shared / "data/voc_mini")
    assert len(listing.items) == 47
    item = next(item for item in listing.items if item.image_id == "2012_000049")
    assert item.boxes is not None
    assert item.boxes[0] == (163, 227, 293, 411)
    assert item.box_classes is not None
    assert item.box_classes[:3] == ["horse", "horse", "pottedplant"]
    assert item.class_mask_path == "VOC2012/SegmentationClass/2012_000049.png"
