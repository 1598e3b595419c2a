"""Areas and boxes of regions agree to the pixel with the enlarged patch map."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from heap.grid import PatchGrid


def test_pixels_of_an_unresized_side_belong_to_their_patch_and_padding_to_none() -> None:
    # 10 pixels, patches of 4: the third patch has two pixels and two of padding.
    assert PatchGrid((10, 1), (10, 1), 4).patch_of_pixels(0).tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]


def test_pixels_of_a_resized_side() -> None:
    # 6 photo pixels fed as 3: pairs share one pixel of the input; patches of 2 input pixels hold four and two.
    assert PatchGrid((1, 6), (1, 3), 2).patch_of_pixels(1).tolist() == [0, 0, 0, 0, 1, 1]


def test_area_and_box_by_hand() -> None:
    tokens = np.array([[0, 1, 1], [0, 0, 1]], dtype=np.int16)
    # 5 x 9 photo in patches of 4: the last row of patches has one pixel row, the last column one pixel column.
    found = PatchGrid((5, 9), (5, 9), 4).extents(tokens)
    assert (found[0].area_px, found[0].box) == (16 + 4 + 4, (0, 0, 8, 5))
    assert (found[1].area_px, found[1].box) == (16 + 4 + 1, (4, 0, 9, 5))


sides = st.integers(1, 40)


@settings(max_examples=150, deadline=None)
@given(sides, sides, sides, sides, st.integers(1, 9), st.integers(0, 10**6))
def test_extents_count_the_enlarged_map(h: int, w: int, input_h: int, input_w: int, patch: int, seed: int) -> None:
    grid = PatchGrid((h, w), (input_h, input_w), patch)
    tokens = np.random.default_rng(seed).integers(0, 3, grid.shape).astype(np.int16)
    picture = grid.enlarge(tokens)
    assert picture.shape == (h, w)
    found = grid.extents(tokens)
    assert sum(extent.area_px for extent in found.values()) == h * w
    for token, extent in found.items():
        ys, xs = np.nonzero(picture == token)
        assert extent.area_px == len(ys)
        expected = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) if len(ys) else (0, 0, 0, 0)
        assert extent.box == expected


def test_a_thumbnail_has_the_same_patches() -> None:
    grid = PatchGrid((10, 20), (5, 10), 4)
    assert grid.shape == grid.at((5, 5)).shape == (2, 3)
    assert grid.at((5, 5)).enlarge(np.arange(6).reshape(grid.shape)).tolist() == [[0, 0, 1, 1, 2]] * 4 + [
        [3, 3, 4, 4, 5]
    ]
