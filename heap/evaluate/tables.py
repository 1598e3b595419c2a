"""Metrics tables: one figure a row, and next to the table a JSON that says what produced it."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

import heap
from heap import parquet
from heap.errors import DataError
from heap.files import CSV_SHA256, atomic_path, check_csv, file_sha256, write_json
from heap.spreadsheet import unquoted, write_csv

# Packages whose version can move a figure.
_PACKAGES = ("numpy", "scipy", "pandas", "pillow", "pycocotools", "torch", "timm", "zarr")
PERCENT = ("corloc",)
# More digits than any protocol resolves, and free of the noise of binary fractions.
DIGITS = "%.10g"
UNITS = {"corloc": "percent", "every other metric": "fraction, 0 to 1"}


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        dataset: whose photos.
        task: saliency, discovery, instances, retrieval or semantic.
        method: whose maps.
        variant: which reading, see `heap.evaluate.tasks`.
        metric: its name.
        value: a fraction from 0 to 1; `corloc` is in percent, as its peers print it.
        images: photos the figure is over.
        skipped: photos of the split that are not in it (unreadable, without truth); the JSON lists them.
        fallbacks: photos where a rule of ours stepped in for an empty prediction.
        low: lower end of the value's 95 % interval (`heap.evaluate.bootstrap`), in its unit; None where there is none.
        high: upper end.
    """

    dataset: str
    task: str
    method: str
    variant: str
    metric: str
    value: float
    images: int
    skipped: int
    fallbacks: int
    low: float | None = None
    high: float | None = None


COLUMNS = (
    "dataset", "task", "method", "variant", "metric", "value", "low", "high", "images", "skipped", "fallbacks",
)  # fmt: skip
# Tables of older runs, and of other programs, need not have intervals.
NEEDED = tuple(column for column in COLUMNS if column not in ("low", "high", "skipped", "fallbacks"))


def write(path: str | Path, figures: Sequence[Figure], about: dict[str, Any]) -> None:
    """Write the table, and `about` with units and package versions into the `.json` next to it; both atomically.

    Raises:
        DataError: a figure is not finite, or two rows claim to be the same figure.
    """
    path = Path(path)
    seen: set[tuple[str, ...]] = set()
    for figure in figures:
        name = (figure.dataset, figure.task, figure.method, figure.variant, figure.metric)
        if not math.isfinite(figure.value):
            raise DataError(f"{path}: {' '.join(name)} is {figure.value}")
        if name in seen:
            raise DataError(f"{path}: {' '.join(name)} is asked for twice")
        seen.add(name)
    # The table last: it is what the workflow waits for.
    with atomic_path(path) as temporary:
        write_csv(temporary, pd.DataFrame([asdict(figure) for figure in figures])[list(COLUMNS)], DIGITS)
        produced_by = {"units": UNITS, "versions": versions(), CSV_SHA256: file_sha256(temporary)}
        write_json(path.with_suffix(".json"), {**about, **produced_by})


def write_photos(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table of one row a photo: as CSV (ten digits a number), or as Parquet where the name ends so."""
    if Path(path).suffix.lower() == ".parquet":
        parquet.write(path, table)
    else:
        write_csv(path, table, DIGITS)


def read(path: str | Path) -> pd.DataFrame:
    """Read a metrics table; columns that it may lack are there, empty.

    Raises:
        DataError: missing, damaged, or no metrics table; names it.
    """
    if not Path(path).is_file():
        raise DataError(
            f"{path}: no such file, expected a metrics table: results/BENCHMARK_metrics.csv, made by "
            "`snakemake --cores all results/BENCHMARK_metrics.csv`, or what `heap score --out` wrote"
        )
    check_csv(path)
    try:
        # Nothing but empty numbers is absent: a method may be called "NA".
        table = pd.read_csv(path, keep_default_na=False, na_values={key: [""] for key in ("value", "low", "high")})
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as a table ({error})") from error
    missing = [column for column in NEEDED if column not in table]
    if missing:
        raise DataError(f"{path}: not a metrics table (columns missing: {', '.join(missing)})")
    if not pd.api.types.is_numeric_dtype(table["value"]) or table["value"].isna().any():
        raise DataError(f"{path}: not a metrics table (a value that is no number)")
    for column in COLUMNS:
        if column not in table:
            table[column] = math.nan if column in ("low", "high") else 0
    names = ["dataset", "task", "method", "variant", "metric"]
    for column in set(COLUMNS) - set(names):
        whole = column not in ("value", "low", "high")
        if not pd.api.types.is_numeric_dtype(table[column]) or (whole and not (table[column] % 1 == 0).all()):
            raise DataError(f"{path}: not a metrics table ({column} holds what is no {'count' if whole else 'number'})")
    texts = {name: table[name].astype(str).map(unquoted) for name in names}
    return table.assign(**texts)


def versions() -> dict[str, str]:
    """Return the versions of Python, of HEAP and of the packages that can move a figure."""
    found = {"python": platform.python_version(), "heap": heap.__version__}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
