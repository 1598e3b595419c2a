"""What a key means and what its edit costs: jobs that run again, what stays, seconds measured the last time."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from heap import paths
from heap.errors import SettingsError
from heap.project.graph import Graph, Job, Node, downstream
from heap.project.keys import Key, all_keys
from heap.project.reads import KEPT, READS, Reads
from heap.settings.config import ABLATION, Config


@dataclass(frozen=True)
class Place:
    """One key at its place in a configuration.

    Attributes:
        key: what the settings' types say of it.
        path: dotted, with names in place of `*` (`encoders.dino_vits8.facet`).
        value: the present one.
    """

    key: Key
    path: str
    value: Any

    @property
    def reads(self) -> Reads:
        """The stages that read it."""
        return READS[self.key.pattern]


def places(config: Config) -> list[Place]:
    """Return every key of a configuration at its place, in the order of the file's sections."""
    return list(_places(config, "", ""))


def _places(settings: BaseModel, path: str, pattern: str) -> Iterator[Place]:
    own = {key.pattern: key for key in all_keys() if key.fits(settings)}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        here, general = f"{path}{name}", f"{pattern}{name}"
        if general in own:
            plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
            yield Place(own[general], here, plain)
        elif isinstance(value, BaseModel):
            yield from _places(value, f"{here}.", f"{general}.")
        else:
            for part, below in value.items() if isinstance(value, Mapping) else enumerate(value):
                yield from _places(below, f"{here}.{part}.", f"{general}.*.")


def find(config: Config, asked: str) -> list[Place]:
    """Return the key called `asked`, or those below it (`datasets.ecssd`, `train.loss`); all for "".

    Raises:
        SettingsError: the configuration has no such key; the message names the nearest.
    """
    every = places(config)
    found = [place for place in every if asked in ("", place.path) or place.path.startswith(f"{asked}.")]
    if found:
        return found
    # Names that a key holds (`splits.train`, `overrides.head`) belong to the key's value.
    holders = [place for place in every if asked.startswith(f"{place.path}.") and isinstance(place.value, dict)]
    if holders:
        return holders
    names = [place.path for place in every] + [place.path.rsplit(".", 1)[0] for place in every]
    near = difflib.get_close_matches(asked, names, n=3, cutoff=0.5)
    near += [place.path for place in every if place.key.name == asked.rsplit(".", 1)[-1]][:3]
    hint = f"; did you mean {', '.join(dict.fromkeys(near))}?" if near else ""
    raise SettingsError(f"{asked}: no such key in the configuration{hint}")


def edited(config: Config, graph: Graph, place: Place) -> set[Job]:
    """Return the jobs that read a key: they run again when it is edited, before what follows."""
    return {
        job
        for job, node in graph.items()
        for stage in place.reads.stages
        if _reads(config, job, node, stage, place.path.split("."))
    }


def rerun(config: Config, graph: Graph, place: Place) -> set[Job]:
    """Return all jobs that run again when a key is edited."""
    return downstream(graph, edited(config, graph, place))


def _reads(config: Config, job: Job, node: Node, stage: str, path: list[str]) -> bool:
    """Return whether a job reads the key at `path` as one of `stage`."""
    section, of = path[0], node.of
    if stage == "found maps":  # the head that these maps are made with
        return job == Job("baseline", f"found.{path[1]}")
    if node.stage != stage:
        return False
    if section == "encoders":
        return of == path[1] if stage == "weights" else config.encoder_of(of) == path[1]
    if section == "models":
        if stage == "train" and config.ablation is not None and of.startswith(ABLATION):
            return config.ablation.model == path[1]
        return of == path[1] if stage in ("train", "select", "found", "model") else config.datasets[of].model == path[1]
    if section == "train":
        return not _overridden(config.heads()[of].overrides, path[1:])
    if section == "ablation":
        return stage == "ablation" or of.startswith(ABLATION)
    if section == "datasets":
        return (config.models[of].train_on if stage == "model" else of) == path[1]
    if section == "baselines":
        return stage == "found" or of == path[1]
    if path == ["cluster", "foreground"]:
        return of in config.collections or config.datasets[of].foreground_clusters is None
    return of == path[1] if section in ("benchmarks", "collections") else True


def _overridden(overrides: Mapping[str, Any], path: list[str]) -> bool:
    place: Any = overrides
    for name in path:
        if not isinstance(place, Mapping) or name not in place:
            return False
        place = place[name]
    return True


def kept(place: Place) -> str:
    """Return what stays when a key is edited."""
    words = [place.reads.note] if place.reads.note else []
    words += [KEPT[stage] for stage in place.reads.stages if stage in KEPT and not place.reads.note]
    return " ".join(words) or "All that stands before these jobs."


def seconds_of(folder: Path, job: Job) -> float | None:
    """Return how long a job took when it last ran (Snakemake's measurement), of all its parts; None: never measured."""
    pattern = Path(paths.bench(*job.written_as))
    total = None
    for file in (folder / pattern.parent).glob(pattern.name):
        with file.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream, delimiter="\t"):
                total = (total or 0.0) + float(row["s"])
    return total


def by_rule(graph: Graph, jobs: set[Job]) -> dict[str, list[str]]:
    """Return the names of jobs under their rules, rules in the order in which they run."""
    order: dict[Job, int] = {}

    def depth(job: Job) -> int:
        if job not in order:
            order[job] = 1 + max((depth(need) for need in graph[job].needs), default=0)
        return order[job]

    ranked = sorted(jobs, key=lambda job: (depth(job), job))
    last = {rule: max(depth(job) for job in ranked if job.rule == rule) for rule in {job.rule for job in ranked}}
    rules = sorted(last, key=lambda rule: (last[rule], rule))
    return {rule: sorted(job.name for job in ranked if job.rule == rule) for rule in rules}
