"""Mean and deviation over seeds of every variant of the training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny_benchmark import Bench

from heap.cache.maps import write_maps
from heap.cache.reader import FeatureReader
from heap.errors import DataError
from heap.evaluate.ablation import ablation
from heap.settings.resolved import STAGE_VERSION

TASKS = [{"task": "saliency", "dataset": "tiny"}, {"task": "semantic", "dataset": "tiny"}]


def written(bench: Bench, manifest: Path, features: Path, heads: list[tuple[str, int, float]]) -> list[Path]:
    """Maps of each variant and seed: the truth times a factor."""
    reader = FeatureReader(features)
    ids = [int(name.removeprefix("photo")) for name in reader.images["image_id"]]
    paths = []
    for variant, seed, scale in heads:
        receipt = bench.folder / variant / str(seed) / "tiny.json"
        grids = ((bench.grid(i).ravel() * scale, None) for i in ids)
        write_maps(receipt, reader, "heap", grids, {
            "model": f"ablation_{variant}", "seed": seed, "head_sha256": f"sha of {variant} {seed}",
        })  # fmt: skip
        paths.append(receipt)
    return paths


def frozen(bench: Bench) -> Path:
    asked: dict[str, Any] = {"benchmark": "tiny", "model": "m", "seeds": [0, 3]}
    asked["variants"] = {"full": {}, "broken": {"loss": {"intra": 0}}}
    path = bench.folder / "ablation.json"
    stage = {"stage": "ablation", "name": "tiny", "version": STAGE_VERSION["ablation"]}
    path.write_text(json.dumps({**stage, "benchmark": {"tasks": TASKS, "methods": ["heap"]}, "ablation": asked}))
    return path


def test_a_variant_that_finds_nothing_beside_one_that_finds_all(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    manifest = bench.write_manifest()
    features = bench.write_features(manifest)
    heads = [("full", 0, 1.0), ("full", 3, 1.0), ("broken", 0, 1.0), ("broken", 3, 0.0)]
    maps = written(bench, manifest, features, heads)
    ablation(frozen(bench), [manifest], maps, [], tmp_path / "ablation.csv")
    table = pd.read_csv(tmp_path / "ablation.csv")
    assert list(dict.fromkeys(table["ablation"])) == ["full", "broken"]
    iou = table[(table["variant"] == "multi") & (table["metric"] == "iou")].set_index("ablation")
    assert iou.loc["full", ["mean", "deviation", "seeds"]].tolist() == pytest.approx([1, 0, 2])
    least = iou.loc["broken", "seed_3"]
    assert iou.loc["broken", ["mean", "deviation"]].tolist() == pytest.approx([(1 + least) / 2, (1 - least) / 2**0.5])
    about = json.loads((tmp_path / "ablation.json").read_text())
    assert about["heads"]["broken"] == {"seed 0": "sha of broken 0", "seed 3": "sha of broken 3"}
    assert about["ablation"]["variants"]["broken"] == {"loss": {"intra": 0}}
    assert about["left_out"] == ["semantic"]
    assert not list(tmp_path.glob("progress*"))


def test_maps_that_are_missing_or_of_nothing_asked_for_are_named(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    manifest = bench.write_manifest()
    features = bench.write_features(manifest)
    maps = written(bench, manifest, features, [("full", 0, 1.0), ("full", 3, 1.0), ("broken", 3, 1.0)])
    with pytest.raises(DataError, match=r"ablation\.variants\.broken: maps of seeds \[3\], expected \[0, 3\]"):
        ablation(frozen(bench), [manifest], maps, [], tmp_path / "t.csv")
    (other,) = written(bench, manifest, features, [("other", 0, 1.0)])
    with pytest.raises(DataError, match=r"tiny\.json: maps of no variant .* \(found model ablation_other\)"):
        ablation(frozen(bench), [manifest], [*maps, other], [], tmp_path / "t.csv")
