"""What an edit of the configuration re-runs: every key of the schema, planned by Snakemake, against `heap explain`."""

from __future__ import annotations

import copy
import os
from typing import Any

import pytest
import yaml
from workflow.every_key import VALUES, At, Whole, every_kind
from workflow.planning import Project

from heap.project.explain import Place, places, rerun
from heap.project.graph import Graph, Job, downstream, everything, upstream
from heap.project.keys import Key, all_keys
from heap.project.reads import READS
from heap.project.stale import rerun_between
from heap.settings import Config, parse
from heap.settings.freeze import STAGE_VERSION


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("finished"), every_kind())


def value_of(key: Key) -> Any:
    return VALUES.get((key.pattern, key.owner.__name__), VALUES.get(key.pattern, KeyError))


def put(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    place: Any = changed
    *parents, last = path.split(".")
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
    place[int(last) if isinstance(place, list) else last] = value
    return changed


def at(config: dict[str, Any], path: str) -> Any:
    place: Any = config
    for name in path.split("."):
        place = place[int(name)] if isinstance(place, list) else place[name]
    return place


def edit(config: dict[str, Any], key: Key) -> tuple[Place, dict[str, Any]]:
    """Return where a key stands, and the configuration with another value of it."""
    every = [place for place in places(parse(config)) if place.key == key]
    value = value_of(key)
    if isinstance(value, Whole):
        place = next(place for place in every if place.path == f"{value.path}.{key.name}")
        old = at(config, value.path)
        return place, put(config, value.path, {k: old[k] for k in value.keep if k in old} | value.value)
    path = value.path if isinstance(value, At) else every[0].path
    place = next(place for place in every if place.path == path)
    return place, put(config, path, value.value if isinstance(value, At) else value)


def graph_of(project: Project, config: Config) -> Graph:
    """Return the jobs behind the targets of the finished project, under another configuration."""
    every = everything(config)
    by_output = {node.output: job for job, node in every.items() if job.rule != "extract"}  # gather's is the same
    return upstream(every, {by_output[target] for target in project.targets})


def told(project: Project, place: Place, config: Config) -> set[Job]:
    """Return what `heap explain` says would run again, and what was not there before."""
    before, after = graph_of(project, parse(project.config)), graph_of(project, config)
    return rerun(config, after, place) | downstream(after, set(after) - set(before))


def reasoned(project: Project, config: Config) -> set[Job]:
    """Return what runs by the frozen settings and inputs that differ."""
    before = parse(project.config)
    return rerun_between(before, config, graph_of(project, before), graph_of(project, config))


def sample() -> list[Key]:
    """One key of each section for each set of stages; all of them with HEAP_TEST_EVERY_EDIT=1 (a minute)."""
    if os.environ.get("HEAP_TEST_EVERY_EDIT"):
        return list(all_keys())
    return list({(key.pattern.split(".")[0], READS[key.pattern].stages): key for key in all_keys()}.values())


def test_every_key_of_the_schema_has_stages_and_another_value() -> None:
    assert {key.pattern for key in all_keys()} == set(READS), "heap/project/reads.py"
    assert [f"{key.pattern} of {key.owner.__name__}" for key in all_keys() if value_of(key) is KeyError] == []
    there = {place.key for place in places(parse(every_kind()))}
    assert set(all_keys()) - there == set(), "the test's configuration has no such key"


@pytest.mark.parametrize("key", all_keys(), ids=lambda key: f"{key.pattern}-{key.owner.__name__}")
def test_an_edit_reruns_what_the_table_says(project: Project, key: Key) -> None:
    place, changed = edit(project.config, key)
    config = parse(changed)
    assert reasoned(project, config) == told(project, place, config)


@pytest.mark.parametrize("key", sample(), ids=lambda key: f"{key.pattern}-{key.owner.__name__}")
def test_snakemake_plans_what_the_table_says(project: Project, key: Key) -> None:
    place, changed = edit(project.config, key)
    jobs, _ = project.planned(changed)
    assert jobs == told(project, place, parse(changed))


def test_comments_key_order_and_equal_values_rerun_nothing(project: Project) -> None:
    def turned(value: Any) -> Any:
        return {k: turned(value[k]) for k in reversed(value)} if isinstance(value, dict) else value

    again = turned(project.config)
    again["train"]["learning_rate"] = "5e-4"  # text to YAML, the same number to us
    again["train"]["grad_clip"] = 1
    again["evaluate"] = {}  # the defaults, unsaid
    text = "# a comment\n" + yaml.safe_dump(again, sort_keys=False).replace("\ntrain:", "\n# another\n\ntrain:")
    assert project.planned(text) == (set(), set())


def test_two_values_swapped_rerun(project: Project) -> None:
    """Snakemake compares params as a set of values without names; frozen settings tell them apart."""
    changed = copy.deepcopy(project.config)
    task = changed["benchmarks"]["voc"]["tasks"][2]
    task["gallery"], task["query"] = task["query"], task["gallery"]
    jobs, _ = project.planned(changed)
    assert {job for job in jobs if job.rule in ("evaluate", "seeds")} == {Job("evaluate", "voc"), Job("seeds", "voc")}


@pytest.mark.parametrize(
    ("stage", "rules"),
    [
        ("segment", {"segment", "method_masks", "pictures", "evaluate", "compare", "report"}),
        ("maps", {"baseline", "method_masks", "evaluate", "compare", "report"}),
        ("extract_means", set()),
    ],
)
def test_a_raised_version_of_a_stage_reruns_it_and_what_follows(
    project: Project, monkeypatch: pytest.MonkeyPatch, stage: str, rules: set[str]
) -> None:
    assert project.planned(project.config) == (set(), set())
    monkeypatch.setitem(STAGE_VERSION, stage, STAGE_VERSION[stage] + 1)
    jobs, _ = project.planned(project.config)
    assert {job.rule for job in jobs} == rules
