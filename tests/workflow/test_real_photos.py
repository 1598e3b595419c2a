"""The pipeline on real photos: ECSSD and VOC layouts, hand-made descriptors and a ViT from a local checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image
from workflow.running import Run

from heap.encoders.vit import build
from heap.settings.baselines import BASELINES

pytestmark = pytest.mark.slow  # whole runs on real photos


def few_ecssd(shared: Path, root: Path, photos: int) -> None:
    for folder, suffix in (("images", "jpg"), ("ground_truth_mask", "png")):
        (root / folder).mkdir(parents=True)
        for path in sorted((shared / "data/ecssd" / folder).glob(f"*.{suffix}"))[:photos]:
            (root / folder / path.name).symlink_to(path)


def few_voc(shared: Path, root: Path, photos: int) -> None:
    source = shared / "data/voc_mini/VOC2012"
    for folder in ("JPEGImages", "Annotations", "SegmentationClass"):
        (root / folder).mkdir(parents=True)
        for path in (source / folder).iterdir():
            (root / folder / path.name).symlink_to(path)
    for name in ("Main/trainval", "Segmentation/train", "Segmentation/val"):
        lines = (source / "ImageSets" / f"{name}.txt").read_text().split()[:photos]
        path = root / "ImageSets" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def run(shared: Path, tmp_path_factory: pytest.TempPathFactory, small_config: Callable[[], dict[str, Any]]) -> Run:
    folder = tmp_path_factory.mktemp("real photos")  # a space, as people have them
    few_ecssd(shared, folder / "ecssd", 12)
    few_voc(shared, folder / "VOC2012", 6)
    config = small_config()
    config["models"]["benchmarks"] |= {"encoder": "descriptors", "train_on": "ecssd", "min_train_images": 4}
    config["datasets"]["ecssd"] |= {"root": str(folder / "ecssd"), "archives": [], "max_px": 160}
    for name in ("voc07", "voc12"):
        config["datasets"][name] |= {"root": str(folder / "VOC2012"), "archives": [], "max_px": 160}
    config["datasets"]["voc12_seg"]["resize_px"] = [128, 128]
    # Every method on ECSSD; each is a process a dataset, and on four datasets they would only take time.
    config["benchmarks"]["voc"]["methods"] = ["heap", "tokencut", "everything"]
    return Run(folder, config)


def check_table(run: Run, benchmark: str, encoder: str) -> pd.DataFrame:
    table = pd.read_csv(run.folder / f"results/{benchmark}_metrics.csv")
    assert set(table["method"]) == set(run.config["benchmarks"][benchmark]["methods"])
    assert table["value"].notna().all()
    details = json.loads((run.folder / f"results/{benchmark}_metrics.json").read_text())
    assert encoder in json.dumps(details)
    return table


def test_ecssd_and_voc_with_descriptors(run: Run) -> None:
    run.snakemake("results/ecssd_metrics.csv", "results/voc_metrics.csv", "results/report/ecssd.html")
    table = check_table(run, "ecssd", "descriptors (hand-made")
    assert set(table["method"]) == {"heap", *BASELINES}
    assert (table["images"] == 12).all()
    details = (run.folder / "results/ecssd_metrics.json").read_text()
    assert "1000" in details, "the published count is not hidden"
    table = check_table(run, "voc", "descriptors (hand-made")
    assert set(table["task"]) == {"discovery", "instances", "retrieval", "semantic"}
    assert set(table["dataset"]) == {"voc07", "voc12", "voc12_seg"}


def test_voc_and_ecssd_with_a_vit_from_a_local_checkpoint(run: Run) -> None:
    # Random values in the official layout: DINO's own weights cannot be had offline, the loading is the same.
    torch.manual_seed(0)
    path = run.folder / "random values.pth"
    torch.save(build("dino_vits8").state_dict(), path)
    config = run.config
    config["encoders"]["dino_vits8"]["weights"] = str(path)
    config["models"]["benchmarks"]["encoder"] = "dino_vits8"
    for name in ("ecssd", "voc07", "voc12"):
        config["datasets"][name]["max_px"] = 96
    config["datasets"]["voc12_seg"]["resize_px"] = [96, 96]
    run.edit(config)
    run.snakemake("results/ecssd_metrics.csv", "results/voc_metrics.csv")
    for benchmark in ("ecssd", "voc"):
        check_table(run, benchmark, "unverified file random values.pth")


def test_own_photos_get_a_mask_each(shared: Path, run: Run) -> None:
    root = run.folder / "my photos"
    (root / "sub folder").mkdir(parents=True)
    names = ["plain", "a b", "$(touch x)", "-rf", "sub folder/ünder"]
    for name, source in zip(names, sorted((shared / "data/photos").glob("*.jpg")), strict=False):
        (root / f"{name}.jpg").symlink_to(source)
    (root / "broken.jpg").write_text("no photo")
    config = run.config
    config["models"]["photos"] |= {"encoder": "descriptors", "min_train_images": 4}
    config["datasets"]["photos"] |= {"root": str(root), "max_px": 128}
    run.edit(config)
    text = run.snakemake("results/masks/photos.json")
    for name in names:
        mask = Image.open(run.folder / "results/masks/photos" / f"{name}.png")
        assert mask.size == Image.open(root / f"{name}.jpg").size
    assert "broken.jpg" in text
    assert not list(run.folder.rglob("x")), "a file name was run as a command"
    coco = json.loads((run.folder / "results/masks/photos.json").read_text())
    assert len(coco["images"]) == len(names)
