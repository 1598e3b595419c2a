"""8-bit features: what is restored is near, constants are exact, nothing infinite passes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from heap.cache.quantise import quantise, restore
from heap.errors import CacheError


def test_by_hand() -> None:
    values = np.array([[0.0, 5.0, -1.0], [1.0, 5.0, 254.0], [0.6, 5.0, 0.4]], np.float32)
    codes, ranges = quantise(values, "a photo")
    assert codes.tolist() == [[0, 0, 0], [255, 0, 255], [153, 0, 1]]
    np.testing.assert_allclose(ranges, [0, 5, -1, 1 / 255, 0, 1], rtol=1e-6)
    np.testing.assert_allclose(restore(codes, ranges), [[0, 5, -1], [1, 5, 254], [0.6, 5, 0]], rtol=1e-6, atol=1e-6)


@settings(deadline=None)
@given(arrays(np.float32, (6, 3), elements=st.floats(-60000, 60000, width=32)))
def test_restored_values_are_within_half_a_step(values: np.ndarray) -> None:
    codes, ranges = quantise(values, "a photo")
    error = np.abs(restore(codes, ranges).astype(np.float64) - values)
    spread = np.ptp(values.astype(np.float64), axis=0)
    # Besides the half step, float32's own rounding of values this large.
    assert (error <= spread / 255 * 0.501 + 1e-6 * np.abs(values).max() + 1e-30).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(CacheError, match=r"photo\.jpg"):
        quantise(np.array([[1.0, 2.0], [1.0, value]], np.float32), "photo.jpg")
