"""Boxes and masks that were drawn on the stored pixels of photos with an EXIF orientation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from heap.data.manifest import Manifest, build
from heap.data.masks import read_class_mask, read_mask
from heap.data.photos import Frame, photo_frame, read_photo
from heap.data.upright import turned_box
from heap.errors import PhotoError
from heap.settings.datasets import CocoDataset, SaliencyDataset

COCO = CocoDataset(layout="coco", images="im", annotations="a.json", class_masks=True)
SALIENCY = SaliencyDataset(layout="saliency", images="im", masks="gt")
BOX = (5, 5, 25, 15)  # on the stored pixels, 40 x 60


def photo(root: Path, orientation: int, size_px: tuple[int, int] = (40, 60), suffix: str = "png") -> np.ndarray:
    """Write a photo with a white object at `BOX`; return the stored mask of it."""
    mask = np.zeros(size_px, np.uint8)
    mask[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"tiffinfo": {ExifTags.Base.Orientation: orientation}} if suffix == "tif" else {"exif": exif}
    (root / "im").mkdir(exist_ok=True)
    Image.fromarray(mask).convert("RGB").save(root / f"im/a.{suffix}", **options)
    return mask


def coco(root: Path, size_px: tuple[int, int] | None, suffix: str = "png", **keys: Any) -> Manifest:
    x1, y1, x2, y2 = BOX
    image = {"id": 1, "file_name": f"a.{suffix}"}
    if size_px is not None:
        image |= {"height": size_px[0], "width": size_px[1]}
    polygon = [[x1, y1, x2, y1, x2, y2, x1, y2]]
    one = {"image_id": 1, "category_id": 7, "bbox": [x1, y1, x2 - x1, y2 - y1], "segmentation": polygon}
    crowd = {**one, "iscrowd": 1}
    content = {"images": [image], "annotations": [crowd, one], "categories": [{"id": 7, "name": "x"}]}
    (root / "a.json").write_text(json.dumps(content))
    return build(COCO.model_copy(update=keys), "toy", root, painted=root / "painted")


def object_in(made: Manifest) -> list[int]:
    """Return the box of the white object in the photo as it is read."""
    ys, xs = np.nonzero(read_photo(made.photo(made.table.iloc[0]))[..., 0] > 127)
    return [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1]


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_and_painted_masks_are_turned_with_the_photo(tmp_path: Path, orientation: int, suffix: str) -> None:
    photo(tmp_path, orientation, suffix=suffix)
    frame = photo_frame(tmp_path / f"im/a.{suffix}")
    assert frame == Frame((60, 40) if orientation >= 5 else (40, 60), orientation)
    assert frame.stored_px == (40, 60)
    made = coco(tmp_path, (40, 60), suffix, annotated_on="auto" if orientation >= 5 else "stored")
    row = made.table.iloc[0]
    expected = object_in(made)
    assert row["boxes"] == row["crowd_boxes"] == [expected] == [list(turned_box(BOX, frame))]
    labels = read_class_mask(made.class_mask(row))
    assert labels.shape == frame.size_px
    assert (labels[expected[1] : expected[3], expected[0] : expected[2]] == 1).all()
    assert (labels > 0).sum() == 200
    turned = [w for w in made.info["warnings"] if "ground truth of their stored pixels, which was turned" in w]
    assert len(turned) == (orientation > 1)


@pytest.mark.parametrize(
    ("orientation", "size_px", "key", "turned", "told"),
    [
        (6, (60, 40), "auto", False, None),  # drawn upright, as a viewer shows it
        (
            6,
            (60, 40),
            "stored",
            True,
            "another size than their annotation says .1 of them have an EXIF orientation",
        ),
        (6, (40, 60), "upright", False, "another size than their annotation says .1 of them have an EXIF orientation"),
        (6, None, "auto", False, "no size says whether .* taken as upright .key annotated_on.: im/a.png"),
        (3, (40, 60), "auto", False, "no size says whether"),
        (3, (40, 60), "upright", False, None),
        (1, (40, 60), "stored", False, None),
        (1, (41, 60), "auto", False, "another size than their annotation says: im/a.png"),
    ],
)
def test_the_annotated_size_or_the_key_decides(
    tmp_path: Path, orientation: int, size_px: tuple[int, int] | None, key: str, turned: bool, told: str | None
) -> None:
    photo(tmp_path, orientation)
    made = coco(tmp_path, size_px, annotated_on=key, class_masks=False)
    frame = photo_frame(tmp_path / "im/a.png")
    assert made.table["boxes"][0] == [list(turned_box(BOX, frame) if turned else BOX)]
    warnings = [w for w in made.info["warnings"] if "which was turned" not in w]
    if told is None:
        assert warnings == []
    else:
        (warning,) = warnings
        assert re.search(told, warning)


def test_boxes_that_nothing_can_match_are_counted(tmp_path: Path) -> None:
    photo(tmp_path, 6)
    coco(tmp_path, (40, 60))
    content = json.loads((tmp_path / "a.json").read_text())
    one = content["annotations"][1]
    # Empty; empty once rounded; right of the stored pixels; one that reaches in from outside is no such box.
    boxes = ([5, 5, 0, 9], [5.1, 5.1, 0.2, 9], [60, 5, 9, 9], [-5, -5, 6, 6])
    content["annotations"] = [{**one, "bbox": box} for box in boxes]
    (tmp_path / "a.json").write_text(json.dumps(content))
    made = build(COCO.model_copy(update={"class_masks": False}), "toy", tmp_path)
    assert "3 boxes hold no pixel of their photo, nothing can match them: im/a.png" in made.info["warnings"]


def saliency(root: Path, mask: np.ndarray, **keys: Any) -> Manifest:
    (root / "gt").mkdir(exist_ok=True)
    Image.fromarray(mask).save(root / "gt/a.png")
    return build(SALIENCY.model_copy(update=keys), "toy", root, painted=root / "painted")


def test_masks_of_the_stored_pixels_are_turned(tmp_path: Path) -> None:
    mask = photo(tmp_path, 6)
    made = saliency(tmp_path, mask)
    assert "1 photos have an EXIF orientation and ground truth of their stored pixels" in made.info["warnings"][0]
    found = read_mask(made.mask(made.table.iloc[0]))
    np.testing.assert_array_equal(found, read_photo(tmp_path / "im/a.png")[..., 0])
    upright = np.rot90(mask, -1)
    made = saliency(tmp_path, upright)
    assert made.info["warnings"] == []
    assert made.table["mask_path"][0] == "gt/a.png"


def test_a_mask_that_fits_neither_way_names_exif(tmp_path: Path) -> None:
    mask = photo(tmp_path, 6)
    exif = r"the photo has EXIF orientation 6; see key annotated_on"
    with pytest.raises(PhotoError, match=rf"a mask of 40 x 60 pixels, its photo has 60 x 40 \({exif}"):
        saliency(tmp_path, mask, annotated_on="upright")
    with pytest.raises(PhotoError, match=rf"a mask of 60 x 40 pixels, its photo has 40 x 60 \({exif}"):
        saliency(tmp_path, np.rot90(mask), annotated_on="stored")
    with pytest.raises(PhotoError, match=rf"a mask of 39 x 60 pixels, its photo has 60 x 40 \({exif}"):
        saliency(tmp_path, mask[1:])
