"""Several seeds: signs side by side, the choice in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from head.planted import DIM, iou, planted_store

from heap.head.batches import TrainingSet
from heap.head.diagnose import agreement, orient, warnings_of
from heap.head.fit import fit
from heap.head.seeds import choose, summary
from heap.settings.models import LossSettings, TrainSettings

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


def test_signs_that_contradict_are_warned_of() -> None:
    (words,) = warnings_of(GOOD | {"rho": -0.3})
    assert "two signs contradict" in words
    assert "framing 1.10" in words
    assert "rho -0.30" in words


@pytest.mark.parametrize("misleading", [False, True])
def test_a_right_head_stays_right_whatever_the_attention_says(tmp_path: Path, misleading: bool) -> None:
    """One sign, framing, decides the polarity and the choice; rho turned right heads round."""
    reader, truth = planted_store(tmp_path, 24, seed=0)
    data = TrainingSet(reader, None, "no_seed", 1.0)
    if misleading:
        for i, photo in data._kept.items():
            data._kept[i] = replace(photo, attention=photo.attention.max() - photo.attention)
    asked = TrainSettings(loss=LossSettings(variant="no_seed", negative_own=0.0), steps=60, batch_size=16)
    head, _, _ = fit(data, DIM, asked, "cpu", 0)
    final, maps, _ = orient(head, data, "cpu")
    found = [iou(one > 0.5, real) for one, real in zip(maps, truth, strict=True)]
    assert np.mean(found) > 0.5
    assert (final["rho"] < 0) == misleading
    assert any("contradict" in word for word in warnings_of(final)) == misleading
    head.flip()
    assert orient(head, data, "cpu")[2], "exchanged again"


def test_failure_is_told_in_words() -> None:
    assert warnings_of(GOOD) == []
    text = " ".join(warnings_of(BAD))
    for word in ("rho 0.05", "80%", "85%", "entropy 0.70", "50%", "collapsed", "train.loss.variant"):
        assert word in text
