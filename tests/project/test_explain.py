"""What `heap explain` tells of a key; that its jobs are right is proven in tests/workflow/test_edits.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heap.cli import app
from heap.errors import SettingsError
from heap.project.explain import find, places, seconds_of
from heap.project.graph import Job
from heap.project.keys import all_keys
from heap.settings import load

CONFIG = Path(__file__).parents[2] / "config/config.yaml"


def explain(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["explain", *arguments, "--config", str(CONFIG)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_a_key_is_told_with_meaning_range_jobs_and_seconds(tmp_path: Path) -> None:
    for rule, name, seconds in (
        ("train", "demo.0", 12.5),
        ("group", "heap.scenes", 3.0),
        ("extract", "scenes.1-of-1", 99.0),
    ):
        file = tmp_path / f"results/benchmarks/{rule}/{name}.tsv"
        file.parent.mkdir(parents=True)
        file.write_text(f"s\th:m:s\n{seconds}\t0:00:01\n")
    text = explain("train.head.num_groups", "--folder", str(tmp_path))
    assert text.startswith("train.head.num_groups: 16\n  M, group tokens.")
    assert "integer, at least 2, at most 256; default 16" in text
    assert "train (benchmarks.0, benchmarks.1, benchmarks.2, demo.0" in text
    assert "extract" not in text
    assert "the chosen one stays" in text
    assert "2 of the " in text
    assert " jobs took 15.5 s" in text  # 12.5 + 3; the extraction does not run again


def test_a_key_that_reruns_nothing_says_so() -> None:
    text = explain("train.resident_gb")
    assert "re-runs:  nothing" in text
    assert "The next job that runs uses it" in text


def test_a_part_lists_its_keys_and_json_is_for_programs() -> None:
    lines = explain("segment").splitlines()
    assert [line.split(":")[0] for line in lines] == ["segment.threshold", "segment.min_area"]
    assert lines[0].endswith("-> segment evaluate compare report")
    (record,) = json.loads(explain("datasets.ecssd.max_px", "--json"))
    assert record["reruns"]["extract"] == ["ecssd"]
    assert record["value"] is None
    assert record["jobs_measured"] == 0


def test_every_key_of_the_shipped_configuration_is_told() -> None:
    config = load(CONFIG)
    every = places(config)
    assert len({place.path for place in every}) == len(every) > 200
    assert [key.pattern for key in all_keys() if not key.meaning or not key.kind] == []
    assert find(config, "datasets.voc07.splits.trainval")[0].path == "datasets.voc07.splits"


@pytest.mark.parametrize(("asked", "hint"), [("train.head.num_group", "num_groups"), ("facet", "dino_vits8.facet")])
def test_a_wrong_key_names_the_nearest(asked: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{asked}: no such key in the configuration; did you mean .*{hint}"):
        find(load(CONFIG), asked)


def test_seconds_add_up_over_the_parts_of_an_extraction(tmp_path: Path) -> None:
    folder = tmp_path / "results/benchmarks/extract"
    folder.mkdir(parents=True)
    for part, seconds in (("1-of-2", 2.5), ("2-of-2", 4.0)):
        (folder / f"ecssd.{part}.tsv").write_text(f"s\n{seconds}\n")
    assert seconds_of(tmp_path, Job("extract", "ecssd")) == 6.5
    assert seconds_of(tmp_path, Job("extract", "voc07")) is None
