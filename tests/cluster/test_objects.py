"""Regions of one object: touching and alike ones are joined, others are not, and each object has one embedding."""

from __future__ import annotations

import numpy as np
import pytest

from heap.cluster import objects
from heap.cluster.objects import View, objects_of, pooled, unit, view_of

# Tokens 5, 7, 9 side by side in a row over the ground (token 1); 3 lies apart from them in a corner.
GRID = np.array(
    [
        [1, 1, 1, 1, 1, 3],
        [1, 5, 7, 9, 1, 1],
        [1, 5, 7, 9, 1, 1],
        [1, 1, 1, 1, 1, 1],
    ],
    dtype=np.int16,
)
LISTED = np.array([1, 3, 5, 7, 9], dtype=np.int16)
FOREGROUND = np.array([False, True, True, True, True])


def at(degrees: float) -> list[float]:
    return [float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))]


def embeddings(*degrees: float) -> np.ndarray:
    """Return unit vectors in the plane, one a region of `LISTED`."""
    return np.array([at(angle) for angle in degrees], dtype=np.float32)


def view(join_above: float | None) -> View:
    return View(0, 2, np.zeros(2, np.float32), None, join_above)


def join(vectors: np.ndarray, above: float | None, foreground: np.ndarray = FOREGROUND) -> list[int]:
    return objects_of(view(above), GRID, LISTED, vectors, np.ones(5, np.float32), foreground).tolist()


def test_things_of_two_kinds_side_by_side_stay_two() -> None:
    # 5 and 7 are 10 degrees apart, 9 is 80 degrees from 7; cos 60 = .5.
    assert join(embeddings(0, 0, 0, 10, 90), 0.5) == [0, 1, 2, 2, 4]


def test_what_does_not_touch_is_not_joined_and_neither_is_the_background() -> None:
    # All five equal: 3 touches only the ground, and the ground is no object's.
    assert join(embeddings(0, 0, 0, 0, 0), 0.5) == [0, 1, 2, 2, 2]
    assert join(embeddings(0, 0, 0, 0, 0), 0.5, np.array([False, True, True, False, True])) == [0, 1, 2, 3, 4]


def test_a_chain_of_small_steps_does_not_join_unlike_ends() -> None:
    # 5 and 7 join at 40 degrees (cos .77); their mean, at 20, is 62 degrees from 9 (cos .47), though 7 is at 42.
    assert join(embeddings(0, 0, 0, 40, 82), 0.5) == [0, 1, 2, 2, 4]


def test_none_joins_nothing() -> None:
    assert join(embeddings(0, 0, 0, 0, 0), None) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("at_a_time", [1, 2, 100])
def test_an_object_is_the_weighted_mean_of_its_regions(at_a_time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "POOLED", at_a_time)
    vectors, weight = embeddings(0, 90, 0, 45, 90), np.array([1, 1, 3, 1, 1], np.float32)
    # Row 1 is of the other kind; 2 and 4 are one object, with another between them.
    things, found = pooled(view(0.0), vectors, weight, np.array([0, 1, 2, 3, 2]), np.array([0, 2, 3, 4]))
    assert things.tolist() == [0, 2, 3]
    # (3, 1) / sqrt(10)
    assert np.allclose(found[1], np.array([3, 1]) / np.sqrt(10), atol=1e-6)
    assert np.allclose(found[[0, 2]], vectors[[0, 3]], atol=1e-6)


def test_only_values_of_appearance_count_around_their_mean() -> None:
    vectors = unit(np.array([[1, 0, 5], [0, 1, 5], [1, 0, -5], [0, 1, -5]]))
    found = view_of(vectors, (0, 2), False, "auto", np.arange(4), 0)
    assert (found.first, found.last, found.join_above) == (0, 2, None)
    half = np.sqrt(0.5)
    # What is left of each: its place on the line between the two kinds, whatever the third value.
    assert np.allclose(found.of(vectors), half * np.array([[1, -1], [-1, 1], [1, -1], [-1, 1]]), atol=1e-6)


def test_auto_is_read_from_pairs_of_different_photos() -> None:
    # Two photos of two equal regions each: within a photo cosine 1, between photos -1 after centring.
    vectors = embeddings(0, 0, 180, 180)
    found = view_of(vectors, None, True, "auto", np.array([0, 0, 1, 1]), 0)
    assert found.join_above == pytest.approx(-1)
    alone = view_of(vectors, None, True, "auto", np.zeros(4, np.int64), 0)
    assert alone.join_above == 1  # one photo cannot say what unlike means


def test_a_view_survives_json() -> None:
    made = View(1, 3, np.array([0.1, -1 / 3], np.float32), np.array([[1, 0.3], [0.3, 2]], np.float32), 0.25)
    again = View.from_json(made.as_json())
    assert (again.first, again.last, again.join_above) == (1, 3, 0.25)
    assert np.array_equal(again.centre, made.centre)
    assert again.turn is not None
    assert np.array_equal(again.turn, made.turn)


def test_hand_scaled_values_of_appearance_are_whitened_half_way() -> None:
    # Deviations 3 and 1 around 0: variances 9 and 1, sphere 5; half of each: 7 and 3. All values of an encoder that
    # declares no appearance stay as they are.
    vectors = np.array([[3, 1], [-3, 1], [3, -1], [-3, -1]], np.float32)
    found = view_of(vectors, (0, 2), False, "auto", np.arange(4), 0)
    assert found.turn is not None
    assert np.allclose(found.turn, np.diag([7**-0.5, 3**-0.5]), atol=1e-6)
    assert view_of(vectors, None, False, "auto", np.arange(4), 0).turn is None
