"""Warm-up targets: FOUND's seed as its own code computes it, and attention above its mean."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from heap.head.priors import attention_above_mean, found_seed, target


def test_found_seed_equals_founds_own_code(golden: Path) -> None:
    folder = golden / "found_seed"
    background = np.load(folder / "background.npz")
    assert len(background.files) == 28
    for name in background.files:
        stored = np.load(golden / "dino_parity" / f"{name.removesuffix('_noweights')}.npz")
        found = found_seed(stored["keys"], stored["cls_attention"].T, weigh_heads=not name.endswith("_noweights"))
        np.testing.assert_array_equal(1 - found, background[name].ravel(), err_msg=name)
    assert json.loads((folder / "expected.json").read_text())


def test_attention_above_mean_by_hand() -> None:
    attention = np.array([[0.1, 0.3], [0.5, 0.5], [0.0, 0.2], [0.9, 0.1]], np.float32)  # means .2 .5 .1 .5, mean .325
    np.testing.assert_array_equal(attention_above_mean(attention), [0, 1, 0, 1])


@pytest.mark.parametrize(("variant", "values"), [("pure", {0.0, 1.0}), ("robust", {0.0, 1.0}), ("no_seed", {0.5})])
def test_each_variant_has_its_target(variant: str, values: set[float]) -> None:
    rng = np.random.default_rng(0)
    found = target(variant, rng.normal(size=(30, 8)).astype(np.float32), rng.random((30, 2)).astype(np.float32))
    assert set(np.unique(found).tolist()) <= values
    assert found.shape == (30,)
