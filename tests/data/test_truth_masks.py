from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from heap.data.masks import check_class_mask, check_mask, pixels_of, read_class_mask, read_mask, rle_of
from heap.errors import DataError, PhotoError


def test_masks_are_read_as_stored(tmp_path: Path) -> None:
    values = np.array([[0, 1, 254], [255, 128, 0]], np.uint8)
    Image.fromarray(values).save(tmp_path / "l.png")
    Image.fromarray(values).convert("RGB").save(tmp_path / "rgb.png")
    Image.fromarray(values > 127).save(tmp_path / "1.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "l.png"), values)
    np.testing.assert_array_equal(read_mask(tmp_path / "rgb.png"), values)
    np.testing.assert_array_equal(read_mask(tmp_path / "1.png"), [[0, 0, 255], [255, 255, 0]])


def test_a_shape_in_the_alpha_channel_is_refused_and_an_opaque_mask_is_read(tmp_path: Path) -> None:
    shape = np.zeros((4, 6), np.uint8)
    shape[1:3, 1:4] = 255
    white = np.full_like(shape, 255)
    Image.fromarray(np.dstack([white] * 3 + [shape])).save(tmp_path / "rgba.png")
    Image.merge("LA", (Image.fromarray(white), Image.fromarray(shape))).save(tmp_path / "la.png")
    palette = Image.fromarray(shape // 255).convert("P")
    palette.putpalette([255] * 6 + [0] * 762)
    palette.save(tmp_path / "p.png", transparency=0)
    for name in ("rgba", "la", "p"):
        for read in (read_mask, lambda path: check_mask(path, (4, 6))):
            with pytest.raises(DataError, match=rf"{name}\.png: a mask with transparent pixels"):
                read(tmp_path / f"{name}.png")
    Image.fromarray(np.dstack([shape] * 3 + [white])).save(tmp_path / "opaque.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "opaque.png"), shape)


def test_a_mask_with_a_flipped_bit_is_refused_or_the_same(tmp_path: Path) -> None:
    """Pillow itself read 83 of 300 of these as other masks."""
    mask = np.zeros((30, 40), np.uint8)
    mask[5:20, 8:30] = 255
    path = tmp_path / "m.png"
    Image.fromarray(mask).save(path)
    whole, refused = path.read_bytes(), 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        for read in (read_mask, read_class_mask):
            try:
                np.testing.assert_array_equal(read(path), mask)
            except DataError:
                refused += 1
    assert refused > 1.8 * len(whole)


def test_class_masks_are_indices_and_not_colours(tmp_path: Path) -> None:
    classes = np.array([[0, 15, 255]], np.uint8)
    image = Image.fromarray(classes).convert("P")
    image.putpalette([(7 * i) % 256 for i in range(768)])
    image.save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_class_mask(tmp_path / "p.png"), classes)


def test_what_is_no_mask_is_refused_and_not_skipped(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((3, 5), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png: a mask of mode I;16, expected 8 bit grey"):
        check_mask(tmp_path / "deep.png", (3, 5))
    Image.new("RGB", (5, 3)).save(tmp_path / "rgb.png")
    with pytest.raises(DataError, match=r"rgb\.png: a mask of mode RGB, expected an indexed"):
        check_class_mask(tmp_path / "rgb.png", (3, 5))
    with pytest.raises(DataError, match="a mask of 3 x 5 pixels, its photo has 5 x 3"):
        check_mask(tmp_path / "rgb.png", (5, 3))
    (tmp_path / "text.png").write_text("no")
    with pytest.raises(DataError, match=r"text\.png: not a photo") as caught:
        read_mask(tmp_path / "text.png")
    assert not isinstance(caught.value, PhotoError)  # which on_bad_image: skip would forgive


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[0, 0, 4, 4]], "no list of three points"),
        ([3, 4], "no list of three points"),
        # Each of these ended Python with a segmentation fault, or took all memory.
        ([[0, 0, None, 0, 2, 3]], r"no number near a photo of \[3, 4\]"),
        ([[0, 0, float("nan"), 0, 2, 3]], "no number near"),
        ([[0, 0, 1e9, 0, 2, 3]], "no number near"),
        ({"size": [3, 4], "counts": [0, 6, 600]}, "do not add up"),
        ({"size": [3, 4], "counts": [12, -1, 1]}, "do not add up"),
        ({"size": [3, 4], "counts": "oo"}, "neither a list nor COCO's compressed string"),
        ([], "neither polygons nor RLE"),
        (None, "neither polygons nor RLE"),
        ({"counts": [12]}, "neither polygons nor RLE"),
        ({"size": [4, 3], "counts": [12]}, r"a mask of size \[4, 3\], but its photo has \[3, 4\]"),
    ],
)
def test_segmentations_that_cannot_be_read_are_refused(segmentation: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rle_of(segmentation, (3, 4))


def test_polygons_and_both_kinds_of_rle_are_one_mask() -> None:
    whole_left = [[0, 0, 2, 0, 2, 3, 0, 3]]
    counts = {"size": [3, 4], "counts": [0, 6, 6]}  # column-major: two columns of ones
    expected = np.zeros((3, 4), bool)
    expected[:, :2] = True
    for segmentation in (whole_left, counts, rle_of(counts, (3, 4))):
        assert (pixels_of(rle_of(segmentation, (3, 4))) == expected).all()
