"""Tables and curves say what the files say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heap.errors import DataError
from heap.evaluate.tables import read as read_metrics
from heap.report.figures import draw, draw_history, read_history, tables
from heap.report.words import encoder_note

CSV = """dataset,task,method,variant,metric,value,images,skipped,fallbacks
a,saliency,heap,multi,iou,0.5,9,1,0
a,saliency,heap,multi,mae,0.1,9,1,0
a,saliency,heap,single,iou,0.4,9,1,0
a,saliency,everything,multi,iou,0.25,9,1,0
a,saliency,everything,multi,mae,0.75,9,1,0
a,saliency,everything,single,iou,0.45,9,1,0
b,discovery,heap,largest,corloc,71.25,20,0,2
b,semantic,heap,,miou_21,0.3,20,0,0
"""


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    (tmp_path / "m.csv").write_text(CSV)
    return tmp_path / "m.csv"


def test_one_table_a_task_with_rivals_below_each_other(metrics: Path) -> None:
    found = tables(read_metrics(metrics))
    assert [(table.dataset, len(table.rows)) for table in found] == [("a", 4), ("b", 1), ("b", 1)]
    assert [(row.method[:4], row.variant) for row in found[0].rows] == [
        ("HEAP", "multi"), ("ever", "multi"), ("HEAP", "single"), ("ever", "single"),
    ]  # fmt: skip
    assert found[0].metrics == ["IoU", "mae"]
    assert (found[0].rows[0].images, found[0].rows[0].skipped, found[1].rows[0].fallbacks) == (9, 1, 2)


def test_figures_are_percent_and_the_best_of_each_reading_is_marked(metrics: Path) -> None:
    saliency, discovery, semantic = tables(read_metrics(metrics))
    cells = [[(cell.text, cell.best) if cell else None for cell in row.cells] for row in saliency.rows]
    assert cells == [
        [("50.0", True), ("10.0", True)],  # of mae the least is best
        [("25.0", False), ("75.0", False)],
        [("40.0", False), None],
        [("45.0", True), None],
    ]
    # Percent already; and without a rival nothing is best.
    assert [(cell.text, cell.best) for cell in discovery.rows[0].cells if cell] == [("71.2", False)]
    assert semantic.metrics == ["mIoU 21"]


def test_counts_have_columns_only_where_they_tell_something(metrics: Path) -> None:
    saliency, discovery, semantic = tables(read_metrics(metrics))
    assert (saliency.columns, discovery.columns, semantic.columns) == (["skipped"], ["fallbacks"], [])
    assert [row.ours for row in saliency.rows] == [True, False, True, False]


def test_intervals_stand_in_the_unit_of_their_figure(tmp_path: Path) -> None:
    rows = "a,saliency,heap,multi,iou,0.5,0.45,0.551,9\na,discovery,heap,largest,corloc,50,40.25,60,9\n"
    (tmp_path / "m.csv").write_text("dataset,task,method,variant,metric,value,low,high,images\n" + rows)
    found = tables(read_metrics(tmp_path / "m.csv"))
    intervals = [cell.interval for table in found for cell in table.rows[0].cells if cell]
    assert intervals == ["45.0 to 55.1", "40.2 to 60.0"]
    assert all(table.has_intervals for table in found)


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
