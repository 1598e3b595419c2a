"""Names of strangers reach terminal and log as text: no escape sequence, no line of their own."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from heap.terminal import Console, LogFormatter, echo, echo_json, error_text, printable

EVIL = "a\x1b[2J\nheap: error: forged\x9b31m\r\u202egpj.x\udcff"
SHOWN = r"a\x1b[2J\nheap: error: forged\x9b31m\r\u202egpj.x\xff"


def test_control_characters_are_written_out_and_other_signs_stay() -> None:
    assert printable(EVIL) == SHOWN
    assert printable("Käfer 日 🌻 (1).jpg") == "Käfer 日 🌻 (1).jpg"


def test_an_echo_is_one_line_whatever_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    echo(EVIL, Path("b"))
    assert capsys.readouterr().out == f"{SHOWN}\nb\n"
    echo_json({"name": "a\x9b\x1b"})
    text = capsys.readouterr().out
    assert "\x9b" not in text
    assert json.loads(text) == {"name": "a\x9b\x1b"}


@pytest.mark.parametrize("cell", [EVIL, Text(EVIL)], ids=["text", "rich text"])
def test_a_table_shows_names_and_sends_nothing(cell: str | Text) -> None:
    stream = io.StringIO()
    table = Table("name", "n")
    table.add_row(cell, "1")
    Console(file=stream, width=200).print(table)
    text = stream.getvalue()
    assert not set(text) & set("\x1b\x9b\r\u202e\udcff")
    assert r"\x1b[2J" in text
    assert not any(line.startswith("heap") for line in text.splitlines())


def test_a_cell_that_is_wrapped_keeps_all_its_lines() -> None:
    stream = io.StringIO()
    table = Table("name", box=None)
    table.add_row("one two a\nb")
    Console(file=stream, width=9).print(table)
    assert stream.getvalue().split() == ["name", "one", "two", r"a\nb"]


def test_a_log_line_is_one_line_and_a_traceback_keeps_its_own() -> None:
    formatter = LogFormatter("%(levelname)s %(message)s")
    record = logging.LogRecord("heap", logging.INFO, "", 0, "read %s", (EVIL,), None)
    assert formatter.format(record) == f"INFO read {SHOWN}"
    try:
        raise ValueError("x")
    except ValueError:
        record.exc_info = sys.exc_info()
    assert formatter.format(record).splitlines()[1].startswith("Traceback")


def test_an_error_keeps_its_lines_and_none_begins_at_the_edge() -> None:
    assert error_text("a\x1b\nb\n  c") == "a\\x1b\n  b\n    c"


def test_the_command_line_prints_errors_escaped() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "heap", "check", "no\x1b[31m\nheap: error: x.yaml"], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
    assert sum(line.startswith("heap: error: ") for line in done.stderr.splitlines()) == 1
