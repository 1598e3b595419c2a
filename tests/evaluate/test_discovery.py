from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heap.evaluate.discovery import box_of_mask, corloc, find, is_correct, overlaps
from heap.grid import PatchGrid

PERCENT = 1e-4  # the golden files round a percentage to four decimals


@pytest.fixture(scope="module")
def expected(golden: Path) -> Any:
    return json.loads((golden / "corloc" / "expected.json").read_text())


def mask_of(rows: list[str]) -> Any:
    return np.array([[sign == "#" for sign in row] for row in rows])


def test_golden_cases(golden: Path, expected: Any) -> None:
    masks = np.load(golden / "corloc" / "masks.npz")
    correct = []
    for case in expected["cases"]:
        foreground = masks[case["name"]].astype(np.float32)
        size = tuple(case["image_hw"])
        found = find(foreground, PatchGrid(size, size, case["patch_size"]))
        assert (list(found.box), found.fallback) == (case["pred_box"], False), case["name"]
        truth = np.array(case["gt_boxes"])
        shared, union = overlaps(found.box, truth)
        np.testing.assert_allclose(shared / union, case["ious_with_gt"], atol=2e-6)
        assert is_correct(found.box, truth) == case["correct"], case["name"]
        correct.append(is_correct(found.box, truth))
    assert corloc(sum(correct), len(correct)) == pytest.approx(expected["summary"]["corloc"], abs=PERCENT)


def test_golden_edge_cases(expected: Any) -> None:
    seen = set()
    for case in expected["edge_cases"]:
        mask, size = mask_of(case["mask_rows"]), tuple(case["image_hw"])
        # The peer takes a mask of the photo's size as upsampled already; here the caller says so.
        patch_px = 1 if mask.shape == size else case["patch_size"]
        patches = box_of_mask(mask)
        seen.add(case["name"])
        if case["name"] == "empty_mask":
            assert patches is None
            continue
        assert patches is not None
        box = PatchGrid(size, size, patch_px).box(patches)
        assert list(box) == case["pred_box"], case["name"]
        if case["name"] == "no_gt":  # the peer raises; here no box is right
            assert not is_correct(box, np.zeros((0, 4), np.int64))
            continue
        assert is_correct(box, np.array(case["gt_boxes"])) == case["correct"], case["name"]
    assert {"exact_half", "tie_first_label", "degenerate_gt", "portrait_swap"} <= seen


def test_an_empty_mask_falls_back_to_the_largest_value() -> None:
    foreground = np.full((4, 5), 0.1, np.float32)
    foreground[2, 4] = 0.5  # not above 0.5
    found = find(foreground, PatchGrid((30, 37), (30, 37), 8))
    assert found.fallback
    assert found.box == (32, 16, 37, 24)  # clipped at 37


def test_of_equal_values_the_fallback_takes_the_first() -> None:
    assert find(np.zeros((2, 2), np.float32), PatchGrid((16, 16), (16, 16), 8)).box == (0, 0, 8, 8)


def test_a_resized_photo_has_its_box_in_its_own_pixels() -> None:
    assert PatchGrid((64, 96), (32, 32), 8).box((1, 2, 3, 4)) == (24, 32, 72, 64)
    # 8 / 32 * 3 = 0.75 and 24 / 32 * 3 = 2.25
    assert PatchGrid((3, 3), (32, 32), 8).box((1, 1, 3, 3)) == (1, 1, 2, 2)


sides = st.integers(1, 60)


@given(sides, sides, sides, sides, st.integers(0, 9))
def test_a_box_is_right_for_itself_and_its_neighbour_is_not(x: int, y: int, width: int, height: int, gap: int) -> None:
    box = x, y, x + width, y + height
    assert is_correct(box, np.array([box]))
    right = x + width + gap
    assert not is_correct(box, np.array([(right, y, right + width, y + height)]))


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.data())
def test_scaled_boxes_lie_in_the_photo(height: int, width: int, new_height: int, new_width: int, data: Any) -> None:
    x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x2, y2 = data.draw(st.integers(x1 + 1, width)), data.draw(st.integers(y1 + 1, height))
    left, top, right, bottom = PatchGrid((new_height, new_width), (height, width), 1).box((x1, y1, x2, y2))
    assert 0 <= left < right <= new_width
    assert 0 <= top < bottom <= new_height


def test_no_photos_have_no_corloc() -> None:
    with pytest.raises(ValueError, match="no photo"):
        corloc(0, 0)
