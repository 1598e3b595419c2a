"""Curves say what the files say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heap.errors import DataError
from heap.report.figures import draw, draw_history, read_history
from heap.report.words import encoder_note


def test_every_numeric_column_becomes_a_curve(tmp_path: Path) -> None:
    path = tmp_path / "my_model.csv"
    frame = pd.DataFrame({"iteration": [0, 10, 20], "loss": [3.0, 2.0, 1.0], "new": [1, 2, 1], "word": list("abc")})
    frame.to_csv(path, index=False)
    history = read_history(path)
    assert history.model == "my_model"
    assert [curve.name for curve in history.curves] == ["loss", "new"]
    assert history.curves[0].alt == "loss from 3 at iteration 0 to 1 at iteration 20; least 1, most 3"
    assert history.curves[0].about
    assert not history.curves[1].about
    named = [(title, [curve.name for curve in curves]) for title, _, curves in history.groups]
    assert named == [("Losses", ["loss"]), ("Others", ["new"])]


def test_each_seed_is_a_line_and_the_chosen_one_is_described(tmp_path: Path) -> None:
    rows = [
        {"seed": seed, "chosen": seed == 1, "iteration": i, "loss": 10.0 * seed - i} for seed in (0, 1) for i in (0, 1)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "m.csv", index=False)
    (curve,) = read_history(tmp_path / "m.csv").curves
    assert curve.alt.startswith("loss from 10 at iteration 0 to 9 at iteration 1;")
    assert curve.alt.endswith("the other 1 seeds end at -1")
    assert curve.svg.count("var(--line)") == 2


def test_a_drawing_asks_for_nothing_and_takes_the_pages_colours() -> None:
    svg = draw([(np.arange(5), np.arange(5.0))], "x")
    assert svg == draw([(np.arange(5), np.arange(5.0))], "x")
    assert "http" not in svg
    assert "currentColor" in svg
    assert "var(--line)" in svg
    assert "#000" not in svg  # no ink that would vanish in the dark
    ids = re.findall(r' id="([^"]*)"', svg)
    other = re.findall(r' id="([^"]*)"', draw([(np.arange(5), np.arange(5.0))], "y"))
    assert not set(ids) & set(other)


def test_all_curves_of_a_training_in_one_picture(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"seed": [0, 0, 1, 1], "iteration": [0, 1, 0, 1], "loss": [4.0, 3, 2, 1], "area": [1, 1, 0, 0]}
    )
    frame.to_csv(tmp_path / "m.csv", index=False)
    draw_history(tmp_path / "m.csv", tmp_path / "m.svg")
    first = (tmp_path / "m.svg").read_bytes()
    draw_history(tmp_path / "m.csv", tmp_path / "m.svg")
    assert (tmp_path / "m.svg").read_bytes() == first
    assert first.count(b'<g id="axes_') == 4  # two of them are empty places of the row
    assert first.count(b"stroke: #b04a00") == 4  # two seeds in two panels
    frame[["iteration"]].to_csv(tmp_path / "e.csv", index=False)
    with pytest.raises(DataError, match=r"e\.csv: has no figures to draw"):
        draw_history(tmp_path / "e.csv", tmp_path / "e.svg")
    with pytest.raises(DataError, match=r"x\.csv: no such file"):
        draw_history(tmp_path / "x.csv", tmp_path / "x.svg")


@pytest.mark.parametrize(
    ("label", "word", "loud"),
    [
        ("dino_vits8 keys of block -1, RANDOM weights (untrained)", "UNTRAINED", True),
        ("descriptors (hand-made)", "HAND-MADE", True),
        ("dino_vits8 keys of block -1, published weights", "self-supervised", False),
        ("dino_vits8 keys of block -1, published weights, unverified (sha256 0)", "checksum", False),
        ("dino_vits8 keys of block -1, unverified file x.pth (sha256 0)", "checksum", False),
    ],
)
def test_encoders_that_are_no_dino_say_so_loudly(label: str, word: str, loud: bool) -> None:
    note = encoder_note(label)
    assert word in note.text
    assert note.loud == loud
