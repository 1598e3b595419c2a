"""LOST: the peers' seeds, degrees and boxes, and the rule on graphs small enough to do by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from baselines.golden_patches import cases

from heap.baselines.lost import expand, lost
from heap.baselines.patches import Patches
from heap.evaluate.discovery import find
from heap.grid import PatchGrid
from heap.settings.baselines import LostSettings


def test_degrees_seeds_and_boxes_equal_losts_own_code(golden: Path) -> None:
    arrays = np.load(golden / "tokencut_lost" / "arrays.npz")
    seen = 0
    for case, photo in cases(golden):
        expected, name = case["lost"], case["name"]
        seen += 1
        if expected["affinities_within_1e6_of_zero"]:
            continue  # whether two patches are related is then a matter of rounding
        found = expand(photo.features, expected["k_patches"])
        np.testing.assert_array_equal(found.degree, arrays[f"{name}__lost_degree"], err_msg=name)
        assert found.degree.min() == expected["min_degree"], name
        # The peer's sort is not stable; with stable=True it gives these, on ties as well.
        assert found.seed == expected["seed_stable_sort"], name
        size = tuple(case["image_hw"])
        answer = lost(photo, LostSettings(k_patches=expected["k_patches"]))
        box = find(answer.foreground.reshape(case["grid_hw"]), PatchGrid(size, size, case["patch_size"]))
        assert list(box.box) == expected["box_stable_sort"], name
        if expected["box_same_for_all_tie_breaks"]:
            assert list(box.box) == expected["box"], name
    assert seen


def photo_of(rows: list[list[float]], grid_h: int, grid_w: int) -> Patches:
    features = np.array(rows, np.float32)
    return Patches(features, np.ones((len(features), 1), np.float32), (grid_h, grid_w))


def test_the_rule_by_hand() -> None:
    # One row of six patches: two of one kind (a), four of another (b), at right angles; b's share a little with each
    # other only. Degrees: a 1, b 3. The seed is the first a; what is positive to it are the two a's: patches 1 and 2.
    a, b = [1.0, 0.0], [0.0, 1.0]
    photo = photo_of([b, a, a, b, b, b], 1, 6)
    found = expand(photo.features, 100)
    assert found.degree.tolist() == [3, 1, 1, 3, 3, 3]
    assert found.seed == 1
    assert lost(photo, LostSettings()).foreground.tolist() == [0, 1, 1, 0, 0, 0]


def test_only_the_seeds_component_is_kept() -> None:
    # The a's at the ends do not touch: the seed is the first of them, and the other is left out of its box.
    a, b = [1.0, 0.0], [0.0, 1.0]
    assert lost(photo_of([a, b, b, b, b, a], 1, 6), LostSettings()).foreground.tolist() == [1, 0, 0, 0, 0, 0]


def test_few_patches_are_expanded_from_few() -> None:
    # A chain x - y - z, where x and z are at right angles. Degrees 1, 2, 1 and the seed is x. With k = 1 only x votes:
    # z is not positive. With k = 3 y votes too and brings z.
    photo = photo_of([[1, 0], [0.7, 0.7], [0, 1]], 1, 3)
    assert lost(photo, LostSettings(k_patches=1)).foreground.tolist() == [1, 1, 0]
    assert lost(photo, LostSettings(k_patches=3)).foreground.tolist() == [1, 1, 1]


def test_centring_gives_features_without_a_zero_a_sign() -> None:
    # All positive: everything is related to everything, and the first patch takes the whole photo. Centred (mean 2/6
    # and 4/6 in each value): a and b point apart.
    a, b = [1.0, 0.1], [0.1, 1.0]
    photo = photo_of([b, b, a, a, b, b], 1, 6)
    assert lost(photo, LostSettings()).foreground.tolist() == [1] * 6
    assert lost(photo, LostSettings(centre=True)).foreground.tolist() == [0, 0, 1, 1, 0, 0]


def test_a_seed_without_a_feature_stands_alone_and_is_noted() -> None:
    answer = lost(photo_of([[1, 0], [0, 0], [1, 0]], 1, 3), LostSettings())
    assert answer.foreground.tolist() == [0, 1, 0]
    assert answer.note == "seed_alone"
