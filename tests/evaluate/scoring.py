"""Calls `heap score` in this process and reads what it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from typer.testing import CliRunner

from heap.cli import app


class Called:
    """One call of the command line: its tables, or the error that it raised."""

    def __init__(self, folder: Path, *arguments: str | Path, bootstrap: int = 0) -> None:
        self.out, self.per_image = folder / "out.csv", folder / "photos.csv"
        for path in (self.out, self.per_image):
            path.unlink(missing_ok=True)
        options = ["--out", self.out, "--per-image", self.per_image, "--bootstrap", bootstrap]
        self.result = CliRunner().invoke(app, ["score", *map(str, [*arguments, *options])], env={"COLUMNS": "160"})

    @property
    def error(self) -> str:
        assert self.result.exception is not None, self.result.output
        assert not self.out.exists()
        return f"{type(self.result.exception).__name__}: {self.result.exception}"

    @property
    def table(self) -> pd.DataFrame:
        if self.result.exception is not None:
            raise self.result.exception
        return pd.read_csv(self.out)

    @property
    def photos(self) -> pd.DataFrame:
        return pd.read_csv(self.per_image, dtype={"photo": str})

    @property
    def about(self) -> Any:
        return json.loads(self.out.with_suffix(".json").read_text())

    def value(self, metric: str, variant: str | None = None) -> float:
        rows = self.table[self.table["metric"] == metric]
        rows = rows if variant is None else rows[rows["variant"] == variant]
        (value,) = rows["value"]
        return float(value)


def save(path: Path, values: Any) -> Path:
    """Write an 8-bit grey image; True is 255."""
    values = np.asarray(values)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8) * 255 if values.dtype == bool else values.astype(np.uint8)).save(path)
    return path
