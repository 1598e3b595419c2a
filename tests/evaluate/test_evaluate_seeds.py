"""Mean and deviation over the seeds of a training."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from tiny_benchmark import Bench

from heap.cache.maps import write_maps
from heap.cache.reader import FeatureReader
from heap.errors import DataError
from heap.evaluate.seeds import over_seeds, seeds
from heap.files import write_json

TASKS = [{"task": "saliency", "dataset": "tiny"}, {"task": "semantic", "dataset": "tiny"}]


def test_mean_and_deviation_by_hand() -> None:
    key = ("tiny", "saliency", "multi", "iou")
    (row,) = over_seeds({key: {2: 0.5, 0: 0.3}}).to_dict("records")
    assert (row["mean"], row["least"], row["most"], row["seeds"]) == (0.4, 0.3, 0.5, 2)
    assert row["deviation"] == pytest.approx(0.2 / 2**0.5)
    assert (row["seed_0"], row["seed_2"]) == (0.3, 0.5)
    assert over_seeds({key: {7: 0.5}})["deviation"].isna().all()
    with pytest.raises(DataError, match=r"tiny discovery: maps of seeds \[0\], other tasks have \[0, 2\]"):
        over_seeds({key: {2: 0.5, 0: 0.3}, ("tiny", "discovery", "largest", "corloc"): {0: 1.0}})


def test_a_perfect_and_an_empty_seed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    manifest = bench.write_manifest()
    features = bench.write_features(manifest)
    reader = FeatureReader(features)
    ids = [int(name.removeprefix("photo")) for name in reader.images["image_id"]]
    maps = []
    for seed, scale in ((0, 1.0), (3, 0.0)):
        receipt = tmp_path / str(seed) / "tiny.json"
        grids = ((bench.grid(i).ravel() * scale, None) for i in ids)
        write_maps(receipt, reader, "heap", grids, {"seed": seed, "model": "m"})
        maps.append(receipt)
    frozen = bench.write_frozen(TASKS, ["heap", "everything"])
    write_json(tmp_path / "m.json", {"model": "m", "seed": 3})
    seeds(frozen, [manifest], maps, [], [tmp_path / "m.json"], tmp_path / "tiny_seeds.csv")
    table = pd.read_csv(tmp_path / "tiny_seeds.csv")
    iou = table[(table["variant"] == "multi") & (table["metric"] == "iou")].iloc[0]
    assert iou["seed_0"] == pytest.approx(1)
    assert iou["mean"] == pytest.approx((1 + iou["seed_3"]) / 2)
    about = json.loads((tmp_path / "tiny_seeds.json").read_text())
    assert about["seeds"] == [0, 3]
    assert about["chosen"] == {"tiny": 3}
    assert about["left_out"] == ["semantic"]
    assert not list(tmp_path.glob("progress*"))


def test_maps_that_do_not_say_their_seed_are_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    manifest = bench.write_manifest()
    maps = bench.write_maps(bench.write_features(manifest), "heap")
    with pytest.raises(DataError, match="do not say the seed"):
        seeds(bench.write_frozen(TASKS, ["heap"]), [manifest], [maps], [], [], tmp_path / "t.csv")
