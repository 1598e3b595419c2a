"""What `make demo` promises: with the shipped configuration, offline, the head finds the objects of the test scenes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from workflow.running import REPOSITORY, Run

from heap import paths
from heap.settings.config import read

pytestmark = pytest.mark.slow  # the demo as shipped


def test_the_head_finds_the_objects_of_the_demo(tmp_path: Path) -> None:
    run = Run(tmp_path, read(REPOSITORY / "config/config.yaml"))
    run.snakemake(paths.metrics("demo"))
    table = pd.read_csv(tmp_path / paths.metrics("demo"))

    def figure(method: str, metric: str, variant: str) -> float:
        chosen = table[(table["method"] == method) & (table["metric"] == metric) & (table["variant"] == variant)]
        return float(chosen["value"].iloc[0])

    assert figure("heap", "iou", "multi") >= 0.60
    assert figure("heap", "corloc", "largest") >= 70
    # The clusters follow the kinds of things, which nobody told it. Over ten seeds of k-means NMI was .606 on the mean,
    # .018 the deviation and .586 the least (docs/explanation/reproducibility.md): two deviations below that.
    assert figure("heap", "nmi", "hungarian") >= 0.55
    assert figure("heap", "miou_objects", "hungarian") >= 2 * figure("heap", "miou_objects_shuffled", "hungarian")
    # Two methods that look at no photo: what the scenes give away for nothing.
    for trivial in ("everything", "centred_box"):
        assert figure(trivial, "iou", "multi") < 0.40
        assert figure(trivial, "corloc", "largest") < 40
