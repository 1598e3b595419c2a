"""What the site's pages are completed with while MkDocs builds them: equations as MathML, and the generated tables."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from typing import Any

from latex2mathml.converter import convert

from heap.project.reference import reference

_EQUATION = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content: str, **_: Any) -> str:
    """Turn LaTeX into MathML, which browsers draw themselves: no script, no server."""

    def mathml(found: re.Match[str]) -> str:
        display = "block" if found[2] == "[" else "inline"
        return convert(html.unescape(found[3]).strip(), display=display)

    return _EQUATION.sub(mathml, content)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what is generated from the code in place of its marker."""
    for marker, generate in {"<!-- configuration keys -->": reference, "<!-- commands -->": commands}.items():
        if marker in markdown:
            markdown = markdown.replace(marker, generate())
    return markdown


def commands() -> str:
    """Return the help of every command, as Typer writes it, without its lists of half sentences, below one heading."""
    typer = [sys.executable, "-m", "typer", "heap.cli", "utils", "docs", "--name", "heap"]
    text = subprocess.run(typer, check=True, capture_output=True, text=True).stdout
    text = re.sub(r"^\*\*Commands\*\*:\n\n(\* .*\n)+", "", text, flags=re.MULTILINE)
    return re.sub(r"^(#+ )", r"#\1", text, flags=re.MULTILINE)
