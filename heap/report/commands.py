"""The commands `heap show`, `compare`, `curves` and `pictures`: tables and pictures for people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heap.terminal import Console, echo


def show(
    metrics: Annotated[list[Path], typer.Argument(help="Metrics tables: results/BENCHMARK_metrics.csv.")],
    intervals: Annotated[bool, typer.Option("--intervals", help="Show the 95 % intervals too.")] = False,
) -> None:
    """Print metrics tables in the terminal: methods down, figures across, one table a task."""
    from heap.evaluate.comparison import Source, compare
    from heap.evaluate.writers import terminal

    for path in metrics:
        source = Source.read(path)
        for table in terminal(compare([source]), intervals):
            Console().print(table)
        echo(*(f"warning: {warning}" for warning in source.warnings))


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
    from heap.evaluate import comparison, writers

    sources = [comparison.Source.read(path) for path in metrics]
    if out is None:
        text = writers.markdown(comparison.compare(sources, metric or []), second, intervals)
        echo(*text.removesuffix("\n").split("\n"))
    else:
        writers.write(out, sources, metric or [], second, intervals)


def curves(
    history: Annotated[Path, typer.Argument(help="History of a training: results/head/MODEL.csv.")],
    out: Annotated[Path, typer.Option("--out", help="Picture: .svg, .png or .pdf.")],
) -> None:
    """Draw the losses and diagnostics of a training as one picture."""
    from heap.report.figures import draw_history

    draw_history(history, out)
