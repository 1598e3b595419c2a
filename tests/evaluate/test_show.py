"""The terminal's tables hold the figures of the CSV, and the best is marked."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from heap.errors import DataError
from heap.evaluate.show import pretty
from heap.evaluate.tables import Figure, write


def test_figures_stand_where_they_belong(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    figures = [
        Figure("ecssd", "discovery", method, "largest", metric, value, 7, 2, 0)
        for method, corloc, other in (("heap", 71.26, 0.5), ("everything", 30.0, 0.75))
        for metric, value in (("corloc", corloc), ("mean_iou", other))
    ]
    write(path, figures, {})
    (table,) = pretty(path)
    console = Console(width=120, record=True, file=(tmp_path / "sink").open("w"))
    console.print(table)
    lines = console.export_text().splitlines()
    heap = next(line for line in lines if "heap" in line and "photos" not in line)
    assert "71.3" in heap
    assert "0.500" in heap
    assert any("corloc %" in line for line in lines)
    assert "7 photos, 2 skipped" in lines[0]


def test_intervals_are_shown_on_request(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    write(path, [Figure("d", "saliency", "[heap]", "multi", "iou", 0.5, 7, 0, 0, 0.42, 0.61)], {})
    texts = []
    for intervals in (False, True):
        console = Console(width=120, record=True, file=(tmp_path / "sink").open("w"))
        console.print(*pretty(path, intervals))
        texts.append(console.export_text())
    assert "0.500 0.420-0.610" in texts[1]
    assert "0.420" not in texts[0]
    assert "[heap]" in texts[0]  # no markup of rich


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n"])
def test_another_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=r"other\.csv"):
        list(pretty(path))
