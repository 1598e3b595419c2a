"""How much a benchmark's figures hang on the training's seed: mean and deviation over the heads of all seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from heap.errors import DataError
from heap.evaluate.pairs import Run
from heap.evaluate.stage import gather
from heap.evaluate.tables import versions
from heap.evaluate.tasks import run_task
from heap.files import read_json, write_json
from heap.settings.freeze import read_frozen, section
from heap.settings.stages import BenchmarkSettings, InstancesTask, SemanticTask
from heap.spreadsheet import write_csv

# Tasks that measure masks, of which only the chosen seed has any.
_OF_MASKS = (InstancesTask, SemanticTask)
Key = tuple[str, str, str, str]


def seeds(
    frozen: Path,
    manifests: Sequence[Path],
    maps: Sequence[Path],
    features: Sequence[Path],
    heads: Sequence[Path],
    out: Path,
) -> None:
    """Measure HEAP's maps of every seed and write `dataset,task,variant,metric,mean,deviation,least,most,seeds,...`.

    Semantic and instances are left out, and the JSON next to the table says so: they need masks of each seed.

    Args:
        frozen: frozen settings of the stage evaluate.
        manifests: of the benchmark's datasets.
        maps: receipts of HEAP's maps, of each seed and dataset; each says its seed itself.
        features: receipts of features; only retrieval reads them.
        heads: receipts of the models, which say the chosen seeds.
        out: the table; its JSON goes next to it.

    Raises:
        DataError: maps do not say their seed, or a dataset lacks those of a seed that another has.
    """
    settings = read_frozen(frozen, "evaluate")
    benchmark: BenchmarkSettings = section(settings, "benchmark", BenchmarkSettings)
    of_seed: dict[int, list[Path]] = {}
    chosen_of = {receipt["model"]: receipt["seed"] for receipt in map(read_json, heads)}
    chosen: dict[str, int] = {}  # by dataset
    for path in maps:
        receipt = read_json(path)
        if not isinstance(receipt, dict) or "seed" not in receipt:
            raise DataError(f"{path}: maps that do not say the seed of their head")
        of_seed.setdefault(int(receipt["seed"]), []).append(path)
        chosen[str(receipt["dataset"])] = chosen_of[receipt["model"]]
    run = Run(progress=out.with_name(f"progress.{out.stem}.json"))
    table = over_seeds(figures_of_seeds(benchmark, manifests, of_seed, features, run))
    publish(out, table, benchmark, settings, {"seeds": sorted(of_seed), "chosen": chosen})


def publish(
    out: Path, table: pd.DataFrame, benchmark: BenchmarkSettings, settings: Mapping[str, Any], more: Mapping[str, Any]
) -> None:
    """Write a table over seeds, and next to it what produced it: settings, versions, and what `more` adds."""
    write_json(
        out.with_suffix(".json"),
        {
            "benchmark": settings["name"],
            **more,
            "left_out": left_out(benchmark),
            "settings": settings,
            "versions": versions(),
        },
    )
    write_csv(out, table, "%.10g")
    out.with_name(f"progress.{out.stem}.json").unlink(missing_ok=True)


def left_out(benchmark: BenchmarkSettings) -> list[str]:
    """Return the kinds of the benchmark's tasks that need masks, of which only the chosen seed has any."""
    return [task.task for task in benchmark.tasks if isinstance(task, _OF_MASKS)]


def figures_of_seeds(
    benchmark: BenchmarkSettings,
    manifests: Sequence[Path],
    of_seed: Mapping[int, Sequence[Path]],
    features: Sequence[Path],
    run: Run,
) -> dict[Key, dict[int, float]]:
    """Measure HEAP's maps of each seed; return the value of every (dataset, task, variant, metric) by seed.

    Args:
        benchmark: its tasks; those of masks are left out.
        manifests: of its datasets.
        of_seed: receipts of maps.
        features: receipts of features; only retrieval reads them.
        run: how.
    """
    tasks = [task for task in benchmark.tasks if not isinstance(task, _OF_MASKS)]
    figures: dict[Key, dict[int, float]] = {}
    for seed, files in sorted(of_seed.items()):
        datasets = gather(tasks, manifests, files, features, [])
        for task in tasks:
            for outcome in run_task(task, benchmark.tasks, datasets[task.dataset], ["heap"], run):
                for (variant, metric), value in outcome.measured.figures.items():
                    figures.setdefault((task.dataset, task.task, variant, metric), {})[seed] = value
    return figures


def over_seeds(figures: Mapping[Key, Mapping[int, float]]) -> pd.DataFrame:
    """Return a row a figure: mean, deviation (n - 1; empty for one seed), least and most, and the value of each seed.

    Raises:
        DataError: the figures are not of the same seeds.
    """
    every = sorted({seed for values in figures.values() for seed in values})
    rows = []
    for (dataset, task, variant, metric), values in figures.items():
        if sorted(values) != every:
            raise DataError(f"{dataset} {task}: maps of seeds {sorted(values)}, other tasks have {every}")
        numbers = [values[seed] for seed in every]
        rows.append(
            {
                "dataset": dataset, "task": task, "method": "heap", "variant": variant, "metric": metric,
                "mean": statistics.fmean(numbers),
                "deviation": statistics.stdev(numbers) if len(numbers) > 1 else None,
                "least": min(numbers), "most": max(numbers), "seeds": len(numbers),
                **{f"seed_{seed}": values[seed] for seed in every},
            }
        )  # fmt: skip
    return pd.DataFrame(rows)
