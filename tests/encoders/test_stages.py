"""An encoder of the configuration through the stages weights, extract and gather, as Snakemake calls them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from heap.data import manifest
from heap.files import read_json
from heap.settings import frozen_text, parse
from heap.settings.config import read
from heap.settings.datasets import FolderDataset
from heap.stages import run

REPOSITORY = Path(__file__).resolve().parents[2]
CNN = {
    "kind": "cnn", "architecture": "resnet10t", "supervision": "SUPERVISED on ImageNet", "stages": [3], "patch_px": 16,
    "weights": "random",
}  # fmt: skip
VIT = {"kind": "vit", "architecture": "test_vit", "weights": "random", "facet": "token", "supervision": "by hand"}


@pytest.mark.parametrize(
    ("encoder", "kind", "dim", "words"),
    [
        (CNN, "feature_norm", 256, "CNN resnet10t stages 3, RANDOM weights"),
        (VIT, "cls", 64, "test_vit tokens of block -1, by hand, RANDOM weights"),
    ],
)
def test_the_receipts_say_what_the_encoder_is(
    tmp_path: Path, encoder: dict[str, Any], kind: str, dim: int, words: str
) -> None:
    (tmp_path / "photos").mkdir()
    photo = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "photos" / "a.png")
    raw = read(REPOSITORY / "config/config.yaml")
    raw["encoders"]["mine"] = encoder
    raw["models"]["photos"]["encoder"] = "mine"
    config = parse(raw)
    for stage, name in (("weights", "mine"), ("extract", "photos")):
        (tmp_path / f"{stage}.frozen.json").write_text(frozen_text(config, stage, name))
    made = manifest.build(FolderDataset(layout="folder"), "photos", tmp_path / "photos")
    manifest.write(tmp_path / "manifest.parquet", made)
    files = {name: str(tmp_path / name) for name in ("weights.json", "part.json", "features", "features.json")}
    for arguments in (
        ["weights", "--settings", str(tmp_path / "weights.frozen.json"), "--out-receipt", files["weights.json"]],
        ["extract", "--settings", str(tmp_path / "extract.frozen.json"), "--weights", files["weights.json"],
         "--manifest", str(tmp_path / "manifest.parquet"), "--folder", files["features"], "--part", "1-of-1",
         "--out-part", files["part.json"], "--device", "cpu"],
        ["gather", "--parts", files["part.json"], "--manifest", str(tmp_path / "manifest.parquet"),
         "--folder", files["features"], "--out-receipt", files["features.json"]],
    ):  # fmt: skip
        run(arguments)
    receipt = read_json(files["features.json"])
    assert receipt["attention_kind"] == kind
    assert receipt["dim"] == dim
    assert receipt["encoder"].startswith(words)
    assert receipt["weights"]["source"] == "random"
    assert receipt["precision_error"] is None
