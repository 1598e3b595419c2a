"""Metrics tables for people: methods down, figures across."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from rich.console import Group
from rich.table import Table
from rich.text import Text

from heap.errors import DataError
from heap.evaluate.tables import COLUMNS, PERCENT


def pretty(path: str | Path) -> Iterator[Group]:
    """Yield one table for each dataset, task and variant of a metrics CSV; the best figure of a column is bold.

    Raises:
        DataError: the file is missing, or no metrics table.
    """
    try:
        metrics = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as a table ({error})") from error
    missing = [column for column in COLUMNS if column not in metrics]
    if missing:
        raise DataError(f"{path}: not a metrics table (columns missing: {', '.join(missing)})")
    for (dataset, task, variant), rows in metrics.groupby(["dataset", "task", "variant"], sort=False):
        counts = f"{rows['images'].iat[0]} photos, {rows['skipped'].iat[0]} skipped"
        wide = rows.pivot(index="method", columns="metric", values="value")
        wide = wide.reindex(index=rows["method"].unique(), columns=rows["metric"].unique())
        title = Text(f"{dataset}, {task} ({variant}): {counts}")  # above the table, which would break it to its width
        table = Table()
        table.add_column("method")
        for metric in wide.columns:
            table.add_column(f"{metric} %" if metric in PERCENT else str(metric), justify="right")
        for method, values in wide.iterrows():
            cells = []
            for metric, value in values.items():
                text = f"{value:.1f}" if metric in PERCENT else f"{value:.3f}"
                best = len(wide) > 1 and value == wide[metric].max()
                cells.append(f"[bold]{text}[/bold]" if best else text)
            table.add_row(str(method), *cells)
        yield Group(title, table)
