"""The workflow end to end, as small as it gets: each stage a job of its own, by the command of the README."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from workflow.running import Run

from heap import paths

DEMO = paths.metrics("demo")
STAGES = (
    "fetch", "weights", "manifest", "extract", "gather", "train", "select", "group", "cluster", "segment", "evaluate",
    "report",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, small_config: Callable[[], dict[str, Any]]) -> Run:
    config = small_config()
    config["models"]["demo"]["overrides"] = {"seeds": [0]}
    config["benchmarks"]["demo"] = {
        "methods": ["heap"],
        "tasks": [{"task": "saliency", "dataset": "scenes", "split": "val"}],
    }
    run = Run(tmp_path_factory.mktemp("small"), config)
    run.options = ()
    return run


def test_photos_become_masks_a_table_and_a_page_and_a_second_run_has_nothing_to_do(run: Run) -> None:
    targets = (DEMO, paths.report("demo"), paths.masks("scenes"))
    text = run.snakemake(*targets)
    assert set(re.findall(r"^ *\d+/12 (\w+)", text, re.MULTILINE)) == set(STAGES), text
    lines = [line for line in text.splitlines() if not re.match("  [^ 0-9]", line)]  # warnings of so small a training
    assert len(lines) <= 15, text
    table = pd.read_csv(run.folder / DEMO)
    assert set(table["method"]) == {"heap"}
    assert table["value"].notna().all()
    assert len(list((run.folder / "results/masks/scenes").glob("*.png"))) == 16
    assert "hand-made" in (run.folder / paths.report("demo")).read_text()
    assert "Nothing to be done" in run.snakemake(*targets)


def test_a_wrong_config_stops_before_any_job(run: Run) -> None:
    before, changed = run.config, {**run.config, "train": {**run.config["train"], "sizze": 224}}
    run.edit(changed)
    text = run.snakemake(DEMO, ok=False)
    assert "train.sizze: unknown key" in text.rstrip().splitlines()[-1]
    run.edit(before)
