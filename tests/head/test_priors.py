"""Warm-up targets: FOUND's seed as its own code computes it, and attention above its mean."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from heap.head.priors import attention_above_mean, contrast, contrast_seed, found_seed, over_alike, references, target


def test_found_seed_equals_founds_own_code(golden: Path) -> None:
    folder = golden / "found_seed"
    background = np.load(folder / "background.npz")
    assert background.files
    for name in background.files:
        stored = np.load(golden / "dino_parity" / f"{name.removesuffix('_noweights')}.npz")
        found = found_seed(stored["keys"], stored["cls_attention"].T, weigh_heads=not name.endswith("_noweights"))
        np.testing.assert_array_equal(1 - found, background[name].ravel(), err_msg=name)
    assert json.loads((folder / "expected.json").read_text())


def test_attention_above_mean_by_hand() -> None:
    attention = np.array([[0.1, 0.3], [0.5, 0.5], [0.0, 0.2], [0.9, 0.1]], np.float32)  # means .2 .5 .1 .5, mean .325
    np.testing.assert_array_equal(attention_above_mean(attention), [0, 1, 0, 1])


BORDER = np.ones((4, 4), bool)
BORDER[1:3, 1:3] = False
BORDER = BORDER.ravel()


def framed() -> tuple[np.ndarray, np.ndarray]:
    """A 4 x 4 photo: two stuffs on the edge, an object of another direction in the middle; attention is flat."""
    features = np.where(np.arange(16)[:, None] < 8, [1.0, 0.1, 0.0], [0.1, 1.0, 0.0])
    features[~BORDER] = [0.0, 0.0, 1.0]
    return features.astype(np.float32), np.full((16, 2), 0.1, np.float32)


def test_contrast_takes_what_is_unlike_every_part_of_the_edge() -> None:
    features, attention = framed()
    np.testing.assert_array_equal(contrast_seed(features, attention, BORDER), (~BORDER).astype(np.float32))


def test_contrast_follows_attention_where_all_is_unlike_the_edge() -> None:
    # Everything but the edge is alike; then attention alone decides within, and its noise is averaged over the alike.
    features, _ = framed()
    attention = np.where(np.arange(16) == 5, 5.0, 0.1)[:, None].astype(np.float32)
    values = contrast(features, attention, BORDER)
    np.testing.assert_allclose(values[~BORDER], values[5], rtol=1e-5)
    assert values[~BORDER].min() > values[BORDER].max()


def test_contrast_does_not_change_with_the_scale_of_features_or_attention() -> None:
    rng = np.random.default_rng(0)
    features, attention = rng.normal(size=(16, 5)).astype(np.float32), rng.random((16, 3)).astype(np.float32)
    np.testing.assert_allclose(
        contrast(features, attention, BORDER), contrast(7 * features, 0.01 * attention, BORDER), atol=1e-4
    )


def test_contrast_of_a_flat_photo_is_not_sure() -> None:
    found = contrast_seed(np.ones((16, 3), np.float32), np.ones((16, 2), np.float32), BORDER)
    np.testing.assert_array_equal(found, 0.5)


@pytest.mark.parametrize(
    "grid", [(64, 64), (32, 64), (128, 128), (64, 128), (33, 127), (127, 33), (16, 100), (28, 28), (1, 7)]
)
def test_every_column_and_row_is_smoothed_over(grid: tuple[int, int]) -> None:
    seen = references(grid[0] * grid[1])
    assert len(set(seen.tolist())) == min(grid[0] * grid[1], 1024)
    for places, side in ((seen // grid[1], grid[0]), (seen % grid[1], grid[1])):
        share = np.bincount(places, minlength=side) / (len(seen) / side)
        assert share.min() > 0.4  # of what an even spread would see
        assert share.max() < 2


def test_smoothing_over_some_patches_is_about_smoothing_over_all() -> None:
    # Stripes of a width that a stride would fall in step with: 16 columns of the one kind, 16 of the other, in 64.
    kind = np.arange(64 * 64) // 16 % 2 == 0
    features = np.where(kind[:, None], [1.0, 0.2], [0.2, 1.0]) + 0.05 * np.random.default_rng(0).normal(size=(64**2, 2))
    unit = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    values = (np.arange(64**2) % 64).astype(np.float32)  # rise from left to right
    found = over_alike(values, unit, 0.5)
    assert found[kind].mean() == pytest.approx(np.mean([*range(16), *range(32, 48)]), abs=1.5)


@pytest.mark.parametrize(
    ("variant", "values"),
    [("pure", {0.0, 1.0}), ("robust", {0.0, 1.0}), ("contrast", {0.0, 0.5, 1.0}), ("no_seed", {0.5})],
)
def test_each_variant_has_its_target(variant: str, values: set[float]) -> None:
    rng = np.random.default_rng(0)
    features, attention = rng.normal(size=(30, 8)).astype(np.float32), rng.random((30, 2)).astype(np.float32)
    found = target(variant, features, attention, np.arange(30) < 12)
    assert set(np.unique(found).tolist()) <= values
    assert found.shape == (30,)
