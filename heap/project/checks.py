"""What is wrong before the first job runs, with the key of the configuration that says so."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from heap import paths
from heap.errors import EncoderError
from heap.settings import Config
from heap.settings.models import DescriptorEncoder


def problems(config: Config, jobs: Iterable[tuple[str, Mapping[str, str]]], on_this_machine: bool) -> list[str]:
    """Return a line for each folder, weights file or device that jobs will ask for in vain.

    Args:
        config: the configuration.
        jobs: rule and wildcards of the jobs that will run.
        on_this_machine: jobs run here, and not on the nodes of a cluster.
    """
    lines: dict[str, None] = {}
    rules = set()
    for rule, wildcards in jobs:
        rules.add(rule)
        if rule == "fetch":
            name, root = wildcards["files"], config.datasets[wildcards["files"]].root
            if root is not None and not Path(root).expanduser().is_dir():
                looked = Path(root).expanduser().absolute()
                found = f"datasets.{name}.root: {root!r} is no folder (looked for {looked})"
                lines[f"{found}, expected the folder that holds the dataset's files: correct the key, or mount it"] = (
                    None
                )
        elif rule == "weights":
            encoder = config.encoders[wildcards["encoder"]]
            file = "auto" if isinstance(encoder, DescriptorEncoder) else encoder.weights
            if file not in ("auto", "random") and not Path(file).expanduser().is_file():
                lines[
                    f"encoders.{wildcards['encoder']}.weights: {file!r}: no such file, expected a checkpoint, or auto"
                ] = None
    asked = os.environ.get("HEAP_DEVICE", "auto")
    if on_this_machine and asked not in ("auto", "cpu") and rules & {"extract", "train", "group"}:
        from heap.encoders.open import choose_device  # torch takes seconds to load

        try:
            choose_device(asked)
        except EncoderError as error:
            lines[f"HEAP_DEVICE: {error}"] = None
    return list(lines)


def nearest(config: Config, target: str) -> list[str]:
    """Return the targets that are spelled most like one that no rule makes."""
    benchmarks = (paths.metrics, paths.comparison, paths.report, paths.seeds)
    datasets = (paths.masks, paths.clusters, paths.manifest, paths.features, paths.pictures, paths.instances)
    known = [of(name) for of in benchmarks for name in config.benchmarks]
    known += [of(name) for of in datasets for name in config.datasets]
    known += [of(name) for of in (paths.head, paths.model, paths.curves) for name in config.models]
    known += [paths.clusters(name) for name in config.collections] + [paths.ablation()]
    return difflib.get_close_matches(target, known, n=3, cutoff=0.7)
