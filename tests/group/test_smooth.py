"""Smoothing of maps over like patches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from heap.group.apply import group_photos
from heap.group.smooth import smooth
from heap.head.batches import Sample
from heap.head.model import Head
from heap.head.priors import over_alike
from heap.settings.models import HeadSettings
from heap.settings.stages import GroupSettings

# Six patches of two kinds, at a right angle to each other.
FEATURES = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)


def test_average_is_weighted_by_the_cosine_over_its_deviation() -> None:
    values = np.array([1, 0, 1, 0, 0, 0], np.float32)
    # Cosines are 1 (half of the pairs) and 0, their deviation is 0.5: a patch of the other kind weighs exp(-1 / 0.5).
    other = np.exp(-2)
    expected = np.repeat([2 / (3 + 3 * other), 2 * other / (3 + 3 * other)], 3)
    np.testing.assert_allclose(over_alike(values, FEATURES, 1.0), expected, rtol=1e-5)


def test_like_patches_end_on_one_side() -> None:
    # One patch of the object was missed, one of the ground taken for object.
    found = smooth(np.array([0.9, 0.9, 0.2, 0.6, 0.1, 0.1], np.float32), 5 * FEATURES, 1.0)
    np.testing.assert_array_equal(found > 0.5, [True, True, True, False, False, False])
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1


def test_order_of_the_averages_is_kept_and_the_threshold_is_the_photos_own() -> None:
    rng = np.random.default_rng(0)
    features = (0.3 * rng.normal(size=(60, 4)) + 1).astype(np.float32)
    features[:20, 0] += 3
    # The head is sure of few patches: averages over many patches stay below 0.5.
    values = np.where(np.arange(60) < 8, 0.7, 0.05).astype(np.float32)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    averaged = over_alike(values, unit, 1.0)
    assert averaged.max() < 0.5
    found = smooth(values, features, 1.0)
    assert (np.diff(found[np.argsort(averaged)]) >= 0).all()
    np.testing.assert_array_equal(found > 0.5, np.arange(60) < 20)


@pytest.mark.parametrize("value", [0.2, 0.8])
def test_a_map_on_one_side_gets_no_object_and_no_ground(value: float) -> None:
    values = np.linspace(value - 0.1, value + 0.1, 6).astype(np.float32)
    np.testing.assert_array_equal(smooth(values, FEATURES, 1.0), values)


def test_nothing_is_smoothed_by_width_zero_or_among_equal_patches() -> None:
    values = np.array([0.9, 0.9, 0.2, 0.6, 0.1, 0.1], np.float32)
    np.testing.assert_array_equal(smooth(values, FEATURES, 0.0), values)
    np.testing.assert_array_equal(smooth(values, np.ones((6, 2), np.float32), 1.0), values)


def test_regions_are_on_the_side_of_the_smoothed_map(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    head = Head(2, HeadSettings(num_groups=4, num_heads=1, num_layers=1, temperature=0.5)).eval()
    with torch.no_grad():
        head.score.weight.copy_(torch.tensor([[8.0, -8.0]]))
    features = np.random.default_rng(1).normal(size=(24, 2)).astype(np.float32)
    flat = np.zeros(24, np.float32)
    photo = Sample(features, flat, flat, np.zeros(24, bool), 0)
    monkeypatch.setattr("heap.group.apply.smooth", lambda foreground, features, width: 1 - foreground)
    (found,) = group_photos(head, [photo], GroupSettings(), "cpu")
    assert set(found.foreground > 0.5) == {True, False}
    score = dict(zip(found.tokens.tolist(), found.score.tolist(), strict=True))
    np.testing.assert_array_equal([score[int(token)] > 0.5 for token in found.region], found.foreground > 0.5)
    assert found.area_share.tolist() == pytest.approx([(found.region == token).mean() for token in found.tokens])
