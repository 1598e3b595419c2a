"""The bilateral solver against the peers' own masks, and its laws on small hand-made photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.sparse import diags
from scipy.sparse.linalg import cg

import heap.bilateral as bilateral
from heap.bilateral import BilateralGrid, keep, refine, training_target


def rgb(path: Path) -> Any:
    return np.array(Image.open(path).convert("RGB"))


def bits(path: Path) -> Any:
    return np.array(Image.open(path)).astype(bool)


def mask_of(rows: list[str]) -> Any:
    return np.array([[sign == "#" for sign in row] for row in rows])


def two_halves(height: int = 40, width: int = 64, edge: int = 30) -> Any:
    """Dark left of column `edge`, light right of it."""
    photo = np.full((height, width, 3), 40, np.uint8)
    photo[:, edge:] = 200
    return photo


def test_golden_masks_and_decisions(golden: Path) -> None:
    folder = golden / "bilateral_solver"
    expected, soft = json.loads((folder / "expected.json").read_text()), np.load(folder / "soft.npz")
    decisions = []
    for case in expected["cases"]:
        grid, target = BilateralGrid.of(rgb(folder / case["image"])), bits(folder / case["coarse"])
        assert len(grid.pixels) == case["n_vertices"]
        if case["name"] in soft:  # stored as float16
            np.testing.assert_allclose(grid.solve(target), soft[case["name"]].astype(float), atol=3e-4)
        binary, refined = grid.binary(target), refine(grid, target, ["all_peers", "largest_peers"])
        for mode, part in (("multi", "all_peers"), ("single", "largest_peers")):
            of_mode = case[mode]
            np.testing.assert_array_equal(keep(binary, part), bits(folder / of_mode["binary"]), err_msg=case["name"])
            assert refined[part].accepted == of_mode["accepted"], case["name"]
            assert refined[part].mask.sum() == of_mode["final_area"], case["name"]
            decisions.append(of_mode["accepted"])
    assert decisions


def test_golden_training_targets(golden: Path) -> None:
    folder = golden / "bilateral_solver"
    expected, arrays_of = json.loads((folder / "train_targets.json").read_text()), np.load(folder / "train_targets.npz")
    assert expected["cases"]
    for case in expected["cases"]:
        grid = BilateralGrid.of(rgb(folder / case["image"]))
        part = "all_peers" if case["get_all_cc"] else "largest_peers"
        target = training_target(grid, arrays_of[f"mask_{case['mask']}"].astype(bool), 8, part)
        assert target.accepted == case["used"]
        np.testing.assert_array_equal(target.mask, arrays_of[f"target_{case['name']}"].astype(bool), case["name"])


def test_a_mask_moves_to_the_edge_of_the_photo() -> None:
    target = np.zeros((40, 64), bool)
    target[:, :24] = True  # six columns short of the edge
    expected = np.zeros_like(target)
    expected[:, :30] = True
    refined = refine(BilateralGrid.of(two_halves()), target, ["all", "largest"])
    for result in refined.values():
        assert result.accepted
        np.testing.assert_array_equal(result.mask, expected)


def test_the_grid_of_a_small_photo_by_hand() -> None:
    # Two places along x (16 px each), greys of the luma cells 2 and 4, so no vertex has a neighbour in colour.
    photo = np.full((3, 20, 3), 40, np.uint8)
    photo[0] = 72
    grid = BilateralGrid.of(photo)
    assert sorted(grid.pixels.tolist()) == [4, 8, 16, 32]
    # 2 on the diagonal for each of the five axes, 1 for the neighbour along x: (40, left - right), (72, left - right).
    blur = grid.blur.toarray()
    assert blur.diagonal().tolist() == [10, 10, 10, 10]
    pairs = {frozenset(grid.pixels[list(pair)].tolist()) for pair in zip(*np.nonzero(np.triu(blur, 1)), strict=True)}
    assert pairs == {frozenset({32.0, 8.0}), frozenset({16.0, 4.0})}
    # A constant is perfectly smooth, so that of its row only the confidence is left.
    np.testing.assert_allclose(grid.system @ np.ones(4), bilateral.CONFIDENCE * grid.pixels, atol=1e-9)


def test_the_iteration_is_that_of_scipy() -> None:
    photo = np.random.default_rng(1).integers(0, 120, (60, 70, 3)).astype(np.uint8)
    grid, target = BilateralGrid.of(photo), np.random.default_rng(2).random((60, 70))
    total = np.bincount(grid.cells.ravel(), weights=target.ravel())
    system = grid.system
    jacobi = diags(1 / np.maximum(system.diagonal(), bilateral.DIAGONAL_MIN))
    right = bilateral.CONFIDENCE * total
    solution, info = cg(system, right, x0=total / grid.pixels, rtol=1e-5, atol=0, maxiter=25, M=jacobi)
    assert info == 25  # never converges: the result is defined by the iterations
    np.testing.assert_allclose(grid.solve(target), solution[grid.cells], atol=1e-9)


@pytest.mark.parametrize(("value", "peers"), [(False, (0, 1)), (True, (0, 0))])
def test_masks_of_one_value_are_never_replaced_by_the_peers(value: bool, peers: tuple[int, int]) -> None:
    grid, target = BilateralGrid.of(two_halves()), np.full((40, 64), value)
    binary = grid.binary(target)
    # Of nothing `single` makes everything, of everything both make nothing.
    assert (keep(binary, "all_peers").mean(), keep(binary, "largest_peers").mean()) == peers
    for part, result in refine(grid, target, ["all", "largest", "all_peers", "largest_peers"]).items():
        np.testing.assert_array_equal(result.mask, target)
        assert result.accepted == (value and part in ("all", "largest"))


def test_an_object_larger_than_the_background_is_inverted_only_by_the_peers() -> None:
    binary = mask_of(["#####.", "#####.", "......", "......", "##..##"])
    assert binary.sum() == 14
    large = mask_of(["######", "######", "######", "......", "##..##"])
    assert keep(binary, "all") is binary
    np.testing.assert_array_equal(keep(binary, "all_peers"), binary)
    np.testing.assert_array_equal(keep(large, "all"), large)
    dropped = large.copy()
    dropped[:3] = True
    expected = ~dropped
    expected[4] = True  # the small parts stay
    np.testing.assert_array_equal(keep(large, "all_peers"), expected)
    np.testing.assert_array_equal(keep(large, "largest")[:3], True)
    assert keep(large, "largest").sum() == 18
    # Label 0, the background, has the second most pixels.
    np.testing.assert_array_equal(keep(large, "largest_peers"), ~large)


def test_of_equal_components_the_last_is_kept() -> None:
    binary = mask_of(["##....", "......", "....##"])
    expected = mask_of(["......", "......", "....##"])
    for part in ("largest", "largest_peers"):
        np.testing.assert_array_equal(keep(binary, part), expected)  # type: ignore[arg-type]


def test_an_iou_of_exactly_half_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    grid, target = BilateralGrid.of(two_halves(4, 8)), np.zeros((4, 8), bool)
    target[0, :4] = True
    for columns, accepted in ((8, False), (7, True)):  # IoU 4 / 8 and 4 / 7
        output = np.zeros((4, 8), bool)
        output[0, :columns] = True
        monkeypatch.setattr(BilateralGrid, "binary", lambda self, mask, output=output: output)
        (result,) = refine(grid, target, ["all"]).values()
        assert result.accepted == accepted
        np.testing.assert_array_equal(result.mask, output if accepted else target)


def test_colours_fall_into_the_cells_of_the_peers_arithmetic() -> None:
    random = np.random.default_rng(0)
    grey = np.arange(256)[:, None].repeat(3, axis=1)
    bluish = grey[:-16] + np.array([0, 0, 16])  # like all greys on the border of two cells of chroma
    colours = np.concatenate([grey, bluish, bluish[:, ::-1], random.integers(0, 256, (5000, 3))])
    weights = np.array(bilateral._YUV) / 10**6
    yuv = np.tensordot(colours, weights, ([1], [1])) + np.array([0, 128, 128])
    expected = (yuv / [16, 8, 8]).astype(int)
    cells = np.stack(bilateral.colour_cells(colours.astype(np.uint8)[None]), axis=-1)[0]
    np.testing.assert_array_equal(cells[:, 1:], expected[:, 1:])
    # Luma on a border depends on the BLAS of this machine; theirs is in the next test.
    inside = colours @ [299, 587, 114] % 16_000 != 0
    np.testing.assert_array_equal(cells[inside, 0], expected[inside, 0])


def test_lumas_on_the_border_of_two_cells_fall_where_fused_multiply_adds_put_them() -> None:
    level = np.arange(256, dtype=np.int32)
    on_border = np.argwhere((299 * level[:, None, None] + 587 * level[:, None] + 114 * level) % 16_000 == 0)
    assert len(on_border) == 1052
    luma, _, _ = bilateral.colour_cells(on_border.astype(np.uint8)[None])
    below = luma[0] != on_border @ [299, 587, 114] // 16_000
    assert below.sum() == 279
    # As FOUND's code has them; exact arithmetic would give 0, 1, 2, ...
    greys = np.arange(0, 256, 16, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    assert bilateral.colour_cells(greys)[0][0].tolist() == [0, 0, 1, 3, 3, 5, 6, 7, 7, 9, 10, 10, 12, 12, 14, 15]


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40))
def test_laws_of_the_output(seed: int, height: int, width: int) -> None:
    random = np.random.default_rng(seed)
    # Blocks of one colour, so that vertices have neighbours.
    blocks = random.integers(0, 256, (-(-height // 5), -(-width // 5), 3)).astype(np.uint8)
    photo = blocks.repeat(5, axis=0).repeat(5, axis=1)[:height, :width]
    target = random.random((height, width)) > 0.5
    grid = BilateralGrid.of(photo)
    assert grid.pixels.sum() == target.size
    assert (np.bincount(grid.cells.ravel(), minlength=len(grid.pixels)) == grid.pixels).all()
    assert np.isfinite(grid.solve(target)).all()
    # A mask as bool and as numbers is one mask.
    np.testing.assert_allclose(grid.solve(target), grid.solve(target.astype(float)), atol=1e-12)
    for part, result in refine(grid, target, ["all", "largest"]).items():
        np.testing.assert_array_equal(result.mask, keep(grid.binary(target), part) if result.accepted else target)


def test_training_targets_of_photos_that_are_not_whole_patches() -> None:
    grid = BilateralGrid.of(two_halves(40, 60, 32))
    mask = np.zeros((5, 8), bool)
    mask[:, :4] = True  # columns 0 to 31, the dark half
    target = training_target(grid, mask, 8, "all")
    assert target.accepted
    np.testing.assert_array_equal(target.mask, mask)
    # And the light half, whose last patch has no middle in the photo.
    target = training_target(grid, ~mask, 8, "all")
    assert target.accepted
    np.testing.assert_array_equal(target.mask, ~mask)


@pytest.mark.parametrize("photo", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_photo_is_refused(photo: Any) -> None:
    with pytest.raises(ValueError, match=r"expected \(H, W, 3\) uint8"):
        BilateralGrid.of(photo)


def test_a_mask_of_another_size_is_refused() -> None:
    grid = BilateralGrid.of(two_halves())
    with pytest.raises(ValueError, match=r"\(3, 4\).*\(40, 64\)"):
        grid.solve(np.zeros((3, 4), bool))
    with pytest.raises(ValueError, match=r"\(3, 4\) patches of 8 px for a photo of \(40, 64\)"):
        training_target(grid, np.zeros((3, 4), bool), 8)
