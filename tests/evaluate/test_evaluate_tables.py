from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

from heap.errors import DataError
from heap.evaluate.tables import Figure, read, write

FIGURE = Figure("ecssd", "saliency", "heap", "multi", "iou", 1 / 3, 298, 2, 0)


def test_one_row_a_figure_and_what_made_it_beside(tmp_path: Path) -> None:
    path = tmp_path / "ecssd_metrics.csv"
    write(path, [FIGURE, dataclasses.replace(FIGURE, metric="acc", value=1.0)], {"settings": {"name": "ecssd"}})
    assert path.read_bytes().splitlines()[:2] == [
        b"dataset,task,method,variant,metric,value,low,high,images,skipped,fallbacks",
        b"ecssd,saliency,heap,multi,iou,0.3333333333,,,298,2,0",
    ]
    assert pd.read_csv(path)["value"].tolist() == pytest.approx([1 / 3, 1])
    about = json.loads((tmp_path / "ecssd_metrics.json").read_text())
    assert about["settings"] == {"name": "ecssd"}
    assert about["units"]["corloc"] == "percent"
    assert about["versions"]["numpy"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_is_none_is_not_written(tmp_path: Path, value: float) -> None:
    with pytest.raises(DataError, match="ecssd saliency heap multi iou is"):
        write(tmp_path / "t.csv", [dataclasses.replace(FIGURE, value=value)], {})
    assert list(tmp_path.iterdir()) == []


def test_two_figures_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="asked for twice"):
        write(tmp_path / "t.csv", [FIGURE, FIGURE], {})


def test_a_table_that_is_not_there_says_how_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"gone\.csv: no such file, expected a metrics table: .* `snakemake --cores all"
    ):
        read(tmp_path / "gone.csv")
