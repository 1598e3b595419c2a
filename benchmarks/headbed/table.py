"""The command line of both test beds: baselines, recipes and seeds into one table."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml

from benchmarks.headbed import baselines, score
from benchmarks.headbed.bed import Bed
from benchmarks.headbed.recipes import RECIPES, settings
from benchmarks.headbed.trial import trial
from heap.head.choose import best_of, figure_of_merit

SHARED = Path(__file__).parents[3] / "shared"


def main(about: str, beds: list[str], make: Callable[[str, Path, bool], Bed]) -> None:
    """Parse the command line, run, print and write.

    Args:
        about: the script's docstring.
        beds: names of the beds, the first is the default.
        make: name, folder of ../shared and `coarse` to a bed.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bed", nargs="+", default=beds[:1], choices=beds, help="test beds")
    parser.add_argument("--recipes", nargs="+", default=["shipped"], help=f"`all`, or of: {'; '.join(RECIPES)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="seeds of each recipe")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="keys of train: head.num_groups=8")
    parser.add_argument("--coarse", action="store_true", help="train on a quarter of the patches, for a first look")
    parser.add_argument("--no-baselines", action="store_true", help="the head alone")
    parser.add_argument(
        "--found", nargs="+", type=int, default=[], metavar="ITERATIONS",
        help="train FOUND's head too, minutes each, with its seed kept for so many of 500 iterations (published: 100)",
    )  # fmt: skip
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder of photos, masks and weights")
    parser.add_argument("--out", type=Path, help="CSV of every trial, appended to while it runs")
    chosen = parser.parse_args()
    if chosen.found and chosen.coarse:
        parser.error("--found needs the full grid: the solver looks at photos of 8 px a patch")
    changes = {key: yaml.safe_load(value) for key, _, value in (item.partition("=") for item in chosen.set)}
    names = list(RECIPES) if chosen.recipes == ["all"] else chosen.recipes
    torch.set_num_threads(1)  # figures do not depend on the machine's cores
    rows: list[dict[str, object]] = []
    for name in chosen.bed:
        bed = make(name, chosen.shared, chosen.coarse)
        if not chosen.no_baselines:
            photos = bed.scored["test"]
            truths = [bed.truth[i] for i in photos]
            for method, maps in baselines.maps(bed, photos, chosen.found).items():
                figures = {f"test_{k}": v for k, v in score.figures(maps, truths).items()}
                _note(rows, {"bed": bed.name, "recipe": method, **figures}, chosen.out)
        for recipe in names:
            trials = []
            for seed in chosen.seeds:
                row = trial(bed, settings({**RECIPES[recipe], **changes}, seed))
                signs = {key.removeprefix("d_"): value for key, value in row.items() if key.startswith("d_")}
                trials.append(signs)
                _note(rows, {"recipe": recipe, "merit": figure_of_merit(signs), **row}, chosen.out)
            at = best_of(trials)
            print(f"{bed.name}, {recipe}: without labels, seed {chosen.seeds[at]} is chosen", flush=True)
    table = pd.DataFrame(rows)
    columns = [c for c in ("iou", "corloc", "area", "own_iou", "own_corloc", "oracle") if f"test_{c}" in table]
    wanted = {f"test_{c}": ["mean", "std", "min"] if c == "iou" else ["mean"] for c in columns}
    wanted |= {c: ["mean", "std"] for c in table.columns if c.startswith("class_")}
    if "d_rho" in table:
        wanted |= {"d_rho": ["mean"], "val_iou": ["mean"]}
    summary = table.groupby(["bed", "recipe"], sort=False).agg(wanted)
    summary.columns = [
        f"{a.removeprefix('test_').removeprefix('class_')} {b}".removesuffix(" mean") for a, b in summary.columns
    ]
    print(summary.round(3).replace(np.nan, "").to_string())


def _note(rows: list[dict[str, object]], row: dict[str, object], out: Path | None) -> None:
    """Keep a row, in the file too: a long table that is interrupted has measured something."""
    rows.append(row)
    print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items() if not k.startswith("d_")}, flush=True)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(out, index=False)
