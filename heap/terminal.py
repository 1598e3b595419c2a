"""What people read, in the terminal and in logs: control characters of foreign names are shown, never obeyed.

Names of photos and texts of a model come from strangers. An escape sequence in one could colour, clear or rewrite the
terminal, and a newline could forge a line of a log. Every line goes through here; the linter refuses other ways.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any

import rich.console
import typer
from rich.segment import Segment
from rich.text import Text

from heap.files import dump_json

# C0 and C1, the other line ends, marks that reverse the direction of reading, and halves of characters (bytes of a
# file name that are not UTF-8), which cannot be printed at all.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: object) -> str:
    r"""Return a text as one line without control characters: they are written as \n, \x1b, \u2028, bytes as \xff."""
    return _CONTROL.sub(_written_out, str(text))


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # Python's stand-in for a byte
        return f"\\x{code - 0xDC00:02x}"
    return found[0].encode("unicode_escape").decode("ascii")


def echo(*lines: object, err: bool = False) -> None:
    """Print lines to the terminal, each of them one line whatever names it holds."""
    for line in lines:
        typer.echo(printable(line), err=err)


def echo_json(value: Any) -> None:
    r"""Print JSON for programs; control characters within it are escaped as JSON escapes them."""
    text = dump_json(value).rstrip("\n")
    typer.echo("\n".join(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", line) for line in text.split("\n")))


def error_text(error: object) -> str:
    """Return what is printed for an error: our own line breaks stay, but no line after the first begins at the edge."""
    return "\n  ".join(printable(line) for line in str(error).split("\n"))


class Console(rich.console.Console):
    """rich's console; cells and texts of tables are printable whatever they hold."""

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """Yield rich's segments. Texts are made printable before they are wrapped: line breaks after it are rich's."""
        if isinstance(renderable, str):
            renderable = printable(renderable)
        elif isinstance(renderable, Text) and _CONTROL.search(renderable.plain):
            renderable = Text(printable(renderable.plain), renderable.style)
        return super().render(renderable, options)


class LogFormatter(logging.Formatter):
    """One line a message, of our own code and of libraries; a traceback after it keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return printable(super().formatMessage(record))


def set_up_logging(level: int) -> None:
    """Log to stderr, through `LogFormatter`."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=level, handlers=[handler])
