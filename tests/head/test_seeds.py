"""Several seeds: signs side by side, the choice in words."""

from __future__ import annotations

import numpy as np
import pytest

from heap.head.diagnose import agreement, warnings_of
from heap.head.seeds import choose, summary

GOOD = {
    "rho": 0.5, "area": 0.3, "entropy": 0.2, "undecided": 0.1, "groups": 5.0, "border": 0.1, "intra": -0.03,
    "negative": 0.2, "inter": 0.1, "agreement": 0.9, "framing": 1.1,
}  # fmt: skip
BAD = GOOD | {
    "rho": 0.05,
    "area": 0.8,
    "entropy": 0.7,
    "undecided": 0.5,
    "groups": 1.0,
    "negative": 0.9,
    "border": 0.85,
    "framing": -0.4,
}


def test_the_choice_is_told_with_what_it_was_made_from() -> None:
    choice = choose([5, 3], [BAD, GOOD])
    assert choice.seed == 3
    assert choice.merit[1] > choice.merit[0]
    assert f"{choice.merit[0]:.4g} of seed 5" in choice.why
    assert choose([8], [BAD]).why == "the only seed"


def test_mean_and_deviation_by_hand() -> None:
    rows = [{"area": 0.2}, {"area": 0.4}, {"area": 0.6}]
    assert summary(rows) == {"area": {"mean": 0.4, "deviation": 0.2}}
    assert summary(rows[:1]) == {"area": {"mean": 0.2, "deviation": None}}


def test_agreement_by_hand() -> None:
    up, down = np.array([0.0, 1.0], np.float32), np.array([1.0, 0.0], np.float32)
    # Two heads alike and one turned round: correlations 1 and -1 with the others, -1 and -1.
    assert agreement([[up], [up], [down]]) == pytest.approx([0.0, 0.0, -1.0])
    assert agreement([[up]]) == [1.0]
    flat = np.array([0.3, 0.3], np.float32)
    assert agreement([[up, flat], [up, up]]) == pytest.approx([0.5, 0.5])


def test_failure_is_told_in_words() -> None:
    assert warnings_of(GOOD) == []
    text = " ".join(warnings_of(BAD))
    for word in ("rho 0.05", "80%", "85%", "entropy 0.70", "50%", "collapsed", "train.loss.variant"):
        assert word in text
