"""A spreadsheet that opens a CSV of ours runs nothing that a stranger wrote."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heap.spreadsheet import quoted, unquoted, write_csv


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"), ("@SUM(1)", "'@SUM(1)"), ("+x", "'+x"), ("-p.jpg", "'-p.jpg"),
        ("\t=1", "'\t=1"), ("'=1", "''=1"), ("-1.5e3", "-1.5e3"), ("plain", "plain"), ("a=b", "a=b"),
        ("'quote", "'quote"), ("", ""),
    ],
)  # fmt: skip
def test_formulas_become_text_and_numbers_stay(text: str, cell: str) -> None:
    assert quoted(text) == cell
    assert unquoted(cell) == text


@given(st.text(alphabet="=+-@'\t\r1a", max_size=6))
def test_what_is_quoted_is_read_as_it_was(text: str) -> None:
    assert unquoted(quoted(text)) == text


def test_names_and_headings_are_quoted_and_figures_are_not(tmp_path: Path) -> None:
    table = pd.DataFrame({"photo": ["=1+1", "b", None], "=x": [-1.5, 2.0, float("nan")]})
    write_csv(tmp_path / "t.csv", table)
    rows = list(csv.reader((tmp_path / "t.csv").open()))
    assert rows == [["photo", "'=x"], ["'=1+1", "-1.5"], ["b", "2.0"], ["", ""]]
