"""Training curves of the page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from heap.errors import DataError
from heap.files import atomic_path
from heap.report.words import COLUMNS, CURVES

Values = npt.NDArray[np.floating | np.integer]
Lines = Sequence[tuple[Values, Values]]

# A curve is drawn in this colour and the page's own text colour put in its place, so that it reads in the dark too.
INK = "#010203"
LINE = "#010204"


@dataclass(frozen=True)
class Curve:
    """One column of a training's history.

    Attributes:
        name: of the column.
        about: what it means, or "".
        alt: the curve in words.
        svg: the drawing; its ink is the page's text colour.
    """

    name: str
    about: str
    alt: str
    svg: str


@dataclass(frozen=True)
class History:
    """The curves of one model."""

    model: str
    curves: list[Curve]

    @property
    def groups(self) -> list[tuple[str, str, list[Curve]]]:
        """The curves under headings that say what they tell: heading, a sentence, curves."""
        parts = []
        for title, sentence, names in CURVES:
            of_part = [curve for curve in self.curves if curve.name in names]
            parts.append((title, sentence, of_part))
        known = {name for _, _, names in CURVES for name in names}
        parts.append(("Others", "", [curve for curve in self.curves if curve.name not in known]))
        return [part for part in parts if part[2]]


def read_history(path: str | Path) -> History:
    """Return the curves of a training: every numeric column of `{model}.csv` over its iterations, a line a seed.

    Raises:
        DataError: missing, or without a column `iteration`.
    """
    return History(Path(path).stem, [_curve(name, lines) for name, lines in read_lines(path)])


def read_lines(path: str | Path) -> list[tuple[str, Lines]]:
    """Return for each numeric column of a training's history its lines, x and y `(n,)`, the chosen seed's first.

    Raises:
        DataError: missing, or without a column `iteration`.
    """
    try:
        frame = pd.read_csv(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except ValueError as error:
        raise DataError(f"{path}: not readable as CSV ({error})") from error
    if "iteration" not in frame:
        raise DataError(f"{path}: not a training history (no column iteration)")
    if not pd.api.types.is_numeric_dtype(frame["iteration"]):
        raise DataError(f"{path}: not a training history (an iteration that is no number)")
    seeds = [frame] if "seed" not in frame else [of_seed for _, of_seed in frame.groupby("seed", sort=True)]
    # The chosen seed first: its line is the one that is described.
    seeds.sort(key=lambda of_seed: "chosen" not in of_seed or not bool(of_seed["chosen"].iat[0]))
    found: list[tuple[str, Lines]] = []
    for name in frame.select_dtypes("number").columns.drop(["iteration", "seed"], errors="ignore"):
        points = [of_seed[["iteration", name]].dropna() for of_seed in seeds]
        lines = [(one["iteration"].to_numpy(), one[name].to_numpy()) for one in points if len(one)]
        if lines:
            found.append((str(name), lines))
    return found


def _curve(name: str, lines: Lines) -> Curve:
    iterations, values = lines[0]
    alt = (
        f"{name} from {values[0]:.3g} at iteration {iterations[0]:.0f} to {values[-1]:.3g} at iteration "
        f"{iterations[-1]:.0f}; least {values.min():.3g}, most {values.max():.3g}"
    )
    if len(lines) > 1:
        alt += f"; the other {len(lines) - 1} seeds end at " + ", ".join(f"{y[-1]:.3g}" for _, y in lines[1:])
    return Curve(name, COLUMNS.get(name, ""), alt, draw(lines, salt=name))


def draw(lines: Lines, salt: str) -> str:
    """Return a small line plot as SVG to stand in a page: no addresses, no ids that clash, the page's own colours.

    Args:
        lines: x and y of each, `(n,)`; the first stands out, the others are faint.
        salt: makes the ids inside the drawing, and keeps them the same from run to run.
    """
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",  # text stays text: it is read aloud, and takes the page's font
        "svg.hashsalt": salt,
        "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
        "font.size": 10,
    }  # fmt: skip
    with mpl.rc_context(settings):
        figure = Figure(figsize=(3.2, 1.7), layout="constrained")
        axes = figure.add_subplot()
        _plot(axes, lines, LINE)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)  # HTML knows these names by itself
    svg = re.sub(r' id="[a-zA-Z0-9.]+_\d+"', "", svg)  # figure_1, axes_1, ...: the same in every drawing
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace(INK, "currentColor").replace(LINE, "var(--line)").replace("<svg", '<svg aria-hidden="true"', 1)


def _plot(axes: Axes, lines: Lines, colour: str) -> None:
    """Draw the lines of one column: the first stands out, the others are faint."""
    for number, (x, y) in enumerate(lines):
        look: dict[str, Any] = {"linewidth": 1.6, "zorder": 3} if number == 0 else {"linewidth": 0.8, "alpha": 0.45}
        axes.plot(x, y, color=colour, marker="o" if len(x) == 1 else None, **look)
    axes.spines[["top", "right"]].set_visible(False)
    axes.locator_params(nbins=4)
    axes.margins(x=0.01)


def draw_history(history: str | Path, out: str | Path) -> None:
    """Write all curves of a training as one picture on white, a panel a column; the suffix of `out` is its format.

    Raises:
        DataError: the history is missing, not one, or empty.
    """
    found = read_lines(history)
    if not found:
        raise DataError(f"{history}: has no figures to draw")
    columns = 4
    rows = -(-len(found) // columns)
    settings: dict[Any, Any] = {"svg.hashsalt": "heap", "font.size": 9, "axes.titlesize": 9}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(3 * columns, 1.8 * rows + 0.4), layout="constrained")
        figure.suptitle(f"Training of {Path(history).stem}", fontsize=11)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (name, lines) in zip(panels, found, strict=False):
            axes.set_title(name, loc="left")
            _plot(axes, lines, "#b04a00")
        for axes in panels[len(found) :]:
            axes.set_axis_off()
        with atomic_path(out) as temporary:
            metadata = {"Date": None} if Path(out).suffix == ".svg" else None
            figure.savefig(temporary, dpi=150, metadata=metadata)
