"""Comparison tables: the figures of several CSVs side by side, marked, escaped, and told where they come from."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from heap.cli import app
from heap.errors import DataError
from heap.evaluate.tables import Figure, write
from heap.report.compare import Source, as_csv, compare, latex, markdown
from heap.report.compare import write as write_comparison


def figure(dataset: str, method: str, metric: str, value: float, images: int = 9, **more: Any) -> Figure:
    task, variant = more.pop("task", "saliency"), more.pop("variant", "multi")
    return Figure(dataset, task, method, variant, metric, value, images, 0, 0, **more)


def source(folder: Path, name: str, figures: list[Figure], about: dict[str, Any] | None = None) -> Source:
    write(folder / name, figures, about or {})
    if about is None:
        (folder / name).with_suffix(".json").unlink()
    return Source.read(folder / name)


@pytest.fixture
def two(tmp_path: Path) -> list[Source]:
    ours = [
        figure("ecssd", "heap", "iou", 0.7126, low=0.70, high=0.7249),
        figure("ecssd", "every_thing", "iou", 0.3),
        figure("ecssd", "heap", "max_f", 0.81),
        figure("duts_te", "heap", "iou", 0.5),
        figure("voc07", "heap", "corloc", 61.94, task="discovery", variant="largest"),
    ]
    label = "descriptors (hand-made, no training)"
    about = {"datasets": {"ecssd": {"maps": {"heap": {"encoder": label}}}, "duts_te": {"maps": {}}}}
    theirs = [figure("ecssd", "R&D 100%", "iou", 0.71259), figure("ecssd", "heap", "acc", 0.9)]
    return [
        source(tmp_path, "ours_metrics.csv", ours, about),
        source(tmp_path, "theirs.csv", theirs, {"scored": "saliency"}),
    ]


def test_methods_down_figures_across_best_bold_in_percent(two: list[Source]) -> None:
    text = markdown(compare(two), second=True)
    lines = text.splitlines()
    assert lines[0] == "### Saliency (multi)"
    assert lines[2] == "| method | ecssd IoU | ecssd max F | ecssd accuracy | duts_te IoU |"
    rows = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines[4:7]}
    # .7126 and .71259 print alike, so both are best; the next printed figure is second. One figure alone is not marked.
    assert rows == {
        "heap": ["**71.3**", "81.0", "90.0", "50.0"],
        "every_thing": ["<u>30.0</u>", "", "", ""],
        "R&D 100%": ["**71.3**", "", "", ""],
    }
    assert "### Discovery (largest)" in text
    assert "| heap | 61.9 |" in text  # in percent already


def test_what_chance_gives_is_no_merit(tmp_path: Path) -> None:
    task = {"task": "semantic", "variant": "hungarian"}
    figures = [figure("d", method, "miou_shuffled", value, **task) for method, value in (("a", 0.1), ("b", 0.2))]
    (table,) = compare([source(tmp_path, "x.csv", figures, {})])
    assert [cells[0].rank for _, cells in table.rows if cells[0] is not None] == [0, 0]


def test_intervals_on_request(two: list[Source]) -> None:
    assert "[70.0, 72.5]" not in markdown(compare(two))
    assert "**71.3** [70.0, 72.5]" in markdown(compare(two), intervals=True)
    assert r"\textbf{71.3} {\scriptsize [70.0, 72.5]}" in latex(compare(two), intervals=True)


def test_the_caption_names_hand_made_encoders_and_unknown_origins(two: list[Source], tmp_path: Path) -> None:
    notes = " ".join(compare(two)[0].notes)
    assert "heap: HAND-MADE features, not a trained encoder (descriptors (hand-made, no training))." in notes
    assert "scored from files; what made them is not recorded" in notes
    for label, words in (("vit, random weights", "UNTRAINED"), ("vit, unverified weights", "nobody verified")):
        about = {"datasets": {"d": {"maps": {"heap": {"encoder": label}}}}}
        (table,) = compare([source(tmp_path, "x.csv", [figure("d", "heap", "iou", 0.5)], about)])
        assert words in " ".join(table.notes)
    (table,) = compare([source(tmp_path, "y.csv", [figure("d", "heap", "iou", 0.5)])])
    assert "What produced y.csv is not recorded." in table.notes
    about = {"datasets": {"d": {"maps": {"heap": {"encoder": "dino_vits8, pinned weights"}}}}}
    (table,) = compare([source(tmp_path, "z.csv", [figure("d", "heap", "iou", 0.5)], about)])
    assert table.notes == ["In percent, the best of each column bold.", "d: 9 photos."]


def test_methods_of_different_photos_are_told(tmp_path: Path) -> None:
    one = source(tmp_path, "x.csv", [figure("d", "a", "iou", 0.5), figure("d", "b", "iou", 0.6, images=8)], {})
    assert "d: NOT THE SAME PHOTOS (9 for a; 8 for b)." in compare([one])[0].notes


def test_one_method_of_two_tables_is_told_apart_by_file(tmp_path: Path) -> None:
    first = source(tmp_path, "seed0_metrics.csv", [figure("d", "heap", "iou", 0.5)], {})
    second = source(tmp_path, "seed1_metrics.csv", [figure("d", "heap", "iou", 0.6), figure("d", "x", "iou", 0.1)], {})
    assert [method for method, _ in compare([first, second])[0].rows] == ["heap (seed0)", "heap (seed1)", "x"]
    with pytest.raises(DataError, match="stands twice"):
        compare([first, first])


def test_latex_is_booktabs_with_signs_escaped(two: list[Source]) -> None:
    text = latex(compare(two), second=True)
    assert r"R\&D 100\% & \textbf{71.3} & -- & -- & -- \\" in text
    assert r"every\_thing & \underline{30.0}" in text
    assert r" & \multicolumn{3}{c}{ecssd} & \multicolumn{1}{c}{duts\_te} \\" in text
    assert r"\cmidrule(lr){2-4}\cmidrule(lr){5-5}" in text
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 2
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [2, 2, 2]
    # Every row has as many cells as the tabular has columns.
    body = text.split(r"\begin{tabular}{lrrrr}")[1].split(r"\end{tabular}")[0]
    rows = [line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert all(line.replace(r"\&", "").count("&") == 4 for line in rows)
    assert len(rows) == 4


def test_csv_has_a_row_a_task_reading_and_method(two: list[Source]) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(compare(two), intervals=True))))
    assert [(row["task"], row["method"], row["ecssd iou"]) for row in rows] == [
        ("Saliency", "heap", "71.3"), ("Saliency", "every_thing", "30.0"), ("Saliency", "R&D 100%", "71.3"),
        ("Discovery", "heap", ""),
    ]  # fmt: skip
    assert rows[0]["ecssd iou low-high"] == "70.0, 72.5"
    assert rows[3]["voc07 corloc"] == "61.9"


def test_signs_of_markdown_are_escaped(tmp_path: Path) -> None:
    one = source(tmp_path, "x.csv", [figure("d", "a|b", "iou", 0.5)], {})
    assert r"| a\|b | 50.0 |" in markdown(compare([one]))


def test_only_the_named_figures(two: list[Source]) -> None:
    (table,) = compare(two, ["max_f"])
    assert table.columns == [("ecssd", "max_f")]
    with pytest.raises(DataError, match="no figure is called mae"):
        compare(two, ["mae"])


def test_the_command_writes_by_suffix_or_prints(two: list[Source], tmp_path: Path) -> None:
    paths = [str(one.path) for one in two]
    assert "### Saliency (multi)" in CliRunner().invoke(app, ["compare", *paths]).output
    for suffix, start in ((".md", "### "), (".tex", "% needs"), (".CSV", "task,")):
        out = tmp_path / f"table{suffix}"
        assert CliRunner().invoke(app, ["compare", *paths, "--out", str(out)]).exit_code == 0
        assert out.read_text().startswith(start)
    with pytest.raises(DataError, match=r"expected a name that ends in \.md, \.tex, \.csv"):
        write_comparison(tmp_path / "table.doc", two)


def test_tables_of_older_runs_need_no_intervals(tmp_path: Path) -> None:
    text = "dataset,task,method,variant,metric,value,images\nd,saliency,NA,multi,iou,0.25,3\n"
    (tmp_path / "old.csv").write_text(text)
    (table,) = compare([Source.read(tmp_path / "old.csv")])
    assert table.rows[0][0] == "NA"
    (tmp_path / "old.csv").write_text(text.replace("0.25", "none"))
    with pytest.raises(DataError, match="a value that is no number"):
        Source.read(tmp_path / "old.csv")
    (tmp_path / "old.json").write_text(json.dumps([]))
    (tmp_path / "old.csv").write_text(text)
    assert Source.read(tmp_path / "old.csv").about is None
