"""TokenCut: the peers' eigenvectors, masks and boxes; the cut of graphs done by hand; what the solver may do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from baselines.golden_patches import cases
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh
from scipy.sparse.linalg import ArpackNoConvergence

from heap.baselines import tokencut as module
from heap.baselines.patches import Patches
from heap.baselines.tokencut import cut, linked, second_eigenvector, tokencut
from heap.evaluate.discovery import find
from heap.grid import PatchGrid
from heap.settings.baselines import TokenCutSettings


def test_eigenvectors_masks_and_boxes_equal_tokencuts_own_code(golden: Path) -> None:
    arrays = np.load(golden / "tokencut_lost" / "arrays.npz")
    seen = 0
    for case, photo in cases(golden):
        expected, name = case["tokencut"], case["name"]
        found = cut(linked(photo.features, expected["tau"]), expected["eps"])
        assert not found.dense, name
        assert found.eigenvalue == pytest.approx(expected["eigenvalues_0_to_3"][1], rel=1e-5)
        seen += 1
        if not expected["stable_to_1e6_noise"]:
            continue
        vector = arrays[f"{name}__tc_vec"].ravel()
        np.testing.assert_allclose(found.vector, vector, rtol=0, atol=1e-5 * np.abs(vector).max(), err_msg=name)
        np.testing.assert_array_equal(found.side, arrays[f"{name}__tc_bipartition"].ravel(), err_msg=name)
        if expected["seed_margin"] <= 1e-6:  # several patches are the largest, and any of them is right
            assert abs(vector[found.seed]) >= (1 - 1e-6) * np.abs(vector).max(), name
            if not arrays[f"{name}__tc_mask"].ravel()[found.seed]:
                continue  # it may lie in another component than the one the peer's rounding chose
        else:
            assert found.seed == expected["seed"], name
        answer = tokencut(photo, TokenCutSettings(tau=expected["tau"], eps=expected["eps"]))
        np.testing.assert_array_equal(answer.foreground, arrays[f"{name}__tc_mask"].ravel(), err_msg=name)
        size = tuple(case["image_hw"])
        box = find(answer.foreground.reshape(case["grid_hw"]), PatchGrid(size, size, case["patch_size"]))
        assert list(box.box) == expected["box"], name
    assert seen


def two_kinds(grid_h: int, grid_w: int, inside: np.ndarray, seed: int = 0) -> Patches:
    """A photo of two kinds of patches at right angles, with a little noise."""
    rng = np.random.default_rng(seed)
    features = np.where(inside.ravel()[:, None], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    features += 0.02 * rng.normal(size=features.shape)
    return Patches(features.astype(np.float32), np.ones((inside.size, 1), np.float32), (grid_h, grid_w))


def boxed(grid_h: int, grid_w: int, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    """A mask of boxes (y1, y2, x1, x2)."""
    inside = np.zeros((grid_h, grid_w), bool)
    for y1, y2, x1, x2 in boxes:
        inside[y1:y2, x1:x2] = True
    return inside


def test_two_kinds_of_patches_are_the_two_sides() -> None:
    inside = boxed(9, 12, (2, 5, 3, 7))
    photo = two_kinds(9, 12, inside)
    found = cut(linked(photo.features, 0.2), 1e-5)
    # Two cliques of 12 and 96 patches, whose degrees are about 12 and 96. y is orthogonal to the constant under D, so
    # 12 * 12 * a + 96 * 96 * b = 0: y is 64 times larger on the small one. The seed is there, the first of equals.
    np.testing.assert_array_equal(found.side, inside.ravel())
    assert found.seed == int(np.flatnonzero(inside.ravel())[0])
    small, large = found.vector[inside.ravel()].mean(), found.vector[~inside.ravel()].mean()
    assert small / large == pytest.approx(-64, rel=0.01)
    np.testing.assert_array_equal(tokencut(photo, TokenCutSettings()).foreground, inside.ravel())


def test_only_the_seeds_component_is_kept() -> None:
    inside = boxed(9, 12, (1, 3, 1, 4), (6, 8, 7, 10))  # two objects of one kind, one side of the cut
    mask = tokencut(two_kinds(9, 12, inside), TokenCutSettings()).foreground.reshape(9, 12)
    assert mask.sum() == 6
    assert mask[1:3, 1:4].all()


@pytest.mark.parametrize("tau", [-1.0, 1.0])
def test_a_graph_without_sides_is_one_object_and_noted(tau: float) -> None:
    answer = tokencut(two_kinds(4, 5, boxed(4, 5, (0, 1, 0, 5))), TokenCutSettings(tau=tau))
    assert answer.note == "no_cut"
    assert answer.foreground.all()


def test_one_patch_is_one_object() -> None:
    photo = Patches(np.ones((1, 3), np.float32), np.ones((1, 1), np.float32), (1, 1))
    assert tokencut(photo, TokenCutSettings()) == (np.ones(1), "no_cut")


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), patches=st.integers(65, 120), density=st.floats(0.1, 0.9))
def test_the_partial_solver_finds_the_dense_solvers_pair(seed: int, patches: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    links = rng.random((patches, patches)) < density
    links = np.triu(links) | np.triu(links).T | np.eye(patches, dtype=bool)
    weights = np.where(links, 1.0, 1e-5)
    degrees = np.diag(weights.sum(axis=1))
    vector, value, dense = second_eigenvector(links, 1e-5)
    values = eigh(degrees - weights, degrees, eigvals_only=True, subset_by_index=[1, 1])
    assert not dense
    assert value == pytest.approx(values[0], abs=1e-10)
    # An eigenvector of that eigenvalue, normalised, and not the trivial one.
    np.testing.assert_allclose((degrees - weights) @ vector, value * degrees @ vector, atol=1e-9)
    assert vector @ degrees @ vector == pytest.approx(1)
    assert abs(np.ones(patches) @ degrees @ vector) < 1e-8


def test_identical_patches_do_not_unsettle_the_solver() -> None:
    # Few distinct rows: Lanczos' space is exhausted after a few products. The same vector each time, and the right one.
    inside = boxed(10, 12, (3, 6, 3, 6))
    features = np.where(inside.ravel()[:, None], [1.0, 0.0], [0.0, 1.0]).astype(np.float32)
    features[:20] = [0.6, 0.8]  # linked to both kinds
    links = linked(features, 0.2)
    found = [cut(links, 1e-5) for _ in range(3)]
    assert all(np.array_equal(found[0].side, other.side) and found[0].seed == other.seed for other in found)
    assert found[0].seed == int(np.flatnonzero(inside.ravel())[0])


def test_a_solver_that_does_not_converge_is_replaced_and_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def gives_up(*arguments: object, **options: object) -> None:
        raise ArpackNoConvergence("no convergence", np.zeros(0), np.zeros((0, 0)))

    inside = boxed(9, 12, (2, 5, 3, 7))
    monkeypatch.setattr(module, "eigsh", gives_up)
    answer = tokencut(two_kinds(9, 12, inside), TokenCutSettings())
    assert answer.note == "dense_solver"
    np.testing.assert_array_equal(answer.foreground, inside.ravel())
