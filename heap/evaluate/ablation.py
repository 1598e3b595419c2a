"""What each part of the method is worth: a benchmark's figures for variants of the training, over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from heap.errors import DataError
from heap.evaluate.pairs import Run
from heap.evaluate.seeds import figures_of_seeds, over_seeds, publish
from heap.files import read_json
from heap.settings.config import ABLATION
from heap.settings.freeze import read_frozen, section
from heap.settings.stages import AblationSettings, BenchmarkSettings


def ablation(
    frozen: Path, manifests: Sequence[Path], maps: Sequence[Path], features: Sequence[Path], out: Path
) -> None:
    """Measure the maps of every variant and seed; write `ablation,dataset,task,method,variant,metric,mean,...`.

    `ablation` is the variant of the training, `variant` that of the metric, as in every table; the rest as in the
    table over seeds. The JSON next to it tells what each variant changed, and the sha256 of every head.

    Args:
        frozen: frozen settings of the stage ablation.
        manifests: of the benchmark's datasets.
        maps: receipts of maps, of each variant, seed and dataset; each says itself of which. In the order of the table.
        features: receipts of features; only retrieval reads them.
        out: the table; its JSON goes next to it.

    Raises:
        DataError: a variant or a seed of the settings has no maps, or maps are of none of them.
    """
    settings = read_frozen(frozen, "ablation")
    benchmark: BenchmarkSettings = section(settings, "benchmark", BenchmarkSettings)
    asked: AblationSettings = section(settings, "ablation", AblationSettings)
    of_variant: dict[str, dict[int, list[Path]]] = {}
    heads: dict[str, dict[str, str]] = {}
    for path in maps:
        receipt = read_json(path)
        model = str(receipt.get("model")) if isinstance(receipt, dict) else ""
        variant = model.removeprefix(ABLATION)
        if variant == model or variant not in asked.variants or receipt.get("seed") not in asked.seeds:
            raise DataError(f"{path}: maps of no variant and seed of the ablation (found model {model or None})")
        of_variant.setdefault(variant, {}).setdefault(receipt["seed"], []).append(path)
        heads.setdefault(variant, {})[f"seed {receipt['seed']}"] = receipt["head_sha256"]
    for variant in asked.variants:
        found = sorted(of_variant.get(variant, {}))
        if found != sorted(asked.seeds):
            raise DataError(f"ablation.variants.{variant}: maps of seeds {found}, expected {sorted(asked.seeds)}")
    run = Run(progress=out.with_name(f"progress.{out.stem}.json"))
    tables = []
    for variant, of_seed in of_variant.items():
        table = over_seeds(figures_of_seeds(benchmark, manifests, of_seed, features, run))
        table.insert(0, "ablation", variant)
        tables.append(table)
    publish(out, pd.concat(tables), benchmark, settings, {"ablation": settings["ablation"], "heads": heads})
