"""Planted features for tests: discs of objects on stuff, in the spirit of design/method.md but without any photo.

Not DINO: a head that fails here is wrong, one that works here may still fail on photos.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from heap import paths
from heap.cache.plan import plan
from heap.cache.reader import FeatureReader, store_folder
from heap.cache.store import FeatureStore
from heap.data import manifest as manifests
from heap.files import write_json

DIM, HEADS, SIDE = 32, 2, 14


def planted_store(
    folder: Path, photos: int, seed: int, noise: float = 0.5, grids: tuple[tuple[int, int], ...] = ((SIDE, SIDE),)
):
    """Write a store of planted features; returns its reader and the true foreground `(N,)` of each photo.

    Every photo has one object of one of 4 classes on one of 3 stuffs; objects share a weak common direction, and the
    attention is a blurred, noisy guess at the object.
    """
    world = np.random.default_rng(7)

    def unit(n: int) -> np.ndarray:
        v = world.normal(size=(n, DIM))
        return v / np.linalg.norm(v, axis=1, keepdims=True)

    common, (objectness, stuffness), classes, stuffs = unit(1)[0], unit(2), unit(4), unit(3)
    rng = np.random.default_rng([seed, 99])
    rows = pd.DataFrame(
        {
            "image_id": [f"p{i:04d}" for i in range(photos)],
            "path": [f"p{i:04d}.jpg" for i in range(photos)],
            "height_px": [grids[i % len(grids)][0] * 8 for i in range(photos)],
            "width_px": [grids[i % len(grids)][1] * 8 for i in range(photos)],
        }
    )
    layout = plan(rows, 8, DIM * 2, lambda h, w: (h, w))
    store = FeatureStore.create(store_folder(folder / "planted", "f" * 16), layout, DIM, HEADS, {})
    truth: dict[int, np.ndarray] = {}
    for shard in range(layout.shards):
        features = np.full((layout.rows_per_shard, DIM), np.nan, np.float16)
        attention = np.full((layout.rows_per_shard, HEADS), np.nan, np.float32)
        cls = np.zeros((layout.slots_per_shard, DIM), np.float32)
        for photo in layout.of_shard(shard).itertuples():
            y, x = np.mgrid[: photo.grid_h, : photo.grid_w]
            cy, cx = rng.uniform(0.3, 0.7, 2) * (photo.grid_h, photo.grid_w)
            radius = rng.uniform(0.15, 0.3) * min(photo.grid_h, photo.grid_w) * 1.3
            inside = (((y - cy) ** 2 + (x - cx) ** 2) < radius**2).ravel()
            front = 0.5 * common + 0.6 * objectness + 0.9 * classes[rng.integers(4)]
            back = 0.5 * common + 0.9 * stuffness + 0.7 * stuffs[rng.integers(3)]
            values = np.where(inside[:, None], front, back) + noise * rng.normal(size=(len(inside), DIM)) / DIM**0.5 * 2
            start = photo.offset - shard * layout.rows_per_shard
            features[start : start + len(inside)] = values
            log_attention = 1.2 * inside[:, None] + 0.8 * rng.normal(size=(len(inside), HEADS))
            attention[start : start + len(inside)] = np.exp(log_attention) / len(inside)
            truth[photo.Index] = inside
        store.write_shard(shard, features, attention, cls, [])
    receipt = folder / "planted.json"
    write_json(
        receipt,
        {
            "dataset": "planted", "fingerprint": "f" * 16, "encoder": "planted", "patch_px": 8,
            "dim": DIM, "heads": HEADS,
            "attention_kind": "cls", "weights": {"source": "none", "sha256": None}, "encoder_settings": {},
            "rows_per_shard": layout.rows_per_shard, "shards": layout.shards, "images": photos, "skipped": [],
        },
    )  # fmt: skip
    assert paths.folder_of(receipt).is_dir()
    return FeatureReader(receipt), [truth[n] for n in range(photos)]


def write_manifest(path: Path, reader: FeatureReader, splits: dict[str, str] | None = None) -> Path:
    """Write the manifest of a planted store; photos not in `splits` are of split "train"."""
    given = reader.images[["image_id", "path", "height_px", "width_px"]]
    absent = dict.fromkeys(("mask_path", "class_mask_path", "boxes", "box_classes", "crowd_boxes"))
    split = [(splits or {}).get(name, "train") for name in given["image_id"]]
    table = given.assign(split=split, content="0" * 32, **absent)
    about = {
        "dataset": "planted", "layout": "folder", "root": str(path.parent), "classes": [], "expected_images": None,
        "images": len(table), "skipped": [], "warnings": [],
    }  # fmt: skip
    manifests.write(path, manifests.Manifest(table, about))
    return path


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / max(1, (found | truth).sum()))
