"""Metrics tables for people: methods down, figures across."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from rich.console import Group
from rich.table import Table
from rich.text import Text

from heap.evaluate.tables import PERCENT, read


def pretty(path: str | Path, intervals: bool = False) -> Iterator[Group]:
    """Yield one table for each dataset, task and variant of a metrics CSV; the best figure of a column is bold.

    Args:
        path: the CSV.
        intervals: show the 95 % intervals that it holds.

    Raises:
        DataError: the file is missing, or no metrics table.
    """
    yield from tables_of(read(path), intervals)


def tables_of(metrics: pd.DataFrame, intervals: bool = False) -> Iterator[Group]:
    """Yield the tables of metrics that are read already; see `pretty`."""
    for (dataset, task, variant), rows in metrics.groupby(["dataset", "task", "variant"], sort=False):
        counts = f"{rows['images'].iat[0]} photos, {rows['skipped'].iat[0]} skipped"
        wide = rows.pivot(index="method", columns="metric", values="value")
        wide = wide.reindex(index=rows["method"].unique(), columns=rows["metric"].unique())
        ends = {(row.method, row.metric): (row.low, row.high) for row in rows.itertuples()} if intervals else {}
        title = Text(f"{dataset}, {task} ({variant}): {counts}")  # above the table, which would break it to its width
        table = Table()
        table.add_column("method")
        for metric in wide.columns:
            table.add_column(f"{metric} %" if metric in PERCENT else str(metric), justify="right")
        for method, values in wide.iterrows():
            cells = []
            for metric, value in values.items():
                digits = 1 if metric in PERCENT else 3
                text = f"{value:.{digits}f}"
                best = len(wide) > 1 and value == wide[metric].max()
                low, high = ends.get((method, metric), (None, None))
                interval = "" if pd.isna(low) else f" {low:.{digits}f}-{high:.{digits}f}"
                cells.append(Text.assemble((text, "bold" if best else ""), (interval, "dim")))
            table.add_row(Text(str(method)), *cells)
        yield Group(title, table)
