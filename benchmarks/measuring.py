"""What the benchmarks of the feature cache share: interleaved timing, real photos, tables and CSV.

Each figure is a median over repetitions, and the things compared take turns, so that a machine that slows down for a
while slows all of them.
"""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "data" / "ecssd" / "images"


def photo_files(folder: Path, count: int) -> list[Path]:
    """Return `count` photos of a folder, spread over it."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not files:
        raise SystemExit(f"{folder}: no photos; give a folder with --photos")
    return files[:: max(1, len(files) // count)][:count]


def table_of(files: Sequence[Path], sizes: Sequence[tuple[int, int]]) -> pd.DataFrame:
    """Return a manifest's table of photos with the given (height, width)."""
    return pd.DataFrame(
        {
            "image_id": [path.stem for path in files], "path": [str(path) for path in files], "split": "",
            "height_px": [height for height, _ in sizes], "width_px": [width for _, width in sizes],
        }
    )  # fmt: skip


def in_turns(
    jobs: dict[str, Callable[[], Any]], repeats: int, seconds: float, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Return the seconds each job took, in rounds; at most `repeats` rounds, and no new one after `seconds`."""
    found: dict[str, list[float]] = {name: [] for name in jobs}
    started = time.perf_counter()
    for number in range(repeats):
        if number and time.perf_counter() - started > seconds:
            break
        for name, job in jobs.items():
            begun = clock()
            job()
            found[name].append(clock() - begun)
    return found


def ratio(above: list[float], below: list[float]) -> float:
    """Return the median over rounds of how many times faster `above` was than `below`, from their seconds."""
    return statistics.median(b / a for a, b in zip(above, below, strict=True))


def show(title: str, rows: list[dict[str, Any]], out: Path | None) -> None:
    """Print rows as a table; write them to a CSV too."""
    table = Table(title=title)
    for name in rows[0]:
        table.add_column(name, justify="left" if isinstance(rows[0][name], str) else "right")
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=140).print(table)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
