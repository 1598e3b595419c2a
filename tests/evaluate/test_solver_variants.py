"""The stage with `bilateral`: photos are read, variants stand in the table, refusals are counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny_benchmark import Bench

from heap.errors import DataError
from heap.evaluate.stage import evaluate

SOLVED = ["multi+bs", "single+bs"]
TOKENCUT = ["multi-tokencut", "multi+bs-tokencut"]
PEERS = ["multi+bs-peers", "single+bs-peers"]


def write_photos(bench: Bench) -> None:
    """Light objects on dark ground."""
    for i in range(bench.photos):
        photo = np.where(bench.truth(i)[..., None], 200, 40).repeat(3, axis=2).astype(np.uint8)
        # Read by content: a PNG keeps the colours whatever its name.
        Image.fromarray(photo).save(bench.folder / f"photo{i}.jpg", format="PNG")


def run(bench: Bench, workers: int = 1, **task: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    manifest = bench.write_manifest()
    features = bench.write_features(manifest)
    methods = ["heap", "everything", "attention"]
    evaluate(
        bench.write_frozen([{"task": "saliency", "dataset": "tiny", **task}], methods),
        [manifest], [bench.write_maps(features, method) for method in methods], [features], [],
        bench.folder / "tiny_metrics.csv", workers,
    )  # fmt: skip
    about = json.loads((bench.folder / "tiny_metrics.json").read_text())
    return pd.read_csv(bench.folder / "tiny_metrics.csv"), about


def test_variants_figures_and_refusals(bench: Bench) -> None:
    write_photos(bench)
    table, about = run(bench, bilateral="peers")
    assert list(dict.fromkeys(table["variant"])) == ["multi", "single", *SOLVED, *PEERS, *TOKENCUT]
    assert (table["images"] == 9).all()
    value = table.set_index(["method", "variant", "metric"])["value"]
    counts = {told["method"]: told["bilateral_solver"] for told in about["tasks"]}
    for variant in (*SOLVED, *PEERS):
        # Perfect masks on perfect edges stay; nothing has no IoU with nothing, so it is refused and scored as it is.
        assert value["heap", variant, "acc"] == 1
        assert value["attention", variant, "iou"] == 0
        assert counts["heap"][variant] == {"accepted": 9, "refused": 0}
        assert counts["attention"][variant] == {"accepted": 0, "refused": 9}
        # A solved photo has no soft map: the F of its mask, where the soft map's best threshold was below 0.5.
        assert value["attention", variant, "max_f"] == 0
    assert value["attention", "multi", "max_f"] > 0.7
    for variant in TOKENCUT:
        assert value["heap", variant, "acc"] == 1
        assert value["attention", variant, "max_f"] == 0  # an empty mask, and what the solver makes of it
    # The full mask, which the peers turn into an empty one and refuse.
    assert {v: counts["everything"][v]["accepted"] for v in (*SOLVED, *PEERS)} == {
        "multi+bs": 9, "single+bs": 9, "multi+bs-peers": 0, "single+bs-peers": 0,
    }  # fmt: skip


def test_smoothed_maps_are_solved_too_but_not_read_as_tokencuts(tmp_path: Path) -> None:
    bench = Bench(tmp_path, smoothing=1.0)
    write_photos(bench)
    table, _ = run(bench, bilateral="peers")
    plain = ["multi", "single", *SOLVED, *PEERS]
    assert list(dict.fromkeys(table["variant"])) == [*plain, *TOKENCUT, *(name + "+smooth" for name in plain)]


def test_the_mark_of_the_truth_stands_behind_the_solver(bench: Bench) -> None:
    write_photos(bench)
    table, about = run(bench, bilateral=True, truth="nonzero")
    names = [name + "+nonzero" for name in ("multi", "single", *SOLVED)]
    assert list(dict.fromkeys(table["variant"])) == names
    assert list(about["tasks"][0]["bilateral_solver"]) == names[2:]


def test_neither_workers_nor_the_order_of_photos_show(tmp_path: Path) -> None:
    tables = []
    for name, order, workers in (("plain", range(9), 1), ("two", [4, 8, 0, 3, 7, 1, 6, 2, 5], 2)):
        bench = Bench(tmp_path / name, order=list(order))
        bench.folder.mkdir()
        write_photos(bench)
        run(bench, workers, bilateral="peers")
        tables.append((bench.folder / "tiny_metrics.csv").read_bytes())
    assert tables[0] == tables[1]


def test_without_the_solver_no_photo_is_read(bench: Bench) -> None:
    table, about = run(bench)  # there are no photos
    assert set(table["variant"]) == {"multi", "single"}
    assert "bilateral_solver" not in about["tasks"][0]
    with pytest.raises(DataError, match=r"photo0\.jpg: not readable"):
        run(bench, bilateral=True)


def test_a_photo_that_changed_its_size_is_named(bench: Bench) -> None:
    write_photos(bench)
    Image.new("RGB", (7, 5)).save(bench.folder / "photo3.jpg", format="PNG")
    with pytest.raises(DataError, match=r"photo3\.jpg: \(5, 7\) px, but its ground truth has \(44, 60\)"):
        run(bench, bilateral=True)
