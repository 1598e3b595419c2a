"""A folder of tiny photos, its manifest and frozen settings, laid out as the pipeline lays it out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from heap import paths
from heap.cache import extract as stage
from heap.cache.reader import FeatureReader
from heap.data import manifest
from heap.encoders.weights import locate
from heap.files import read_json, write_json
from heap.receipts import Weights
from heap.settings import frozen_text, parse
from heap.settings.config import read
from heap.settings.datasets import FolderDataset

REPOSITORY = Path(__file__).resolve().parents[2]


class Tiny:
    """Photos of noise in two shapes; `encoder` is `descriptors` or a ViT of timm with random weights."""

    def __init__(self, folder: Path, photos: int = 11, encoder: str = "descriptors") -> None:
        self.folder = folder
        self.photos = folder / "photos"
        self.features = folder / "features"
        self.receipt = self.features / "set.json"
        self.photos.mkdir(parents=True)
        for n in range(photos):
            self.draw(f"{n:02d}.png", ((40, 56), (48, 40))[n % 2], n)
        self.encoder = encoder
        self.freeze()
        self.list_photos()

    def draw(self, name: str, size: tuple[int, int], seed: int) -> Path:
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(self.photos / name)
        return self.photos / name

    def freeze(self, weights: str = "random", encoder: dict[str, Any] | None = None, **edits: Any) -> None:
        raw = read(REPOSITORY / "config/config.yaml")
        if encoder is None and self.encoder != "descriptors":
            # Photo by photo, because in larger batches the last bit of a value may differ.
            encoder = {"kind": "vit", "architecture": self.encoder, "weights": weights, "batch_size": 1}
        raw["encoders"]["tiny"] = encoder = encoder or {"kind": "descriptors"}
        receipt = Weights(source="none", file=None, sha256=None)
        if encoder["kind"] != "descriptors":
            receipt = locate(encoder["architecture"], encoder["weights"], None)
        raw["models"]["photos"]["encoder"] = "tiny"
        raw["datasets"]["photos"] |= edits
        self.config = parse(raw)
        (self.folder / "frozen.json").write_text(frozen_text(self.config, "extract", "photos"))
        write_json(self.folder / "weights.json", receipt.as_json())

    def list_photos(self, policy: str = "skip") -> manifest.Manifest:
        made = manifest.build(FolderDataset(layout="folder", on_bad_image=policy), "set", self.photos)
        manifest.write(self.folder / "manifest.parquet", made)
        return made

    def extract(self, part: str = "1-of-1", features: Path | None = None, device: str = "cpu") -> dict[str, Any]:
        out = (features or self.features) / "set.parts" / f"{part}.json"
        stage.extract(
            self.folder / "frozen.json", self.folder / "manifest.parquet", self.folder / "weights.json",
            paths.folder_of((features or self.features) / "set.json"), part, out, device,
        )  # fmt: skip
        return read_json(out)

    def gather(self, *parts: str, features: Path | None = None) -> FeatureReader:
        receipt = (features or self.features) / "set.json"
        receipts = [receipt.parent / "set.parts" / f"{part}.json" for part in parts or ("1-of-1",)]
        stage.gather(receipts, paths.folder_of(receipt), self.folder / "manifest.parquet", receipt)
        return FeatureReader(receipt)

    def make(self) -> FeatureReader:
        self.extract()
        return self.gather()


def payload(folder: Path) -> dict[str, bytes]:
    """Every file of a store with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def flip(path: Path, position: int) -> None:
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))
