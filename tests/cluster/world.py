"""A small dataset after `group`: photos with one object each, patch maps, regions with planted classes. No encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from heap.cache.maps import write_maps
from heap.cache.reader import FeatureReceipt
from heap.cluster import table
from heap.cluster.stage import cluster
from heap.data import manifest
from heap.files import write_json
from heap.group import regions
from heap.receipts import Weights
from heap.settings.resolved import STAGE_VERSION
from heap.settings.stages import ClusterSettings

PATCH = 8
DIM = 16
OBJECT, GROUND, SKY = 2, 0, 1  # tokens
COLOURS = [(200, 60, 50), (60, 170, 70), (60, 80, 200)]


@dataclass(frozen=True)
class World:
    """Files of the dataset and what was planted in it."""

    folder: Path
    ids: list[str]
    classes: list[int]  # of each photo's object
    masks: list[np.ndarray]  # (H, W) bool, the object at photo resolution, borders on patch borders
    truth_of_region: np.ndarray  # planted class of each region: 0..k-1 objects, then k ground, k + 1 sky

    @property
    def regions(self) -> Path:
        return self.folder / "regions/tiny.parquet"

    @property
    def maps(self) -> Path:
        return self.folder / "maps/heap/tiny.json"

    @property
    def manifest(self) -> Path:
        return self.folder / "manifests/tiny.parquet"


def freeze(folder: Path, stage: str, **settings: Any) -> Path:
    """Write frozen settings of a stage and return their path."""
    path = folder / f"settings/{stage}.json"
    write_json(path, {"stage": stage, "name": "tiny", "version": STAGE_VERSION[stage], **settings})
    return path


def clustered(folder: Path, *worlds: World, **settings: Any) -> table.Clusters:
    """Cluster datasets into `c.parquet` and `c.faiss` of a folder."""
    values = ClusterSettings(**{"foreground": 3, "background": 2, "neighbours": 4, **settings}).model_dump(mode="json")
    frozen = freeze(folder, "cluster", cluster=values)
    cluster(frozen, [w.regions for w in worlds], [w.maps for w in worlds], folder / "c.parquet", folder / "c.faiss")
    return table.read(folder / "c.parquet")


def make(
    folder: Path,
    ids: list[str] | None = None,
    classes: int = 3,
    encoder: str = "descriptors",
    truth: bool = True,
    noise: float = 0.05,
    name: str = "tiny",
) -> World:
    """Write the dataset. Objects are rectangles of whole patches; every second photo is resized for the encoder."""
    rng = np.random.default_rng(7)
    ids = [f"photo_{i:02d}" for i in range(12)] if ids is None else ids
    prototypes = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0][: classes + 2]
    root = folder / "files"
    rows, images, grids, listed, embeddings, planted, masks = [], [], [], [], [], [], []
    for i, image_id in enumerate(ids):
        input_h, input_w = 64 - 3 * (i % 2), 80 + 5 * (i % 3)
        scale = 1 + i % 2
        height, width = input_h * scale, input_w * scale
        grid_h, grid_w = -(-input_h // PATCH), -(-input_w // PATCH)
        tokens = np.full((grid_h, grid_w), GROUND, dtype=np.int16)
        tokens[:2] = SKY
        tokens[2:6, 1 + i % 3 : 5 + i % 3] = OBJECT
        mask = np.zeros((height, width), dtype=bool)
        mask[16 * scale : 48 * scale, (1 + i % 3) * 8 * scale : (5 + i % 3) * 8 * scale] = True
        pixels = np.full((height, width, 3), (120, 110, 90), dtype=np.float64)
        pixels[: 16 * scale] = (150, 180, 210)
        pixels[mask] = COLOURS[i % classes % len(COLOURS)]
        photo = np.clip(pixels + rng.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)
        # Files have plain names: an image_id is the manifest's, whatever the file is called.
        (root / "truth").mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(root / f"{i}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(root / f"truth/{i}.png")
        ys, xs = np.nonzero(mask)
        box = [int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1]
        rows.append(
            {
                "image_id": image_id, "path": f"{i}.png", "height_px": height, "width_px": width, "split": "",
                "content": "0" * 32, "mask_path": f"truth/{i}.png" if truth else None, "class_mask_path": None,
                "boxes": [box] if truth else None, "box_classes": ["thing"] if truth else None,
            }
        )  # fmt: skip
        images.append(
            {
                "image_id": image_id, "split": "", "height_px": height, "width_px": width, "input_h_px": input_h,
                "input_w_px": input_w, "grid_h": grid_h, "grid_w": grid_w,
            }
        )  # fmt: skip
        grids.append((np.where(tokens == OBJECT, 0.98, 0.02).astype(np.float32).ravel(), tokens.ravel()))
        for token in (GROUND, SKY, OBJECT):
            kind = i % classes if token == OBJECT else classes + token
            vector = prototypes[kind] + noise * rng.normal(size=DIM)
            embeddings.append(vector / np.linalg.norm(vector))
            planted.append(kind)
            listed.append(
                {
                    "image_id": image_id, "token": token, "area_share": float((tokens == token).mean()),
                    "foreground": 0.98 if token == OBJECT else 0.02,
                }
            )  # fmt: skip
        masks.append(mask)
    world = World(folder, ids, [i % classes for i in range(len(ids))], masks, np.array(planted))
    info = {
        "dataset": name, "layout": "folder", "root": str(root), "classes": [], "expected_images": None,
        "images": len(rows), "skipped": [], "warnings": [],
    }  # fmt: skip
    manifest.write(world.manifest, manifest.Manifest(pd.DataFrame(rows, dtype=object), info))
    receipt = FeatureReceipt.model_construct(
        dataset=name, encoder=encoder, patch_px=PATCH, attention_kind="cls", skipped=[],
        weights=Weights(source="random"), fingerprint="f",
    )  # fmt: skip
    write_maps(world.maps, SimpleNamespace(receipt=receipt, images=pd.DataFrame(images)), "heap", grids, {"model": "m"})  # type: ignore[arg-type]
    frame = pd.DataFrame(listed).astype({"token": np.int16, "area_share": np.float32, "foreground": np.float32})
    frame.insert(0, "region_id", np.arange(len(frame), dtype=np.int64))
    about = {"dataset": name, "model": "m", "encoder": encoder, "tokens": 3, "head_sha256": "0"}
    regions.write(world.regions, regions.Regions(frame, np.array(embeddings, dtype=np.float32), about))
    return world
