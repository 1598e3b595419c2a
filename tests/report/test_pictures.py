"""Pictures, pixel by pixel."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from heap.report import pictures


def test_the_edge_is_inside_the_mask_and_the_photos_border_is_none() -> None:
    mask = np.zeros((5, 6), dtype=bool)
    mask[1:, 1:5] = True  # touches the lower border
    expected = np.array(
        [[0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0], [0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 1, 0]]
    )
    assert np.array_equal(pictures.edge(mask), expected == 1)


def test_overlay_tints_inside_outlines_and_darkens_outside() -> None:
    photo = np.full((5, 5, 3), 100, dtype=np.uint8)
    mask = np.zeros((5, 5), dtype=bool)
    mask[1:4, 1:4] = True
    out = pictures.overlay(photo, mask, colour=(200, 0, 0), tint=0.25, outside=0.5)
    assert out[2, 2].tolist() == [125, 75, 75]
    assert out[1, 1].tolist() == [200, 0, 0]
    assert out[0, 0].tolist() == [50, 50, 50]
    assert np.array_equal(pictures.overlay(photo, ~mask & mask), photo)
    assert photo.min() == 100  # the photo itself is left alone


def test_each_mask_keeps_its_colour() -> None:
    photo = np.full((4, 8, 3), 100, dtype=np.uint8)
    left, right = np.zeros((4, 8), dtype=bool), np.zeros((4, 8), dtype=bool)
    left[:, :3], right[:, 5:] = True, True
    out = pictures.overlays(photo, [(left, (200, 0, 0)), (right, (0, 0, 200))], tint=0.5, outside=0.5)
    assert out[1, [0, 2, 3, 5, 7]].tolist() == [
        [150, 50, 50], [200, 0, 0], [50, 50, 50], [0, 0, 200], [50, 50, 150],
    ]  # fmt: skip


def test_panels_stand_in_rows_on_white() -> None:
    grey = np.full((2, 3, 3), 9, dtype=np.uint8)
    out = pictures.side_by_side([[grey, grey], [grey]], gap_px=1)
    assert out[..., 0].tolist() == [
        [9, 9, 9, 255, 9, 9, 9], [9, 9, 9, 255, 9, 9, 9], [255] * 7,
        [9, 9, 9, 255, 255, 255, 255], [9, 9, 9, 255, 255, 255, 255],
    ]  # fmt: skip


def test_regions_take_their_colours_and_unlabelled_ones_none() -> None:
    colours = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8)
    out = pictures.colour_regions(np.array([[1, -1, 0]]), colours, none=(9, 9, 9))
    assert out.tolist() == [[[4, 5, 6], [9, 9, 9], [1, 2, 3]]]
    with pytest.raises(ValueError, match="label 2 has no colour among 2"):
        pictures.colour_regions(np.array([[2]]), colours)


def test_the_palette_is_fixed_and_its_colours_are_told_apart() -> None:
    assert np.array_equal(pictures.palette(20), pictures.palette(40)[:20])
    lab = rgb2lab(pictures.palette(20)[None])[0]
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1e3 * np.eye(20)
    assert distance.min() > 10  # 2.3 is just noticeable
    # Red and green look alike to one man in twelve: neighbours in the list differ in lightness as well.
    assert np.abs(np.diff(lab[:, 0])).min() > 8
    assert pictures.palette(0).shape == (0, 3)


def test_muted_colours_stand_back() -> None:
    bright = pictures.palette(12)
    chroma = [np.linalg.norm(rgb2lab(c[None])[0][:, 1:], axis=1).mean() for c in (bright, pictures.muted(bright))]
    assert chroma[1] < chroma[0] / 2


def test_heat_grows_lighter_and_clips() -> None:
    out = pictures.heat(np.array([[-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0]]))
    lightness = rgb2lab(out)[0, :, 0]
    assert np.all(np.diff(lightness[1:6]) > 5)
    assert lightness[0] == lightness[1]
    assert lightness[5] == lightness[6]


def test_boxes_lie_on_their_pixels_and_are_clipped() -> None:
    photo = np.full((40, 60, 3), 255, dtype=np.uint8)
    out = pictures.draw_boxes(photo, [[10, 5, 50, 35]], (255, 0, 0))
    red = (out == (255, 0, 0)).all(-1)
    ys, xs = np.nonzero(red)
    # Lines are two pixels wide on a half-open box.
    assert (9 <= xs.min() <= 10, 49 <= xs.max() <= 50, 4 <= ys.min() <= 5, 34 <= ys.max() <= 35) == (True,) * 4
    assert np.array_equal(out[15:25, 20:40], photo[15:25, 20:40])
    dashed = (pictures.draw_boxes(photo, [[10, 5, 50, 35]], (255, 0, 0), dashed=True) == (255, 0, 0)).all(-1)
    assert 0.3 * red.sum() < dashed.sum() < 0.8 * red.sum()
    pictures.draw_boxes(photo, [[-10, -10, 500, 500], [70, 50, 80, 60], [0, 0, 0, 0]], (0, 0, 0))


def test_shrinking_keeps_the_shape_and_never_enlarges() -> None:
    picture = np.zeros((100, 400, 3), dtype=np.uint8)
    assert pictures.shrink(picture, 80).shape == (20, 80, 3)
    assert pictures.shrink(picture, 500).shape == (100, 400, 3)
    labels = np.repeat(np.array([[0, 7]], dtype=np.uint8), 50, axis=1).repeat(100, axis=0)
    assert set(np.unique(pictures.shrink(labels, 9, nearest=True))) == {0, 7}


def test_a_data_address_holds_the_picture() -> None:
    uri = pictures.data_uri(np.full((8, 12, 3), 77, dtype=np.uint8))
    head, body = uri.split(",")
    assert head == "data:image/webp;base64"
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(body))).convert("RGB"))
    assert image.shape == (8, 12, 3)
    assert np.abs(image.astype(int) - 77).max() <= 3
