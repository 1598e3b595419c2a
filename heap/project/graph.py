"""Which job needs which: the rules of `workflow/` once more, as plain data that commands can ask without Snakemake.

A test plans every edit by Snakemake too and compares, so that the two cannot part.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from heap import paths
from heap.settings.baselines import BASELINES
from heap.settings.config import ABLATION, Config
from heap.settings.datasets import FolderDataset
from heap.settings.stages import AblationSettings


class Job(NamedTuple):
    """One job of the workflow; `extract` stands for all its parts.

    Attributes:
        rule: of Snakemake.
        name: as its log and its benchmark file are called (`tokencut.ecssd`).
    """

    rule: str
    name: str

    @property
    def written_as(self) -> tuple[str, str]:
        """Rule and name by which its log and its measured times are called; a pattern over the parts of `extract`."""
        if self.rule == "extract":
            return self.rule, f"{self.name}.*"
        return "cluster" if self.rule == "cluster_collection" else self.rule, self.name


@dataclass(frozen=True)
class Node:
    """What a job reads and makes.

    Attributes:
        stage: whose frozen settings it reads, None where it reads none.
        of: the name of these settings.
        output: its first output.
        needs: the jobs whose outputs it reads.
    """

    stage: str | None
    of: str
    output: str
    needs: tuple[Job, ...]


Graph = dict[Job, Node]


class _Builder:
    """Follows targets to the jobs that they need; one method a rule, as in `workflow/rules`."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.graph: Graph = {}

    def datasets_of(self, benchmark: str, *tasks: str) -> list[str]:
        chosen = self.config.benchmarks[benchmark].tasks
        return list(dict.fromkeys(task.dataset for task in chosen if not tasks or task.task in tasks))

    def model_of(self, dataset: str) -> str:
        return self.config.datasets[dataset].model

    def add(self, rule: str, name: str, stage: str | None, of: str, output: str, needs: Iterable[Job]) -> Job:
        job = Job(rule, name)
        self.graph[job] = Node(stage, of, output, tuple(dict.fromkeys(needs)))
        return job

    def fetch(self, files: str) -> Job:
        return self.add("fetch", files, "fetch", files, paths.fetch_receipt(files), [])

    def weights(self, encoder: str) -> Job:
        return self.add("weights", encoder, "weights", encoder, paths.weights(encoder), [])

    def manifest(self, dataset: str) -> Job:
        fetched = self.fetch(self.config.files_of(dataset))
        return self.add("manifest", dataset, "manifest", dataset, paths.manifest(dataset), [fetched])

    def features(self, dataset: str) -> Job:
        manifest, weights = self.manifest(dataset), self.weights(self.config.encoder_of(dataset))
        # Of its parts, as many as a profile says, only what gather made of them is sure to have one name.
        extract = self.add("extract", dataset, "extract", dataset, paths.features(dataset), [manifest, weights])
        return self.add("gather", dataset, None, "", paths.features(dataset), [extract, manifest])

    def seed_head(self, head: str, seed: int) -> Job:
        train_on = self.config.heads()[head].train_on
        needs = [self.features(train_on), self.manifest(train_on)]
        return self.add("train", f"{head}.{seed}", "train", head, paths.seed_head(head, str(seed)), needs)

    def head(self, model: str) -> Job:
        needs = [self.seed_head(model, seed) for seed in self.config.train_settings(model).seeds]
        return self.add("select", model, "select", model, paths.head(model), needs)

    def group_seed(self, head: str, seed: int, dataset: str) -> Job:
        by, needs = paths.seed_of(head, str(seed)), [self.features(dataset), self.seed_head(head, seed)]
        return self.add("group", f"{by}.{dataset}", "group", dataset, paths.maps(by, dataset), needs)

    def found(self, model: str) -> Job:
        train_on = self.config.models[model].train_on
        needs = [self.features(train_on), self.manifest(train_on)]
        return self.add("train_found", model, "found", model, paths.found_head(model), needs)

    def group(self, dataset: str) -> Job:
        needs = [self.features(dataset), self.head(self.model_of(dataset))]
        return self.add("group", f"heap.{dataset}", "group", dataset, paths.maps("heap", dataset), needs)

    def maps(self, method: str, dataset: str) -> Job:
        if method == "heap":
            return self.group(dataset)
        needs = [self.features(dataset)]
        if method == "found":
            needs.append(self.found(self.model_of(dataset)))
        return self.add("baseline", f"{method}.{dataset}", "maps", method, paths.maps(method, dataset), needs)

    def clusters(self, dataset: str) -> Job:
        return self.add("cluster", dataset, "cluster", dataset, paths.clusters(dataset), [self.group(dataset)])

    def collection(self, name: str) -> Job:
        needs = [self.group(dataset) for dataset in self.config.collections[name].datasets]
        return self.add("cluster_collection", name, "cluster", name, paths.clusters(name), needs)

    def masks(self, dataset: str) -> Job:
        needs = [self.group(dataset), self.clusters(dataset), self.manifest(dataset)]
        return self.add("segment", dataset, "segment", dataset, paths.masks(dataset), needs)

    def method_masks(self, method: str, dataset: str) -> Job:
        output, needs = paths.method_masks(method, dataset), [self.maps(method, dataset)]
        return self.add("method_masks", f"{method}.{dataset}", "segment", dataset, output, needs)

    def model(self, model: str) -> Job:
        needs, train_on = [self.head(model)], self.config.models[model].train_on
        if self.model_of(train_on) == model:
            needs.append(self.clusters(train_on))
        return self.add("model", model, "model", model, paths.model(model), needs)

    def metrics(self, benchmark: str) -> Job:
        datasets = self.datasets_of(benchmark)
        needs = [self.manifest(name) for name in datasets]
        needs += [self.maps(method, name) for method in self.config.benchmarks[benchmark].methods for name in datasets]
        needs += [self.features(name) for name in self.datasets_of(benchmark, "retrieval")]
        needs += [self.masks(name) for name in self.datasets_of(benchmark, "instances", "semantic")]
        return self.add("evaluate", benchmark, "evaluate", benchmark, paths.metrics(benchmark), needs)

    def curves(self, model: str) -> Job:
        return self.add("curves", model, None, "", paths.curves(model), [self.head(model)])

    def pictures(self, dataset: str) -> Job:
        needs = [self.manifest(dataset), self.group(dataset), self.clusters(dataset), self.masks(dataset)]
        return self.add("pictures", dataset, "pictures", dataset, paths.pictures(dataset), needs)

    def table(self, benchmark: str) -> Job:
        return self.add("compare", benchmark, None, "", paths.comparison(benchmark), [self.metrics(benchmark)])

    def report(self, benchmark: str) -> Job:
        datasets, needs = self.datasets_of(benchmark), [self.metrics(benchmark)]
        for name in datasets:
            needs += [self.manifest(name), self.group(name), self.clusters(name), self.masks(name)]
        needs += [self.head(self.model_of(name)) for name in datasets]
        return self.add("report", benchmark, "report", benchmark, paths.report(benchmark), needs)

    def report_photos(self, dataset: str) -> Job:
        needs = [self.manifest(dataset), self.group(dataset), self.clusters(dataset), self.masks(dataset)]
        needs.append(self.head(self.model_of(dataset)))
        return self.add("report", dataset, "report", dataset, paths.report(dataset), needs)

    def seeds(self, benchmark: str) -> Job:
        datasets, needs = self.datasets_of(benchmark), []
        needs += [self.manifest(name) for name in datasets]
        needs += [self.features(name) for name in self.datasets_of(benchmark, "retrieval")]
        shared = (set(self.config.train_settings(self.model_of(name)).seeds) for name in datasets)
        for seed in sorted(set.intersection(*shared)):
            for name in datasets:
                needs += [self.group_seed(self.model_of(name), seed, name), self.head(self.model_of(name))]
        return self.add("seeds", benchmark, "evaluate", benchmark, paths.seeds(benchmark), needs)

    def ablation(self, asked: AblationSettings) -> Job:
        datasets = self.datasets_of(asked.benchmark)
        needs = [self.manifest(name) for name in datasets]
        needs += [self.features(name) for name in self.datasets_of(asked.benchmark, "retrieval")]
        for variant in asked.variants:
            for seed in asked.seeds:
                needs += [self.group_seed(ABLATION + variant, seed, name) for name in datasets]
        return self.add("ablation", asked.benchmark, "ablation", asked.benchmark, paths.ablation(), needs)


def everything(config: Config) -> Graph:
    """Return every job that a target of this configuration may need, also of targets that only a user asks for."""
    build = _Builder(config)
    for name in config.benchmarks:
        build.table(name)
        build.report(name)
        build.seeds(name)
    for name in config.models:
        build.model(name)
        build.curves(name)
    for name in config.collections:
        build.collection(name)
    if config.ablation is not None:
        build.ablation(config.ablation)
    for name in config.datasets:
        build.pictures(name)
        if name not in config.benchmarks:
            build.report_photos(name)
        for method in BASELINES:
            build.method_masks(method, name)
    return build.graph


def wanted(config: Config, folder: Path) -> Graph:
    """Return the jobs behind `rule all`, the masks of the user's own photos, and whatever else was made already."""
    build = _Builder(config)
    for name in config.benchmarks:
        build.table(name)
        build.report(name)
    for name, dataset in config.datasets.items():
        if isinstance(dataset, FolderDataset):
            build.masks(name)
    every = everything(config)
    made = {job for job, node in every.items() if (folder / node.output).is_file()}
    return upstream(every, made.union(build.graph))


def upstream(graph: Graph, jobs: Iterable[Job]) -> Graph:
    """Return `jobs` and all that they need, directly or through others."""
    found: Graph = {}
    todo = list(jobs)
    while todo:
        job = todo.pop()
        if job not in found:
            found[job] = graph[job]
            todo += graph[job].needs
    return found


def downstream(graph: Graph, jobs: Iterable[Job]) -> set[Job]:
    """Return `jobs` of the graph and all that need their outputs, directly or through others."""
    needed_by: dict[Job, list[Job]] = {}
    for job, node in graph.items():
        for need in node.needs:
            needed_by.setdefault(need, []).append(job)
    found: set[Job] = set()
    todo = [job for job in jobs if job in graph]
    while todo:
        job = todo.pop()
        if job not in found:
            found.add(job)
            todo += needed_by.get(job, [])
    return found
