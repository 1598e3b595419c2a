"""Regions and search results for people and for other programs: tables in the terminal, CSV, Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.table import Column, Table
from rich.text import Text

from heap import parquet
from heap.discover.result import Discovery, Region
from heap.errors import DataError
from heap.spreadsheet import write_csv
from heap.terminal import Console


def print_regions(found: Discovery) -> None:
    """Print one row a region of a photo."""
    height, width = found.size
    table = Table("region", "foreground", "cluster", "area %", "box (x1 y1 x2 y2)", box=None)
    for one in sorted(found.regions, key=lambda region: -region.foreground):
        share = 100 * one.area_px / (height * width)
        table.add_row(str(one.token), f"{one.foreground:.2f}", str(one.cluster), f"{share:.1f}", _box(one.box))
    console = Console()
    console.print(Text(f"{found.name}: {len(found.regions)} regions, {len(found.instances)} objects"))
    console.print(table)


def print_hits(found: Discovery, queries: Sequence[Region], hits: pd.DataFrame) -> None:
    """Print one row a region that was found."""
    # Without lines, and long names broken: of 80 columns nothing is cut off.
    table = Table("rank", "cosine", "dataset", Column("photo", overflow="fold"), "like region", "cluster", "kind",
                  "box (x1 y1 x2 y2)", box=None, pad_edge=False)  # fmt: skip
    for _, hit in hits.iterrows():
        box = _box([hit[name] for name in ("x1", "y1", "x2", "y2")])
        # As Text: a photo's name may hold what rich takes for markup.
        table.add_row(
            str(hit["rank"]), f"{hit['similarity']:.3f}", str(hit["dataset"]), Text(str(hit["photo"])),
            str(hit["query"]), str(hit["cluster"]), str(hit["kind"]), box,
        )  # fmt: skip
    numbers = ", ".join(str(region.token) for region in queries)
    console = Console()
    console.print(Text(f"{found.name}: searched with region {numbers}"))
    console.print(table)


def write_hits(path: Path, hits: pd.DataFrame) -> None:
    """Write what was found as .csv or .parquet.

    Raises:
        DataError: another suffix.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise DataError(f"{path}: expected .csv or .parquet")
    if path.suffix == ".csv":
        write_csv(path, hits)
    else:
        parquet.write(path, hits)


def _box(box: Sequence[int]) -> str:
    return " ".join(str(int(side)) for side in box)
