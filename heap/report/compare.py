"""Comparison tables of several methods from one or more metrics CSVs: CSV, Markdown, LaTeX.

One table for each task and reading, methods down, figures across, in percent with one decimal as the field prints them.
The best figure of a column is bold, the second underlined where asked for; figures that print alike are marked alike.
The caption tells what a reader must know before comparing: an encoder that is not a trained one, methods measured on
different photos, tables that nobody knows the origin of.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from heap.errors import DataError
from heap.evaluate import tables
from heap.files import read_json, write_text
from heap.report.words import encoder_kind, metric_name, task_name
from heap.spreadsheet import quoted

# In percent already; every other figure is a fraction. As `heap.evaluate.tables`.
ALREADY_PERCENT = tables.PERCENT
LOWER_IS_BETTER = ("mae",)
# What chance alone gives: more of it is no merit.
NOT_RANKED = ("miou_shuffled", "miou_objects_shuffled", "nmi_shuffled")
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A metrics table and what is told of it.

    Attributes:
        path: of the CSV.
        table: its rows.
        about: the JSON beside it, or None.
    """

    path: Path
    table: pd.DataFrame
    about: dict[str, Any] | None

    @classmethod
    def read(cls, path: str | Path) -> Source:
        """Read a metrics CSV and the JSON beside it.

        Raises:
            DataError: the CSV is missing or no metrics table, or the JSON is damaged.
        """
        path = Path(path)
        beside = path.with_suffix(".json")
        about = read_json(beside) if beside.is_file() else None
        return cls(path, tables.read(path), about if isinstance(about, dict) else None)


@dataclass(frozen=True)
class Cell:
    """One figure as it is printed; `rank` 1 is the best of its column, 2 the second, 0 any other."""

    text: str
    interval: str
    rank: int = 0


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        task: in plain words.
        variant: the reading.
        columns: (dataset, metric) of each figure.
        rows: method and its figures, None where it has none.
        notes: sentences of the caption.
    """

    task: str
    variant: str
    columns: list[tuple[str, str]]
    rows: list[tuple[str, list[Cell | None]]]
    notes: list[str]


def compare(sources: Sequence[Source], metrics: Sequence[str] = ()) -> list[Table]:
    """Return the tables of all sources together, in the order of their rows.

    Args:
        sources: a method that stands in several with the same figures' names is told apart by the file's name.
        metrics: only these figures; none named takes all.

    Raises:
        DataError: nothing is left to compare, or one source holds a figure twice.
    """
    rows = _joined(sources)
    if metrics:
        unknown = [metric for metric in metrics if metric not in set(rows["metric"])]
        if unknown:
            there = ", ".join(dict.fromkeys(rows["metric"]))
            raise DataError(f"no figure is called {', '.join(unknown)} (there are: {there})")
        rows = rows[rows["metric"].isin(metrics)]
    if rows.empty:
        raise DataError(f"no figures in {', '.join(str(source.path) for source in sources)}")
    return [
        _table(str(task), str(variant), part, sources)
        for (task, variant), part in rows.groupby(["task", "variant"], sort=False)
    ]


def write(
    out: str | Path, sources: Sequence[Source], metrics: Sequence[str] = (), second: bool = False,
    intervals: bool = False,
) -> None:  # fmt: skip
    """Write a comparison in the format that the file's name asks for: `.md`, `.tex` or `.csv`.

    Raises:
        DataError: the name asks for another format, or as `compare`.
    """
    out = Path(out)
    if out.suffix.lower() not in FORMATS:
        raise DataError(f"{out}: expected a name that ends in {', '.join(FORMATS)}")
    write_text(out, FORMATS[out.suffix.lower()](compare(sources, metrics), second, intervals))


def markdown(found: Sequence[Table], second: bool = False, intervals: bool = False) -> str:
    """Return the tables as Markdown."""

    def shown(cell: Cell | None) -> str:
        if cell is None:
            return ""
        marks = {1: ("**", "**"), 2: ("<u>", "</u>") if second else ("", "")}.get(cell.rank, ("", ""))
        return f"{marks[0]}{cell.text}{marks[1]}" + (f" {cell.interval}" if intervals and cell.interval else "")

    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"

    parts = []
    for table in found:
        text = f"### {table.task} ({table.variant})\n\n"
        text += row(["method", *(f"{dataset} {metric_name(metric)}" for dataset, metric in table.columns)])
        text += row(["---", *["---:"] * len(table.columns)])
        text += "".join(row([method, *map(shown, cells)]) for method, cells in table.rows)
        parts.append(text + "\n" + " ".join(table.notes) + "\n")
    return "\n".join(parts)


def latex(found: Sequence[Table], second: bool = False, intervals: bool = False) -> str:
    """Return the tables as LaTeX; they need the package booktabs."""

    def shown(cell: Cell | None) -> str:
        if cell is None:
            return "--"
        mark = {1: r"\textbf{%s}", 2: r"\underline{%s}" if second else "%s"}.get(cell.rank, "%s")
        interval = rf" {{\scriptsize {cell.interval}}}" if intervals and cell.interval else ""
        return mark % cell.text + interval

    parts = ["% needs \\usepackage{booktabs}\n"]
    for table in found:
        datasets = list(dict.fromkeys(dataset for dataset, _ in table.columns))
        heads, rules, first = [], [], 2
        for dataset in datasets:
            count = sum(name == dataset for name, _ in table.columns)
            heads.append(rf"\multicolumn{{{count}}}{{c}}{{{_escaped(dataset)}}}")
            rules.append(rf"\cmidrule(lr){{{first}-{first + count - 1}}}")
            first += count
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escaped(f'{table.task} ({table.variant}). ' + ' '.join(table.notes))}}}",
            rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
            r"\toprule",
            " & ".join(["", *heads]) + r" \\",
            "".join(rules),
            " & ".join(["method", *(_escaped(metric_name(metric)) for _, metric in table.columns)]) + r" \\",
            r"\midrule",
            *(" & ".join([_escaped(method), *map(shown, cells)]) + r" \\" for method, cells in table.rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def as_csv(found: Sequence[Table], second: bool = False, intervals: bool = False) -> str:
    """Return the tables as one CSV, a row a task, reading and method; marks have no place in it."""
    del second
    columns = list(dict.fromkeys(column for table in found for column in table.columns))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    suffixes = ("", " low-high") if intervals else ("",)
    figures = [f"{dataset} {metric}{suffix}" for dataset, metric in columns for suffix in suffixes]
    writer.writerow(map(quoted, ["task", "variant", "method", *figures]))
    for table in found:
        for method, cells in table.rows:
            cell_of = dict(zip(table.columns, cells, strict=True))
            values = []
            for column in columns:
                cell = cell_of.get(column)
                values += ["" if cell is None else cell.text]
                values += ["" if cell is None else cell.interval.strip("[]")] if intervals else []
            writer.writerow(map(quoted, [table.task, table.variant, method, *values]))
    return buffer.getvalue()


FORMATS: dict[str, Callable[[Sequence[Table], bool, bool], str]] = {".md": markdown, ".tex": latex, ".csv": as_csv}


def _joined(sources: Sequence[Source]) -> pd.DataFrame:
    """Return all rows; a method of which two sources tell the same figure is named with its file."""
    key = ["dataset", "task", "method", "variant", "metric"]
    for source in sources:
        twice = source.table[source.table.duplicated(key)]
        if len(twice):
            raise DataError(f"{source.path}: {' '.join(map(str, twice.iloc[0][key]))} stands twice")
    rows = pd.concat([source.table.assign(file=number) for number, source in enumerate(sources)], ignore_index=True)
    clashing = set(rows.loc[rows.duplicated(key, keep=False), "method"])
    stems = [source.path.stem.removesuffix("_metrics") for source in sources]
    names = stems if len(set(stems)) == len(stems) else [str(source.path) for source in sources]
    if len(set(names)) < len(names):
        raise DataError(f"a table stands twice among {', '.join(names)}")
    shown = [
        f"{method} ({names[file]})" if method in clashing else method
        for method, file in zip(rows["method"], rows["file"], strict=True)
    ]
    return rows.assign(shown=shown)


def _table(task: str, variant: str, rows: pd.DataFrame, sources: Sequence[Source]) -> Table:
    columns = list(dict.fromkeys(zip(rows["dataset"], rows["metric"], strict=True)))
    columns.sort(key=lambda column: list(dict.fromkeys(rows["dataset"])).index(column[0]))
    methods = list(dict.fromkeys(rows["shown"]))
    cells: dict[tuple[str, tuple[str, str]], Cell] = {}
    for column in columns:
        of_column = rows[(rows["dataset"] == column[0]) & (rows["metric"] == column[1])]
        scale = 1 if column[1] in ALREADY_PERCENT else 100
        texts = {row.shown: f"{scale * row.value:.1f}" for row in of_column.itertuples()}
        # By what is printed: two methods that print 71.3 are equally good to a reader.
        best = sorted(set(map(float, texts.values())), reverse=column[1] not in LOWER_IS_BETTER)
        for row in of_column.itertuples():
            interval = "" if pd.isna(row.low) else f"[{scale * row.low:.1f}, {scale * row.high:.1f}]"
            cell = Cell(texts[row.shown], interval)
            rank = 1 + best.index(float(cell.text))
            ranked = rank <= 2 and len(texts) > 1 and column[1] not in NOT_RANKED
            cells[row.shown, column] = replace(cell, rank=rank if ranked else 0)
    listed = [(method, [cells.get((method, column)) for column in columns]) for method in methods]
    # "Saliency: the mask against the true mask" is a heading of the page; a table's name is its first word.
    return Table(task_name(task).split(":")[0], variant, columns, listed, _notes(task, rows, sources))


def _notes(task: str, rows: pd.DataFrame, sources: Sequence[Source]) -> list[str]:
    notes = []
    for dataset, part in rows.groupby("dataset", sort=False):
        counts = {int(images): sorted(set(of["shown"])) for images, of in part.groupby("images", sort=False)}
        if len(counts) == 1:
            notes.append(f"{dataset}: {next(iter(counts))} photos.")
        else:
            told = "; ".join(f"{images} for {', '.join(methods)}" for images, methods in counts.items())
            notes.append(f"{dataset}: NOT THE SAME PHOTOS ({told}).")
    notes.insert(0, "In percent, the best of each column bold.")
    for number, source in enumerate(sources):
        mine = rows[rows["file"] == number]
        if mine.empty:
            continue
        if source.about is None:
            notes.append(f"What produced {source.path.name} is not recorded.")
        elif "scored" in source.about:
            names = ", ".join(dict.fromkeys(mine["shown"]))
            notes.append(f"{names}: scored from files; what made them is not recorded.")
        else:
            notes += _encoders(source.about, mine)
    return list(dict.fromkeys(notes))


def _encoders(about: dict[str, Any], rows: pd.DataFrame) -> list[str]:
    """Return a sentence for each encoder that is not a trained one with known weights."""
    words = {
        "untrained": "an UNTRAINED encoder",
        "hand-made": "HAND-MADE features, not a trained encoder",
        "unverified": "weights nobody verified",
    }
    found: dict[tuple[str, str], list[str]] = {}
    for dataset in dict.fromkeys(rows["dataset"]):
        maps = about.get("datasets", {}).get(dataset, {}).get("maps", {})
        for method, shown in dict(zip(rows["method"], rows["shown"], strict=True)).items():
            label = str(maps.get(method, {}).get("encoder", ""))
            kind = encoder_kind(label)
            if label and kind in words:
                found.setdefault((label, kind), []).append(shown)
    return [
        f"{', '.join(dict.fromkeys(methods))}: {words[kind]} ({label})." for (label, kind), methods in found.items()
    ]


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)
