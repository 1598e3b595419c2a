from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from heap.grid import PatchGrid
from heap.upsample import bilinear_matrix, logits_of, nearest

sides = st.integers(1, 40)


def by_torch(logits: Any, patch_px: int, input_hw: tuple[int, int], photo_hw: tuple[int, int]) -> Any:
    grid = torch.from_numpy(logits)[None, None]
    pixels = interpolate(grid, scale_factor=patch_px, mode="bilinear", align_corners=False)
    pixels = pixels[..., : input_hw[0], : input_hw[1]]
    if photo_hw != input_hw:
        pixels = interpolate(pixels, size=photo_hw, mode="bilinear", align_corners=False)
    return torch.sigmoid(pixels)[0, 0].numpy()


@settings(deadline=None)
@given(sides, sides, st.integers(1, 17), st.none() | st.tuples(sides, sides), st.integers(0, 99))
def test_is_what_torch_interpolates(height: int, width: int, patch_px: int, other: Any, seed: int) -> None:
    grid = -(-height // patch_px), -(-width // patch_px)
    logits = np.random.default_rng(seed).normal(0, 3, grid).astype(np.float32)
    photo_hw = other or (height, width)
    soft = PatchGrid(photo_hw, (height, width), patch_px).soft_map(logits)
    assert soft.dtype == np.float32
    # torch computes places in float32, here they are exact: a place off by 4e-6 between logits that differ by 10.
    np.testing.assert_allclose(soft, by_torch(logits, patch_px, (height, width), photo_hw), atol=2e-5)


def test_infinite_logits_give_0_and_1() -> None:
    soft = PatchGrid((8, 16), (8, 16), 8).soft_map(np.array([[np.inf, -np.inf]], np.float32))
    assert np.isfinite(soft).all()
    assert (soft[:, :4] == 1).all()
    assert (soft[:, -4:] == 0).all()


def test_probabilities_of_0_and_1_do_not_outvote_their_neighbours() -> None:
    np.testing.assert_array_equal(logits_of(np.array([0, 0.5, 1], np.float32)), [-15, 0, 15])


def test_a_grid_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="2 x 3 patches of 8 px"):
        PatchGrid((16, 16), (16, 16), 8).soft_map(np.zeros((2, 3), np.float32))


def test_labels_are_resized_like_opencv() -> None:
    # floor(i * 3 / 5) for i = 0..4 is 0 0 1 1 2; Pillow, which looks from pixel centres, gives 0 0 1 2 2.
    labels = np.array([[1, 2, 3]], np.uint8)
    np.testing.assert_array_equal(nearest(labels, (2, 5)), [[1, 1, 2, 2, 3]] * 2)


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_matrix_rows_are_weights(patches: int, patch_px: int, data: st.DataObject) -> None:
    pixels = data.draw(st.integers(1, patches * patch_px))
    matrix = bilinear_matrix(patches, patch_px, pixels)
    assert matrix.shape == (pixels, patches)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
