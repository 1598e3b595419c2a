"""What the scorer leaves: a metrics CSV like a benchmark's, its JSON, rows of photos, tables in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from heap.errors import DataError
from heap.evaluate import measures, tables
from heap.evaluate.comparison import Source, compare
from heap.evaluate.pairs import Outcome
from heap.evaluate.problems import SHOWN
from heap.evaluate.score.tasks import Inputs
from heap.evaluate.writers import terminal
from heap.files import file_sha256
from heap.terminal import Console


@dataclass(frozen=True)
class Outputs:
    """Where results go and how they are named.

    Attributes:
        out: metrics CSV; None writes none.
        per_image: one row a photo; None writes none.
        dataset: name in the table; None takes the truth's.
        method: name in the table; None takes the predictions'.
    """

    out: Path | None = None
    per_image: Path | None = None
    dataset: str | None = None
    method: str | None = None

    def check(self, inputs: Inputs) -> None:
        """Refuse outputs that would be written in vain or over something else, before the work is done.

        Raises:
            DataError: a name that ends in another suffix, an output that is an input, or two outputs of one name.
        """
        for path, suffixes in ((self.out, (".csv",)), (self.per_image, (".csv", ".parquet"))):
            if path is not None and path.suffix.lower() not in suffixes:
                raise DataError(f"{path}: expected a name that ends in {' or '.join(suffixes)}")
        taken = [inputs.pred, inputs.truth, inputs.listed]
        written = [path for path in (self.out, self.out and self.out.with_suffix(".json"), self.per_image) if path]
        for position, path in enumerate(written):
            if path in taken or path in written[:position]:
                raise DataError(f"{path}: would be written over")


def finish(task: str, scored: Outcome, inputs: Inputs, outputs: Outputs, options: Mapping[str, Any]) -> None:
    """Write what is asked for and print the table.

    Args:
        task: its name in tables.
        scored: what the task gave.
        inputs: what it was given; recorded in the JSON.
        outputs: where results go.
        options: of the task; recorded in the JSON.
    """
    names = outputs.dataset or _name(inputs.truth), task, outputs.method or _name(inputs.pred)
    figures = scored.figures(*names)
    about = {
        "scored": task,
        "method": names[2],
        "inputs": {key: _told(path) for key, path in (("pred", inputs.pred), ("truth", inputs.truth))},
        "list": None if inputs.listed is None else _told(inputs.listed),
        "options": {**options, "bootstrap": asdict(inputs.resampling)},
        **scored.counts,
        "counts": scored.measured.notes,
        "warnings": measures.warnings_of(scored.measured.notes),
    }
    if outputs.per_image is not None:
        tables.write_photos(outputs.per_image, scored.photos(*names))
    if outputs.out is not None:
        tables.write(outputs.out, figures, about)
    console = Console()
    source = Source(inputs.pred, pd.DataFrame([asdict(figure) for figure in figures]), about)
    for table in terminal(compare([source]), intervals=True):
        console.print(table)
    _remark(console, scored)


def _remark(console: Console, scored: Outcome) -> None:
    """Print what a reader of the figures should know and a table does not show."""

    def some(names: list[str]) -> str:
        return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")

    fallbacks, notes = scored.measured.fallbacks, scored.measured.notes
    if fallbacks:
        console.print(f"{len(fallbacks)} empty predictions, counted as wrong: {some(fallbacks)}", markup=False)
    if scored.skipped:
        photos = some([item["photo"] for item in scored.skipped])
        console.print(f"{len(scored.skipped)} photos left out ({scored.skipped[0]['reason']}): {photos}", markup=False)
    for warning in measures.warnings_of(notes):
        console.print(f"warning: {warning}", markup=False, style="yellow", soft_wrap=True)
    for key, value in notes.items():
        if value and key not in measures.WARNINGS:
            console.print(f"{key.replace('_', ' ')}: {value}", markup=False, style="dim")


def _name(path: Path) -> str:
    path = path.resolve()
    return path.name if path.is_dir() else path.stem


def _told(path: Path) -> dict[str, str]:
    """Return where an input lies, and which bytes it had where it is a single file."""
    source = {"path": str(path.resolve())}
    return source if path.is_dir() else {**source, "sha256": file_sha256(path)}
