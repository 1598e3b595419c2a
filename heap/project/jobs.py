"""What the workflow asks of a configuration: which files a job needs, its settings, its options. No Snakemake in it.

`workflow/rules/common.smk` makes Snakemake's input and parameter functions of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from heap import paths
from heap.files import write_text
from heap.settings import Config, frozen_text
from heap.settings.config import ABLATION
from heap.settings.freeze import frozen_digest
from heap.settings.resolved import STAGES
from heap.stages import STAGES as COMMANDS
from heap.stages import reads


def name_of(wildcards: Iterable[str]) -> str:
    """Return what a job is called: in its log, its measured time and its settings."""
    return ".".join(wildcards) or "all"


class Jobs:
    """The jobs of a configuration.

    Args:
        config: the configuration.
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    def model_of(self, dataset: str) -> str:
        """Return the model that a dataset goes through."""
        return self.config.datasets[dataset].model

    def datasets_of(self, benchmark: str, *tasks: str) -> list[str]:
        """Return the datasets of a benchmark's tasks (of these kinds), each once, in order."""
        chosen = self.config.benchmarks[benchmark].tasks
        return list(dict.fromkeys(task.dataset for task in chosen if not tasks or task.task in tasks))

    def models_of(self, benchmark: str) -> list[str]:
        """Return the models of a benchmark's datasets, each once."""
        return list(dict.fromkeys(map(self.model_of, self.shown(benchmark))))

    def shown(self, page: str, *tasks: str) -> list[str]:
        """Return the datasets of a page: those of the benchmark of its name, or the dataset of its name."""
        return self.datasets_of(page, *tasks) if page in self.config.benchmarks else [page]

    def clustered(self, name: str) -> list[str]:
        """Return the datasets whose regions are clustered together: those of a collection, or a dataset alone."""
        return self.config.collections[name].datasets if name in self.config.collections else [name]

    def of_seeds(self, path: Callable[[str, str], str], head: str) -> list[str]:
        """Return a path of each seed of a model, or of a variant of the ablation."""
        return [path(head, str(seed)) for seed in self.config.train_settings(head).seeds]

    def head(self, by: str, dataset: str) -> str:
        """Return the head that `by` names: `heap`, the chosen one of the dataset's model, or one seed's (`seed_of`)."""
        if by == "heap":
            return paths.head(self.model_of(dataset))
        model, seed = by.rsplit("-seed", 1)
        return paths.seed_head(model, seed)

    def maps(self, benchmark: str) -> list[str]:
        """Return the patch maps of every method of a benchmark, over each of its datasets."""
        methods = self.config.benchmarks[benchmark].methods
        return [paths.maps(method, name) for method in methods for name in self.datasets_of(benchmark)]

    def seed_maps(self, benchmark: str) -> list[str]:
        """Return the maps of the seeds that every model of a benchmark's datasets is trained with."""
        datasets = self.datasets_of(benchmark)
        seeds = [set(self.config.train_settings(self.model_of(name)).seeds) for name in datasets]
        return [
            paths.maps(paths.seed_of(self.model_of(name), str(seed)), name)
            for seed in sorted(set.intersection(*seeds))
            for name in datasets
        ]

    def ablation_maps(self) -> list[str]:
        """Return the maps of each seed of every variant of the ablation, over each dataset of its benchmark."""
        asked = self.config.ablation
        if asked is None:
            return []
        return [
            paths.maps(paths.seed_of(ABLATION + variant, str(seed)), name)
            for variant in asked.variants
            for seed in asked.seeds
            for name in self.datasets_of(asked.benchmark)
        ]

    def settings(self, rule: str, wildcards: Any) -> list[str]:
        """Return a job's resolved settings: their file, the name of what they are of, and their digest.

        By the digest Snakemake sees whether an edit concerns the job. The file is written before the first job
        (`write_settings`): a dry run writes nothing, and a job that waits in a queue keeps what it was submitted with.
        """
        stage = reads(rule) or ""
        by, ablation = STAGES[stage].NAMED_BY, self.config.ablation
        name = ablation.benchmark if by == "ablation" and ablation else wildcards[by]
        return [paths.settings(rule, name_of(wildcards)), f"{stage}/{name}", frozen_digest(self.config, stage, name)]

    def write_settings(self, given: Iterable[list[str]]) -> None:
        """Write the files of `settings`; one that says the same already is left alone."""
        for file, of, _ in given:
            text = frozen_text(self.config, *of.split("/"))
            if not Path(file).is_file() or Path(file).read_text(encoding="utf-8") != text:
                write_text(file, text)


def options(rule: str, wildcards: Any, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> list[str]:
    """Return the name and options of a rule's stage: each is the rule's output, input or wildcard of that name."""
    values = {
        **dict(wildcards.items()),
        **inputs,
        "settings": paths.settings(rule, name_of(wildcards)),
        "folder": paths.folder_of(paths.features(wildcards.get("dataset", ""))),
        "part": wildcards.get("scatteritem", ""),
        **{f"out-{name}": path for name, path in outputs.items()},
    }
    found = [rule]
    for name in COMMANDS[rule].options:
        value = values.get(name, [])
        several = value if isinstance(value, list) else [value]
        found += [f"--{name}", *map(str, several)] if several else []
    return found
