"""Kill -9 in every stage; then what docs/howto/resume.md says, typed: the results are those of an undisturbed run."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest
from workflow.clone import Clone
from workflow.running import REPOSITORY

from workflow import crashes, odd_photos

pytestmark = pytest.mark.slow  # a run of the workflow for each kill

RESUME = (REPOSITORY / "docs/howto/resume.md").read_text()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, small_config: Callable[[], dict[str, Any]]) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("crashes")
    (folder / "server").mkdir()
    odd_photos.write_archive(folder / "server/odd photos.zip")
    with odd_photos.served(folder / "server") as url:
        config = odd_photos.config(small_config(), url)
        config["benchmarks"]["odd"]["methods"] = ["heap", "centred_box"]
        yield Clone(folder, config)


@pytest.fixture(scope="module")
def undisturbed(clone: Clone) -> dict[str, bytes]:
    """The results of a run that nobody killed; its clone is then emptied, so that paths are the same."""
    clone.type(crashes.COMMAND)
    results = clone.results()
    clone.clear()
    return results


def test_no_name_of_a_photo_is_run_or_shown_as_code(clone: Clone, undisturbed: dict[str, bytes]) -> None:
    """Names with spaces, quotes, commands, newlines and tags went through every stage, in a folder with a space."""
    assert not list(clone.folder.parent.rglob("pwned")), "no name was run by a shell"
    masks = json.loads(undisturbed["results/masks/odd.json"])
    assert {image["heap_id"] for image in masks["images"]} == set(odd_photos.NAMES)
    assert sum(name.startswith("results/masks/odd/") for name in undisturbed) == len(odd_photos.NAMES)
    page = undisturbed["results/report/odd.html"].decode()
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    table = pd.read_csv(io.BytesIO(undisturbed["results/odd_metrics.csv"]))
    assert set(table["images"]) == {len(odd_photos.NAMES)}


# One history: each run recovers from the kill before it and comes as far as the next. Stages of one line do not wait
# for each other, so both die in one run. A kind of kill, and the rename at which a stage dies where it is not the usual
# one: after one shard each in extract, after iteration 10 of the second seed in train.
HISTORY: list[tuple[str, dict[str, int | None]]] = [
    ("rule", {"weights": None, "fetch": None}),
    ("rule", {"manifest": None}),
    ("group", {"extract": 2}),
    ("rule", {"extract": 2}),
    ("snakemake", {"extract": 2}),
    ("rule", {"gather": None}),
    ("rule", {"train": None, "baseline": None}),
    ("group", {"train": 1}),
    ("snakemake", {"train": 1}),
    ("rule", {"select": None}),
    ("rule", {"group": None}),
    ("rule", {"cluster": None, "evaluate": None}),
    ("rule", {"segment": None}),
    ("rule", {"report": None}),
]


@pytest.mark.timeout(3000)
def test_killed_in_every_stage_the_results_are_those_of_an_undisturbed_run(
    clone: Clone, undisturbed: dict[str, bytes]
) -> None:
    outlived: list[dict[str, Any]] = []
    for kind, stages in HISTORY:
        orders = [crashes.order(stage, kind, nth) for stage, nth in stages.items()]
        text = clone.type(crashes.COMMAND, *orders, *outlived, code=crashes.status(kind))
        outlived = []
        if kind == "rule":
            assert set(re.findall(r"^FAILED (\w+)", text, re.MULTILINE)) == set(stages)
        else:
            assert clone.note.exists(), f"{stages} came to its point"
            assert "snakemake --unlock" in RESUME
            clone.type(crashes.UNLOCK)
        if kind == "snakemake":
            outlived = [{"stage": stage, "kind": "release"} for stage in stages]
    clone.type(crashes.COMMAND)
    clone.wait_for_orphans()
    results = clone.results()
    assert sorted(results) == sorted(undisturbed)
    assert [name for name in results if results[name] != undisturbed[name]] == []
