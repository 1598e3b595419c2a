"""Connected parts of masks: against scipy where it has the same, by hand where the peers' choice counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from heap.components import bounding_box, fill_holes, largest_component

masks = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def mask_of(rows: list[str]) -> Any:
    return np.array([[sign == "#" for sign in row] for row in rows])


def test_ties_go_to_the_first_or_to_the_last_component() -> None:
    mask = mask_of(["##..", "....", "..##"])
    np.testing.assert_array_equal(largest_component(mask, ties_to_last=False), mask_of(["##..", "....", "...."]))
    np.testing.assert_array_equal(largest_component(mask, ties_to_last=True), mask_of(["....", "....", "..##"]))


def test_pixels_that_touch_at_a_corner_are_not_connected() -> None:
    mask = mask_of(["...", ".#.", "..#"])
    np.testing.assert_array_equal(largest_component(mask, ties_to_last=False), mask_of(["...", ".#.", "..."]))
    ring = mask_of([".#.", "#.#", ".#."])  # nor is the background that looks out at a corner
    np.testing.assert_array_equal(fill_holes(ring), mask_of([".#.", "###", ".#."]))


@given(masks, st.booleans())
def test_the_largest_component_is_one_and_none_is_larger(mask: Any, ties_to_last: bool) -> None:
    kept = largest_component(mask, ties_to_last=ties_to_last)
    labels, count = ndimage.label(mask)
    assert not (kept & ~mask).any()
    assert kept.sum() == max((int((labels == label).sum()) for label in range(1, count + 1)), default=0)
    assert len(np.unique(labels[kept])) == min(count, 1)


@given(masks)
def test_holes_are_those_of_scipy(mask: Any) -> None:
    np.testing.assert_array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))


@given(masks)
def test_the_bounding_box_holds_the_mask_and_touches_it_on_every_side(mask: Any) -> None:
    box = bounding_box(mask)
    part = mask[box]
    assert part.sum() == mask.sum()
    if mask.any():
        assert all(side.any() for side in (part[0], part[-1], part[:, 0], part[:, -1]))
    else:
        assert part.size == 0
