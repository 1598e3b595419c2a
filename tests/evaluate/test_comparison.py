"""Comparison tables: the figures of several CSVs side by side, marked, escaped, and told where they come from."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from heap.cli import app
from heap.errors import DataError
from heap.evaluate.comparison import Source, compare
from heap.evaluate.tables import Figure, write
from heap.evaluate.writers import as_csv, latex, markdown, terminal
from heap.evaluate.writers import write as write_comparison


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
        "HEAP": ["**71.3**", "81.0", "90.0", "50.0"],
        "every_thing": ["<u>30.0</u>", "", "", ""],
        "R&D 100%": ["**71.3**", "", "", ""],
    }
    assert "### Single-object discovery (largest)" in text
    assert "| HEAP | 61.9 |" in text  # in percent already


def test_what_chance_gives_is_no_merit(tmp_path: Path) -> None:
    task = {"task": "semantic", "variant": "hungarian"}
    figures = [figure("d", method, "miou_shuffled", value, **task) for method, value in (("a", 0.1), ("b", 0.2))]
    (table,) = compare([source(tmp_path, "x.csv", figures, {})])
    assert [row.cells[0].rank for row in table.rows if row.cells[0] is not None] == [0, 0]


def test_intervals_on_request(two: list[Source]) -> None:
    assert "70.0 to 72.5" not in markdown(compare(two))
    assert "**71.3** (70.0 to 72.5)" in markdown(compare(two), intervals=True)
    assert r"\textbf{71.3} {\scriptsize (70.0 to 72.5)}" in latex(compare(two), intervals=True)


def test_the_caption_names_hand_made_encoders_and_unknown_origins(two: list[Source], tmp_path: Path) -> None:
    notes = " ".join(compare(two)[0].notes)
    assert "HEAP: HAND-MADE features, not a trained encoder (descriptors (hand-made, no training))." in notes
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
    assert [row.method for row in compare([first, second])[0].rows] == ["HEAP (seed0)", "HEAP (seed1)", "x"]
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
        ("Saliency", "HEAP", "71.3"), ("Saliency", "every_thing", "30.0"), ("Saliency", "R&D 100%", "71.3"),
        ("Single-object discovery", "HEAP", ""),
    ]  # fmt: skip
    assert rows[0]["ecssd iou interval"] == "70.0 to 72.5"
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
    assert table.rows[0].method == "NA"
    (tmp_path / "old.csv").write_text(text.replace("0.25", "none"))
    with pytest.raises(DataError, match="a value that is no number"):
        Source.read(tmp_path / "old.csv")
    (tmp_path / "old.json").write_text(json.dumps([]))
    (tmp_path / "old.csv").write_text(text)
    assert Source.read(tmp_path / "old.csv").about is None


CSV = """dataset,task,method,variant,metric,value,images,skipped,fallbacks
a,saliency,heap,multi,iou,0.5,9,1,0
a,saliency,heap,multi,mae,0.1,9,1,0
a,saliency,heap,single,iou,0.4,9,1,0
a,saliency,[attention],multi,iou,0.25,9,1,3
a,saliency,[attention],multi,mae,0.75,9,1,3
a,saliency,[attention],single,iou,0.45,9,1,3
b,semantic,heap,,nmi_shuffled,0.3,20,0,0
b,semantic,other,,nmi_shuffled,0.2,20,0,0
"""


def test_readings_are_no_rivals_the_least_mae_is_best_and_counts_are_said(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(CSV)
    multi, single, semantic = compare([Source.read(tmp_path / "m.csv")])
    assert [(row.method, row.ours) for row in multi.rows] == [("HEAP", True), ("[attention]", False)]
    assert multi.headings == ["a IoU", "a mae"]
    ranks = [[(cell.text, cell.rank) for cell in row.cells if cell] for row in (*multi.rows, *single.rows)]
    assert ranks == [[("50.0", 1), ("10.0", 1)], [("25.0", 2), ("75.0", 2)], [("40.0", 2)], [("45.0", 1)]]
    assert "a: 9 photos, 1 skipped." in multi.notes
    assert "a: empty predictions 3 for [attention]." in multi.notes
    assert (semantic.title, semantic.notes[1]) == ("Semantic segmentation", "b: 20 photos.")
    assert [cell.rank for row in semantic.rows for cell in row.cells if cell] == [0, 0]  # chance is no merit


def printed(folder: Path, path: Path, intervals: bool = False, width: int = 80) -> tuple[str, str]:
    """The terminal's text, plain and with its styles."""
    console = Console(width=width, record=True, file=(folder / "sink").open("w"), color_system="standard")
    console.print(*terminal(compare([Source.read(path)]), intervals))
    return console.export_text(clear=False), console.export_text(styles=True)


def test_the_terminal_shows_the_same_figures_and_marks(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(CSV)
    plain, styled = printed(tmp_path, tmp_path / "m.csv")
    assert plain.splitlines()[0] == "Saliency (multi)"
    row = next(line for line in plain.splitlines() if "[attention]" in line)  # no markup of rich
    assert "25.0" in row
    assert "75.0" in row
    assert "\x1b[1m50.0" in styled
    for chance in ("30.0", "20.0"):
        assert f"\x1b[1m{chance}" not in styled


def test_the_terminal_shows_intervals_on_request(tmp_path: Path) -> None:
    write(tmp_path / "m.csv", [Figure("d", "saliency", "x", "multi", "iou", 0.5, 7, 2, 0, 0.42, 0.61)], {})
    assert "50.0 (42.0 to 61.0)" in printed(tmp_path, tmp_path / "m.csv", intervals=True)[0]
    assert "42.0" not in printed(tmp_path, tmp_path / "m.csv")[0]


def test_show_prints_the_warnings_of_a_table(tmp_path: Path) -> None:
    write(tmp_path / "m.csv", [figure("d", "heap", "iou", 0.5)], {"warnings": ["2 true masks have grey pixels"]})
    output = CliRunner().invoke(app, ["show", str(tmp_path / "m.csv")]).output
    assert "warning: 2 true masks have grey pixels" in output


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n"])
def test_another_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.csv").write_text(text)
    with pytest.raises(DataError, match=r"other\.csv"):
        Source.read(tmp_path / "other.csv")
