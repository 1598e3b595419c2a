"""A benchmark of a few tiny photos with every file the stage reads, written by the stages' own writers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from pycocotools import mask as coco_mask

from heap import paths
from heap.cache.maps import write_maps
from heap.cache.plan import plan
from heap.cache.reader import FeatureReader, store_folder
from heap.cache.store import FeatureStore
from heap.data import manifest as manifests
from heap.files import write_json
from heap.settings.resolved import STAGE_VERSION

PATCH_PX = 8
DIM = 6
CLASSES = ["cat", "dog"]
# Height, width: neither square nor whole patches, so that a swap or a missing crop shows.
SIZES = [(44, 60), (61, 43), (48, 64)]


@dataclass
class Bench:
    """Photos 0..n-1, each with one object of class 1 + i % 2.

    The object is a band across the photo on patch borders: bilinear logits of +-15 then cross 0 exactly on its border,
    while they would round the corners of a rectangle.
    """

    folder: Path
    photos: int = 9
    bootstrap: int = 0
    smoothing: float = 0.0
    skipped: tuple[int, ...] = ()
    foreground: int = 255  # of the true masks
    ignored: tuple[int, ...] = ()  # photos whose class mask is 255 everywhere
    order: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.order = self.order or list(range(self.photos))

    def size(self, i: int) -> tuple[int, int]:
        return SIZES[i % len(SIZES)]

    def band(self, i: int) -> slice:
        """Patch rows of the object."""
        return slice(1 + i % 3, 3 + i % 3)

    def truth(self, i: int) -> npt.NDArray[np.bool_]:
        truth = np.zeros(self.size(i), dtype=bool)
        truth[self.band(i).start * PATCH_PX : self.band(i).stop * PATCH_PX] = True
        return truth

    def grid(self, i: int) -> npt.NDArray[np.float32]:
        """The perfect patch map."""
        height, width = self.size(i)
        grid = np.zeros((-(-height // 8), -(-width // 8)), dtype=np.float32)
        grid[self.band(i)] = 1
        return grid

    def write_manifest(self) -> Path:
        rows = []
        for i in self.order:
            truth, class_id = self.truth(i), 1 + i % 2
            mask, labels = f"mask{i}.png", f"classes{i}.png"
            classes = np.full_like(truth, 255, np.uint8) if i in self.ignored else truth.astype(np.uint8) * class_id
            Image.fromarray(truth.astype(np.uint8) * self.foreground).save(self.folder / mask)
            Image.fromarray(classes.astype(np.uint8)).save(self.folder / labels)
            ys, xs = np.nonzero(truth)
            box = [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1]
            height, width = truth.shape
            rows.append(
                {
                    "image_id": f"photo{i}", "path": f"photo{i}.jpg", "height_px": height, "width_px": width,
                    "split": "train" if i < self.photos // 2 else "val", "content": f"{i:032x}", "mask_path": mask,
                    "class_mask_path": labels, "boxes": [box], "box_classes": [CLASSES[class_id - 1]],
                }
            )  # fmt: skip
        info = {
            "dataset": "tiny", "layout": "voc", "root": str(self.folder), "classes": CLASSES, "expected_images": None,
            "images": len(rows), "skipped": [], "warnings": [],
        }  # fmt: skip
        path = self.folder / "tiny.parquet"
        manifests.write(path, manifests.Manifest(pd.DataFrame(rows), info))
        return path

    def write_features(self, manifest: Path) -> Path:
        table = manifests.read(manifest).table
        layout = plan(table, PATCH_PX, DIM * 2, lambda height, width: (height, width))
        receipt = self.folder / "features" / "tiny.json"
        info = {"dataset": "tiny", "fingerprint": "f" * 16, "encoder": "planted"}
        store = FeatureStore.create(
            store_folder(paths.folder_of(receipt), info["fingerprint"]), layout, DIM, 1, {**info, "photos": self.order}
        )
        skipped = [{"image_id": f"photo{i}", "reason": "cut file"} for i in self.skipped]
        for shard in range(layout.shards):
            features = np.full((layout.rows_per_shard, DIM), np.nan, np.float16)
            for _, row in layout.of_shard(shard).iterrows():
                i = int(row["image_id"].removeprefix("photo"))
                start = int(row["offset"]) - shard * layout.rows_per_shard
                grid = self.grid(i).ravel()
                noise = np.random.default_rng(i).normal(0, 0.1, (len(grid), DIM))
                noise[:, i % 2] += grid  # the object's class is a direction
                features[start : start + len(grid)] = noise
            attention = np.ones((layout.rows_per_shard, 1), np.float32)
            cls = np.zeros((layout.slots_per_shard, DIM), np.float32)
            mine = set(layout.of_shard(shard)["image_id"])
            store.write_shard(shard, features, attention, cls, [s for s in skipped if s["image_id"] in mine])
        write_json(
            receipt,
            {
                **info, "patch_px": PATCH_PX, "dim": DIM, "heads": 1, "attention_kind": "cls", "skipped": skipped,
                "weights": {"source": "random", "sha256": "a" * 64}, "rows_per_shard": layout.rows_per_shard,
                "shards": layout.shards,
            },
        )  # fmt: skip
        return receipt

    def write_maps(self, features: Path, method: str) -> Path:
        """`heap` is perfect, `everything` is 1, `attention` is below 0.5 everywhere (so all fall back)."""
        reader = FeatureReader(features)
        shapes = {
            "heap": lambda grid: grid,
            "everything": np.ones_like,
            "attention": lambda grid: grid * np.float32(0.4),
        }
        ids = [int(image_id.removeprefix("photo")) for image_id in reader.images["image_id"]]
        maps = [(shapes[method](self.grid(i)).ravel(), None) for i in ids]
        receipt = self.folder / "maps" / method / "tiny.json"
        write_maps(receipt, reader, method, maps, {"head_sha256": "b" * 64})
        return receipt

    def write_masks(self) -> Path:
        """HEAP's instances: the truth, its cluster the other way round than the classes."""
        images, annotations = [], []
        for number, i in enumerate(self.order, start=1):
            rle = coco_mask.encode(np.asfortranarray(self.truth(i), dtype=np.uint8))
            images.append({"id": number, "file_name": f"photo{i}.jpg", "heap_id": f"photo{i}"})
            segmentation = {"size": list(self.truth(i).shape), "counts": rle["counts"].decode()}
            x, y, width, height = (int(side) for side in coco_mask.toBbox(rle))
            annotations.append(
                {
                    "id": number, "image_id": number, "category_id": 2 - i % 2, "segmentation": segmentation,
                    "bbox": [x, y, width, height], "score": 0.9,
                }
            )  # fmt: skip
        path = self.folder / "masks" / "tiny.json"
        info = {"dataset": "tiny", "threshold": 0.5, "min_area": 0.002}
        categories = [{"id": number} for number in sorted({one["category_id"] for one in annotations} | {1})]
        write_json(path, {"info": info, "images": images, "annotations": annotations, "categories": categories})
        return path

    def write_frozen(self, tasks: list[dict[str, Any]], methods: list[str]) -> Path:
        path = self.folder / "frozen.json"
        version = STAGE_VERSION["evaluate"]
        benchmark = {"tasks": tasks, "methods": methods}
        shared = {"bootstrap": self.bootstrap, "seed": 0}
        frozen = {"stage": "evaluate", "name": "tiny", "version": version, "benchmark": benchmark, "evaluate": shared}
        frozen["smoothing"] = self.smoothing
        write_json(path, frozen)
        return path
