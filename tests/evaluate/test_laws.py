"""Laws of discovery and retrieval on any photo: perfect is all, inverted is nothing, empty and full are told apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from heap.evaluate import retrieval
from heap.evaluate.discovery import find, is_correct
from heap.evaluate.retrieval import Described, describe, patch_weights
from heap.grid import PatchGrid

PATCH_PX = 8
CLASSES = 4  # background and three


@st.composite
def photos(draw: Any) -> tuple[Any, tuple[int, int], tuple[int, int, int, int]]:
    """A grid with a rectangle of patches inside (never at the border), the photo's size, the rectangle in pixels."""
    rows, columns = draw(st.integers(3, 9)), draw(st.integers(3, 9))
    top, left = draw(st.integers(1, rows - 2)), draw(st.integers(1, columns - 2))
    bottom, right = draw(st.integers(top + 1, rows - 1)), draw(st.integers(left + 1, columns - 1))
    size = PATCH_PX * rows - draw(st.integers(0, PATCH_PX - 1)), PATCH_PX * columns - draw(st.integers(0, PATCH_PX - 1))
    grid = np.zeros((rows, columns), np.float32)
    grid[top:bottom, left:right] = 1
    box = left * PATCH_PX, top * PATCH_PX, right * PATCH_PX, bottom * PATCH_PX
    return grid, size, box


@given(photos())
def test_a_perfect_map_finds_the_box(photo: Any) -> None:
    grid, size, box = photo
    found = find(grid, PatchGrid(size, size, PATCH_PX))
    assert (found.box, found.fallback) == (box, False)
    assert is_correct(found.box, np.array([box]))


@given(photos())
def test_an_inverted_map_boxes_the_photo(photo: Any) -> None:
    grid, size, box = photo
    found = find(1 - grid, PatchGrid(size, size, PATCH_PX))
    assert found.box == (0, 0, size[1], size[0])  # the ground goes all around the object
    area = (box[2] - box[0]) * (box[3] - box[1])
    assert is_correct(found.box, np.array([box])) == (2 * area >= size[0] * size[1])


@given(photos(), st.floats(0, 0.5, width=32))
def test_full_and_empty_maps(photo: Any, low: float) -> None:
    grid, size, _ = photo
    full = find(np.ones_like(grid), PatchGrid(size, size, PATCH_PX))
    assert (full.box, full.fallback) == ((0, 0, size[1], size[0]), False)
    values = grid * np.float32(low)  # nothing is above 0.5: the first patch of the largest value stands in
    empty = find(values, PatchGrid(size, size, PATCH_PX))
    row, column = np.argwhere(values == values.max())[0].tolist()
    x1, y1 = column * PATCH_PX, row * PATCH_PX
    assert empty == type(empty)((x1, y1, min(x1 + PATCH_PX, size[1]), min(y1 + PATCH_PX, size[0])), True)


def described(photo: Any, class_id: int, inverted: bool = False) -> Described:
    """A photo whose object is of one class, which its patches' features tell."""
    grid, (height, width), (x1, y1, x2, y2) = photo
    labels = np.zeros((height, width), np.uint8)
    labels[y1:y2, x1:x2] = class_id
    mask = (labels > 0) != inverted
    features = np.zeros((grid.size, CLASSES), np.float32)
    features[:, 0] = 1 - grid.ravel()
    features[:, class_id] = grid.ravel()
    return describe(features, patch_weights(mask, PATCH_PX), mask, labels, CLASSES)


several = st.lists(st.tuples(photos(), st.integers(1, CLASSES - 1)), min_size=1, max_size=4)


@settings(max_examples=30)
@given(several)
def test_retrieval_of_perfect_masks_is_1_and_of_inverted_ones_0(listed: Any) -> None:
    gallery = [described(*one) for one in listed]
    there = sorted({class_id for _, class_id in listed})
    assert retrieval.miou(gallery, gallery, there) == 1
    inverted = [described(*one, inverted=True) for one in listed]
    # The mask is painted over background, and background over every object.
    assert retrieval.miou(gallery, inverted) == 0


@settings(max_examples=30)
@given(several)
def test_retrieval_with_empty_masks_paints_nothing(listed: Any) -> None:
    gallery = [described(*one) for one in listed]
    empty = [
        Described(np.zeros_like(one.inside), one.inside + one.outside, np.zeros_like(one.prototype)) for one in gallery
    ]
    there = sorted({class_id for _, class_id in listed})
    assert retrieval.miou(gallery, empty, there) == 0
    assert retrieval.miou(empty, gallery, there) == 0  # nothing to retrieve from
