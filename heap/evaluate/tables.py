"""Metrics tables: one figure a row, and beside the table a JSON that says what produced it."""

from __future__ import annotations

import csv
import math
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any

import heap
from heap.errors import DataError
from heap.files import atomic_path, write_json

# Packages whose version can move a figure.
_PACKAGES = ("numpy", "scipy", "pandas", "pillow", "pycocotools", "torch", "timm", "zarr")
PERCENT = ("corloc",)
UNITS = {"corloc": "percent", "every other metric": "fraction, 0 to 1"}


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        dataset: whose photos.
        task: saliency, discovery, retrieval or semantic.
        method: whose maps.
        variant: which reading, see `heap.evaluate.tasks`.
        metric: its name.
        value: a fraction from 0 to 1; `corloc` is in percent, as its peers print it.
        images: photos the figure is over.
        skipped: photos of the split that are not in it (unreadable, without truth); the JSON lists them.
        fallbacks: photos where a rule of ours stepped in for an empty prediction.
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


COLUMNS = tuple(field.name for field in fields(Figure))


def write(path: str | Path, figures: Sequence[Figure], about: dict[str, Any]) -> None:
    """Write the table, and `about` with units and package versions into the `.json` beside it; both atomically.

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
    write_json(path.with_suffix(".json"), {**about, "units": UNITS, "versions": versions()})
    # The table last: it is what the workflow waits for.
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        # Ten digits: more than any protocol resolves, and free of the noise of binary fractions.
        writer.writerows({**asdict(figure), "value": format(figure.value, ".10g")} for figure in figures)


def versions() -> dict[str, str]:
    """Return the versions of Python, of HEAP and of the packages that can move a figure."""
    found = {"python": platform.python_version(), "heap": heap.__version__}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
