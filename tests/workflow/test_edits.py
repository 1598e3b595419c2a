"""What an edit of the configuration re-runs: every key of the schema, planned by Snakemake, against `heap explain`."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from workflow.every_key import VALUES, At, Whole, every_kind
from workflow.planning import Project, targets_of

from heap.project.explain import Place, places, rerun
from heap.project.graph import Job, downstream, everything, upstream
from heap.project.keys import Key, all_keys
from heap.project.reads import READS
from heap.settings import parse


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


def expected(project: Project, place: Place, changed: dict[str, Any]) -> set[Job]:
    """Return what `heap explain` says would run again, and what was not there before."""
    config = parse(changed)
    before = upstream(everything(parse(project.config)), targets_of(parse(project.config)))
    every = everything(config)
    by_output = {node.output: job for job, node in every.items() if job.rule not in ("extract",)}
    after = upstream(every, {by_output[target] for target in project.targets})
    return rerun(config, after, place) | downstream(after, set(after) - set(before))


def test_every_key_of_the_schema_has_stages_and_another_value() -> None:
    assert {key.pattern for key in all_keys()} == set(READS)
    assert [f"{key.pattern} of {key.owner.__name__}" for key in all_keys() if value_of(key) is KeyError] == []
    there = {place.key for place in places(parse(every_kind()))}
    assert set(all_keys()) - there == set(), "the test's configuration has no such key"


@pytest.mark.parametrize("key", all_keys(), ids=lambda key: f"{key.pattern}-{key.owner.__name__}")
def test_an_edit_reruns_what_heap_explain_says(project: Project, key: Key) -> None:
    place, changed = edit(project.config, key)
    jobs, _ = project.planned(changed)
    assert jobs == expected(project, place, changed)
