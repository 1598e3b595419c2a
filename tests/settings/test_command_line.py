"""What `snakemake --config` gives as text becomes what the same words mean in the configuration's file."""

from __future__ import annotations

from typing import Any

import pytest
from snakemake.cli import parse_config

from heap.settings.command_line import typed

ODD = {"b": True, "c": "2012-01-01", "d": "2012-13-45", "e": "[1", "f": ""}


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("train={seeds: [0, 1], learning_rate: 5.0e-4}", {"train": {"seeds": [0, 1], "learning_rate": 5e-4}}),
        ("data={root: /data/ECSSD, max_px: null}", {"data": {"root": "/data/ECSSD", "max_px": None}}),
        ("odd={b: true, c: 2012-01-01, d: '2012-13-45', e: '[1', f: ''}", {"odd": ODD}),
    ],
)
def test_words_mean_what_they_mean_in_a_file(words: str, meant: dict[str, Any]) -> None:
    assert typed(parse_config([words])) == meant
