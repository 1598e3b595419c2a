"""Comparison tables for the terminal and as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import rich.table
from rich.console import Group
from rich.text import Text

from heap.errors import DataError
from heap.evaluate.comparison import Cell, Source, Table, compare
from heap.evaluate.names import metric_name
from heap.files import write_text
from heap.spreadsheet import quoted

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


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


def terminal(found: Sequence[Table], intervals: bool = False) -> Iterator[Group]:
    """Yield the tables for rich; names of methods are never cut."""
    for table in found:
        shown = rich.table.Table()
        shown.add_column("method", no_wrap=True)
        one_dataset = len({dataset for dataset, _ in table.columns}) == 1
        for heading, (_, metric) in zip(table.headings, table.columns, strict=True):
            shown.add_column(Text(metric_name(metric) if one_dataset else heading), justify="right")
        for row in table.rows:
            cells = []
            for cell in row.cells:
                cell = cell or Cell("", "")
                interval = f" ({cell.interval})" if intervals and cell.interval else ""
                cells.append(Text.assemble((cell.text, "bold" if cell.rank == 1 else ""), (interval, "dim")))
            shown.add_row(Text(row.method), *cells)
        # Above the table, which would break it to its width.
        yield Group(Text(table.title, "bold"), shown, Text(" ".join(table.notes), "dim"))


def markdown(found: Sequence[Table], second: bool = False, intervals: bool = False) -> str:
    """Return the tables as Markdown."""

    def shown(cell: Cell | None) -> str:
        if cell is None:
            return ""
        marks = {1: ("**", "**"), 2: ("<u>", "</u>") if second else ("", "")}.get(cell.rank, ("", ""))
        return f"{marks[0]}{cell.text}{marks[1]}" + (f" ({cell.interval})" if intervals and cell.interval else "")

    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"

    parts = []
    for table in found:
        text = f"### {table.title}\n\n"
        text += row(["method", *table.headings])
        text += row(["---", *["---:"] * len(table.columns)])
        text += "".join(row([one.method, *map(shown, one.cells)]) for one in table.rows)
        parts.append(text + "\n" + " ".join(table.notes) + "\n")
    return "\n".join(parts)


def latex(found: Sequence[Table], second: bool = False, intervals: bool = False) -> str:
    """Return the tables as LaTeX; they need the package booktabs."""

    def shown(cell: Cell | None) -> str:
        if cell is None:
            return "--"
        mark = {1: r"\textbf{%s}", 2: r"\underline{%s}" if second else "%s"}.get(cell.rank, "%s")
        interval = rf" {{\scriptsize ({cell.interval})}}" if intervals and cell.interval else ""
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
            rf"\caption{{{_escaped(f'{table.title}. ' + ' '.join(table.notes))}}}",
            rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
            r"\toprule",
            " & ".join(["", *heads]) + r" \\",
            "".join(rules),
            " & ".join(["method", *(_escaped(metric_name(metric)) for _, metric in table.columns)]) + r" \\",
            r"\midrule",
            *(" & ".join([_escaped(one.method), *map(shown, one.cells)]) + r" \\" for one in table.rows),
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
    suffixes = ("", " interval") if intervals else ("",)
    figures = [f"{dataset} {metric}{suffix}" for dataset, metric in columns for suffix in suffixes]
    writer.writerow(map(quoted, ["task", "variant", "method", *figures]))
    for table in found:
        for one in table.rows:
            cell_of = dict(zip(table.columns, one.cells, strict=True))
            values = []
            for column in columns:
                cell = cell_of.get(column)
                values += ["" if cell is None else cell.text]
                values += ["" if cell is None else cell.interval] if intervals else []
            writer.writerow(map(quoted, [table.task, table.variant, one.method, *values]))
    return buffer.getvalue()


FORMATS: dict[str, Callable[[Sequence[Table], bool, bool], str]] = {".md": markdown, ".tex": latex, ".csv": as_csv}


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)
