"""The commands `heap show` and `heap compare`: metrics tables for people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def show(
    metrics: Annotated[list[Path], typer.Argument(help="Metrics tables: results/BENCHMARK_metrics.csv.")],
    intervals: Annotated[bool, typer.Option("--intervals", help="Show the 95 % intervals too.")] = False,
) -> None:
    """Print metrics tables in the terminal: methods down, figures across, one table a task."""
    from rich.console import Console

    from heap.evaluate.show import pretty

    for path in metrics:
        for table in pretty(path, intervals):
            Console().print(table)


def compare(
    metrics: Annotated[list[Path], typer.Argument(help="Metrics CSVs, of benchmarks or of `heap score`.")],
    out: Annotated[Path | None, typer.Option("--out", help="File: .md, .tex (booktabs) or .csv.")] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Only this figure; may be repeated.")] = None,
    second: Annotated[bool, typer.Option("--second", help="Underline the second best.")] = False,
    intervals: Annotated[bool, typer.Option("--intervals", help="Print the 95 % intervals too.")] = False,
) -> None:
    """Put the methods of several metrics tables side by side, as papers do: methods down, figures across, in percent.

    **Example:** `heap compare results/ecssd_metrics.csv mine.csv --second --out table.tex`

    Without `--out` the tables are printed as Markdown. The caption names encoders that are not trained ones.
    """
    from heap.report import compare as comparison

    sources = [comparison.Source.read(path) for path in metrics]
    if out is None:
        typer.echo(comparison.markdown(comparison.compare(sources, metric or []), second, intervals), nl=False)
    else:
        comparison.write(out, sources, metric or [], second, intervals)
