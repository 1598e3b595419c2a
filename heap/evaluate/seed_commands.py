"""`heap seeds` and `heap ablation`: figures over the seeds of trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Frozen = Annotated[
    Path, typer.Option("--settings", help="Frozen settings of this job: results/settings/STAGE/NAME.json.")
]
Manifests = Annotated[list[Path], typer.Option("--manifest", help="Manifests of the benchmark's datasets.")]
Maps = Annotated[list[Path], typer.Option("--maps", help="Receipts of HEAP's maps, of every seed (and variant).")]
Out = Annotated[Path, typer.Option("--out", help="CSV to write; it appears whole or not at all.")]
Features = Annotated[list[Path] | None, typer.Option("--features", help="Receipts of features (retrieval).")]


def seeds(
    settings: Frozen,
    manifest: Manifests,
    maps: Maps,
    head: Annotated[list[Path], typer.Option("--head", help="Receipts of the models, which say the chosen seeds.")],
    out: Out,
    features: Features = None,
) -> None:
    """Measure the head of every seed: mean and deviation of a benchmark's figures (results/settings/evaluate/...)."""
    from heap.evaluate.seeds import seeds as run

    run(settings, manifest, maps, features or [], head, out)


def ablation(settings: Frozen, manifest: Manifests, maps: Maps, out: Out, features: Features = None) -> None:
    """Measure the heads of every variant of the training: mean and deviation over seeds in one table."""
    from heap.evaluate.ablation import ablation as run

    run(settings, manifest, maps, features or [], out)
