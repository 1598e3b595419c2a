"""An edit of a split is run: other photos train another head, on features that are not encoded again."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
from head.training import freeze, train_model
from PIL import Image

from heap import paths
from heap.cache.extract import extract, gather
from heap.data import manifest
from heap.files import read_json, write_json
from heap.settings import parse
from heap.settings.config import read

REPOSITORY = Path(__file__).parents[2]
LISTS = "VOC2012/ImageSets/Main"


class Project:
    """Eight tiny photos in VOC's layout, six of split train and two of val."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "photos"
        (self.root / LISTS).mkdir(parents=True)
        (self.root / "VOC2012/JPEGImages").mkdir()
        rng = np.random.default_rng(0)
        for name in range(8):
            pixels = rng.integers(0, 90, (48, 56, 3), dtype=np.uint8)
            pixels[16:32, 16 : 40 - name] += 120
            Image.fromarray(pixels).save(self.root / f"VOC2012/JPEGImages/{name}.jpg", quality=95)
        self.raw: dict[str, Any] = read(REPOSITORY / "config/config.yaml")
        self.raw["datasets"]["mine"] = {
            "layout": "voc", "year": 2012, "boxes": False, "splits": {"train": "Main/train", "val": "Main/val"},
            "root": str(self.root), "model": "mine",
        }  # fmt: skip
        self.raw["models"]["mine"] = {"encoder": "descriptors", "train_on": "mine", "train_split": "train"}
        self.raw["train"] |= {"seeds": [0], "steps": 2, "batch_size": 4}
        self.list(train="012345", val="67")

    def list(self, **splits: str) -> None:
        for name, ids in splits.items():
            (self.root / LISTS / f"{name}.txt").write_text("".join(f"{one}\n" for one in ids))

    def run(self) -> tuple[int, bytes, int]:
        """Run every stage up to the head; return photos encoded, the head, and photos trained on."""
        config, here = parse(self.raw), Path()
        listed, features, files = Path(paths.manifest("mine")), Path(paths.features("mine")), Path("files.json")
        write_json(files, {"name": "mine", "root": str(self.root), "how": "given", "archives": []})
        manifest.make(freeze(config, "manifest", "mine", here), files, listed)
        write_json(Path("weights.json"), {"source": "none", "file": None, "sha256": None})
        part = Path(paths.features_part("mine", "1-of-1"))
        frozen = freeze(config, "extract", "mine", here)
        extract(frozen, listed, Path("weights.json"), paths.folder_of(features), "1-of-1", part, "cpu")
        gather([part], paths.folder_of(features), listed, features)
        receipt = read_json(train_model(config, "mine", features, listed, here))
        head = Path(paths.seed_head("mine", "0")).read_bytes()
        return read_json(part)["photos_encoded"], head, receipt["trained_on"]["photos"]


def test_a_photo_moves_from_train_to_val_and_a_split_is_renamed(tmp_path: Path) -> None:
    project = Project(tmp_path)
    (tmp_path / "project").mkdir()
    with contextlib.chdir(tmp_path / "project"):
        encoded, first, photos = project.run()
        assert (encoded, photos) == (8, 6)
        project.list(train="0234", val="6715")
        encoded, second, photos = project.run()
        assert (encoded, photos) == (0, 4)
        assert second != first
        project.list(train="543210", val="76")  # the order of a list decides nothing
        encoded, third, photos = project.run()
        assert (encoded, photos) == (0, 6)
        assert third == first
        splits = project.raw["datasets"]["mine"]["splits"]
        splits["learn"] = splits.pop("train")
        project.raw["models"]["mine"]["train_split"] = "learn"
        encoded, renamed, photos = project.run()
        assert (encoded, photos) == (0, 6)
        assert renamed[-1000:] == first[-1000:]  # the weights: the description says the split's new name
