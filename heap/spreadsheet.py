"""CSV files that a spreadsheet may open: text that it would run as a formula is written as text.

Names of photos, methods and datasets come from strangers. A cell that begins with = + - @ (or a tab or carriage return
before them) is a formula to Excel and LibreOffice; a ' in front makes it text (OWASP, "CSV Injection"). Numbers stay.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from heap.files import atomic_path

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def quoted(text: str) -> str:
    """Return a cell's text with a ' in front where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) and not _is_number(text) else text


def unquoted(text: str) -> str:
    """Return the text of which `quoted` made this."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(_FORMULA) else text


def write_csv(path: str | Path, table: pd.DataFrame, float_format: str | None = None) -> None:
    """Write a table as CSV, whole or not at all."""
    safe = table.rename(columns=quoted)
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = safe[name].map(_cell)
    with atomic_path(path) as temporary:
        safe.to_csv(temporary, index=False, float_format=float_format, lineterminator="\n")


def _cell(value: Any) -> Any:
    return quoted(value) if isinstance(value, str) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
