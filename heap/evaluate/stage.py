"""Stage `evaluate`: every task of a benchmark, for every method, into one table."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from heap.data import manifest as manifests_of
from heap.errors import DataError
from heap.evaluate import tables
from heap.evaluate.measures import Resampling
from heap.evaluate.pairs import Outcome, Run
from heap.evaluate.predictions import Features, Maps
from heap.evaluate.tables import Figure
from heap.evaluate.tasks import Dataset, run_task
from heap.files import read_json
from heap.segment.masks_json import read_masks
from heap.settings.freeze import read_frozen, section
from heap.settings.stages import (
    BenchmarkSettings,
    EvaluateSettings,
    InstancesTask,
    RetrievalTask,
    SemanticTask,
    Task,
)

log = logging.getLogger("heap")

# What a map's receipt says of its own files, and what the table's JSON tells elsewhere.
_NOT_TOLD = ("store", "skipped", "images", "dataset", "method")


def evaluate(
    frozen: Path,
    manifests: Sequence[Path],
    maps: Sequence[Path],
    features: Sequence[Path],
    masks: Sequence[Path],
    out_csv: Path,
    workers: int | None = None,
    out_photos: Path | None = None,
) -> None:
    """Measure a benchmark. Files come in any order: each says itself which dataset (and method) it is of.

    Args:
        frozen: frozen settings of the stage.
        manifests: of the benchmark's datasets.
        maps: receipts of patch maps, each of one method and dataset.
        features: receipts of features; only retrieval reads them.
        masks: COCO instances; only the tasks instances and semantic read them.
        out_csv: the table; its JSON goes next to it.
        workers: processes; None takes as many as cores and photos occupy. Figures do not depend on it.
        out_photos: Parquet (or CSV, by its name) of each photo's own figures; None writes none.

    Raises:
        DataError: something a task needs is missing, or does not fit.
    """
    settings = read_frozen(frozen, "evaluate")
    benchmark: BenchmarkSettings = section(settings, "benchmark", BenchmarkSettings)
    out_csv = Path(out_csv)
    datasets = gather(benchmark.tasks, manifests, maps, features, masks)
    shared: EvaluateSettings = section(settings, "evaluate", EvaluateSettings)
    resampling = Resampling(shared.bootstrap, shared.seed)
    progress = out_csv.with_name(f"progress.{out_csv.stem}.json")
    run = Run(workers, progress, resampling, float(settings["smoothing"]))
    figures: list[Figure] = []
    rows: list[pd.DataFrame] = []  # columns of numbers: a tenth of the same rows as dictionaries
    outcomes: list[dict[str, Any]] = []
    for task in benchmark.tasks:
        for outcome in run_task(task, benchmark.tasks, datasets[task.dataset], benchmark.methods, run):
            names = task.dataset, task.task, outcome.key[0]
            figures += outcome.figures(*names)
            rows.append(outcome.photos(*names))
            outcomes.append(_record(task, outcome))
    warnings = [f"{d.name}: {w}" for d in datasets.values() for w in d.manifest.info["warnings"]]
    warnings += [f"{t['dataset']} {t['task']}: {w}" for t in outcomes for w in t.get("truth_warnings", [])]
    warnings += [f"{t['dataset']} {t['task']} {t['method']}: {w}" for t in outcomes for w in t.get("warnings", [])]
    warnings = list(dict.fromkeys(warnings))  # all methods share the ground truth
    for warning in warnings:
        log.warning("%s", warning)
    about = {
        "benchmark": settings["name"],
        "settings": settings,
        "datasets": {name: _about(dataset) for name, dataset in datasets.items()},
        "tasks": outcomes,
        "warnings": warnings,
    }
    if out_photos is not None:
        tables.write_photos(out_photos, pd.concat(rows, ignore_index=True))
    tables.write(out_csv, figures, about)
    progress.unlink(missing_ok=True)


def gather(
    tasks: Iterable[Task],
    manifests: Sequence[Path],
    maps: Sequence[Path],
    features: Sequence[Path],
    masks: Sequence[Path],
) -> dict[str, Dataset]:
    """Return the tasks' datasets, in the order of the tasks, each with the files that say they are of it.

    Raises:
        DataError: a file does not say what it is of, two say the same, or a dataset has no manifest.
    """
    tasks = list(tasks)
    listed = {path: manifests_of.read(path) for path in manifests}
    of_dataset = _unique((str(manifest.info["dataset"]), path) for path, manifest in listed.items())
    of_map = _unique((f"{_say(path, 'method')} on {_say(path, 'dataset')}", path) for path in maps)
    of_features = _unique((_say(path, "dataset"), path) for path in features)
    # Instances can be large, and only reading them tells whose they are: not read at all where no task wants them.
    wanted = {task.dataset for task in tasks if isinstance(task, SemanticTask | InstancesTask)}
    of_masks: dict[str, dict[str, Any]] = {}
    for path in masks if wanted else ():
        instances = read_masks(path)
        name = str(instances["info"]["dataset"])
        if name in of_masks:
            raise DataError(f"{path}: a second masks JSON of {name}")
        if name in wanted:
            of_masks[name] = instances
    found: dict[str, Dataset] = {}
    for task in tasks:
        name = task.dataset
        if name in found:
            continue
        if name not in of_dataset:
            raise DataError(f"{name}: no manifest of this dataset among {len(manifests)} given")
        by_method = {
            key.removesuffix(f" on {name}"): Maps(path) for key, path in of_map.items() if key.endswith(f" on {name}")
        }
        store = Features(of_features[name]) if name in of_features else None
        found[name] = Dataset(listed[of_dataset[name]], by_method, store, of_masks.get(name))
    return found


def _say(receipt: Path, key: str) -> str:
    value = read_json(receipt)
    if not isinstance(value, dict) or not isinstance(value.get(key), str):
        raise DataError(f"{receipt}: a receipt that does not say its {key}")
    return str(value[key])


def _unique(pairs: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, path in pairs:
        if name in found:
            raise DataError(f"{path}: of {name}, like {found[name]}")
        found[name] = path
    return found


def _record(task: Task, outcome: Outcome) -> dict[str, Any]:
    """Return what the JSON says of one task and method."""
    method, mark = outcome.key
    return {
        "dataset": task.dataset,
        "task": task.task,
        "split": f"{task.gallery}-{task.query}" if isinstance(task, RetrievalTask) else task.split,
        "method": method,
        "smoothed": bool(mark),
        **outcome.counts,
        **outcome.measured.notes,
    }


def _about(dataset: Dataset) -> dict[str, Any]:
    """Return what the JSON tells of one dataset: its counts, its encoder, and how its maps were made."""
    receipts = {method: maps.reader.receipt.as_json() for method, maps in dataset.maps.items()}
    return {
        "images": dataset.manifest.info["images"],
        "expected_images": dataset.manifest.info["expected_images"],
        "skipped": dataset.manifest.info["skipped"],
        "maps": {
            method: {key: value for key, value in receipt.items() if key not in _NOT_TOLD}
            for method, receipt in receipts.items()
        },
    }
