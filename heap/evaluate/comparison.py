"""Tables of figures for people, of one or more metrics CSVs; `heap.evaluate.writers` prints them.

One table for each task and reading, methods down, figures across, in percent with one decimal as the field prints them.
The best figure of a column is bold, the second underlined where asked for; figures that print alike are marked alike.
The caption tells what a reader must know before comparing: an encoder that is not a trained one, methods measured on
different photos, tables that nobody knows the origin of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from heap.errors import DataError
from heap.evaluate import tables
from heap.evaluate.names import encoder_kind, method_name, metric_name, task_name
from heap.files import read_json

LOWER_IS_BETTER = ("mae",)
# What chance alone gives: more of it is no merit.
NOT_RANKED = ("miou_shuffled", "miou_objects_shuffled", "nmi_shuffled")


@dataclass(frozen=True)
class Source:
    """A metrics table and what is said of it.

    Attributes:
        path: of the CSV.
        table: its rows.
        about: the JSON next to it, or None.
    """

    path: Path
    table: pd.DataFrame
    about: dict[str, Any] | None

    @property
    def warnings(self) -> list[str]:
        """What of the table needs an eye."""
        return [str(warning) for warning in (self.about or {}).get("warnings", [])]

    @classmethod
    def read(cls, path: str | Path) -> Source:
        """Read a metrics CSV and the JSON next to it.

        Raises:
            DataError: the CSV is missing or no metrics table, or the JSON is damaged.
        """
        path = Path(path)
        sidecar = path.with_suffix(".json")
        about = read_json(sidecar) if sidecar.is_file() else None
        return cls(path, tables.read(path), about if isinstance(about, dict) else None)


@dataclass(frozen=True)
class Cell:
    """One figure as it is printed; `rank` 1 is the best of its column, 2 the second, 0 any other."""

    text: str
    interval: str
    rank: int = 0


@dataclass(frozen=True)
class Row:
    """One method; `cells` in the order of the table's columns, None where it has no figure."""

    method: str
    ours: bool
    cells: list[Cell | None]


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        task: in plain words.
        variant: the reading.
        columns: (dataset, metric) of each figure.
        rows: methods.
        notes: sentences of the caption.
    """

    task: str
    variant: str
    columns: list[tuple[str, str]]
    rows: list[Row]
    notes: list[str]

    @property
    def title(self) -> str:
        """Task and reading."""
        return f"{self.task} ({self.variant})" if self.variant else self.task

    @property
    def headings(self) -> list[str]:
        """Name of each column."""
        return [f"{dataset} {metric_name(metric)}" for dataset, metric in self.columns]


def compare(sources: Sequence[Source], metrics: Sequence[str] = ()) -> list[Table]:
    """Return the tables of all sources together, in the order of their rows.

    Args:
        sources: a method that stands in several with the same figures' names is named with the file's name.
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
        f"{method_name(method)} ({names[file]})" if method in clashing else method_name(method)
        for method, file in zip(rows["method"], rows["file"], strict=True)
    ]
    return rows.assign(shown=shown)


def _table(task: str, variant: str, rows: pd.DataFrame, sources: Sequence[Source]) -> Table:
    columns = list(dict.fromkeys(zip(rows["dataset"], rows["metric"], strict=True)))
    columns.sort(key=lambda column: list(dict.fromkeys(rows["dataset"])).index(column[0]))
    cells: dict[tuple[str, tuple[str, str]], Cell] = {}
    for column in columns:
        of_column = rows[(rows["dataset"] == column[0]) & (rows["metric"] == column[1])]
        scale = 1 if column[1] in tables.PERCENT else 100
        texts = {row.shown: f"{scale * row.value:.1f}" for row in of_column.itertuples()}
        # By what is printed: two methods that print 71.3 are equally good to a reader.
        best = sorted(set(map(float, texts.values())), reverse=column[1] not in LOWER_IS_BETTER)
        ranked = len(texts) > 1 and column[1] not in NOT_RANKED
        for row in of_column.itertuples():
            interval = "" if pd.isna(row.low) else f"{scale * row.low:.1f} to {scale * row.high:.1f}"
            rank = 1 + best.index(float(texts[row.shown])) if ranked else 0
            cells[row.shown, column] = Cell(texts[row.shown], interval, rank if rank <= 2 else 0)
    methods = dict(zip(rows["shown"], rows["method"], strict=True))
    listed = [
        Row(shown, method == "heap", [cells.get((shown, column)) for column in columns])
        for shown, method in methods.items()
    ]
    return Table(task_name(task), variant, columns, listed, _notes(rows, sources))


def _notes(rows: pd.DataFrame, sources: Sequence[Source]) -> list[str]:
    notes = ["In percent, the best of each column bold."]
    for dataset, part in rows.groupby("dataset", sort=False):
        counts = {int(images): sorted(set(of["shown"])) for images, of in part.groupby("images", sort=False)}
        left_out = f", {part['skipped'].max()} skipped" if part["skipped"].any() else ""
        if len(counts) == 1:
            notes.append(f"{dataset}: {next(iter(counts))} photos{left_out}.")
        else:
            counted = "; ".join(f"{images} for {', '.join(methods)}" for images, methods in counts.items())
            notes.append(f"{dataset}: NOT THE SAME PHOTOS ({counted}{left_out}).")
        fallbacks = dict(zip(part["shown"], part["fallbacks"], strict=True))
        shown_counts = ", ".join(f"{count} for {shown}" for shown, count in fallbacks.items() if count)
        notes += [f"{dataset}: empty predictions {shown_counts}."] if shown_counts else []
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
    every = list(dict.fromkeys(rows["shown"]))
    notes = []
    for (label, what), shown_as in found.items():
        methods = list(dict.fromkeys(shown_as))
        whose = "All methods" if methods == every and len(every) > 1 else ", ".join(methods)
        notes.append(f"{whose}: {words[what]} ({label}).")
    return notes
