"""A test bed: features of square photos with known foreground, in a store that training reads like any other."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from heap.cache.plan import plan
from heap.cache.reader import FeatureReader, store_folder
from heap.cache.store import FeatureStore
from heap.files import write_json

SIDE = 28


@dataclass(frozen=True)
class Photos:
    """Photos as arrays. `truth` is None for photos that have none.

    Attributes:
        features: `(I, N, D)` float16.
        attention: `(I, N, heads)` float32.
        truth: `(I, N)` bool, or None.
        pictures: `(I, H, W, 3)` uint8 photos of 8 px a patch, which FOUND's solver looks at, or None.
        classes: `(I, N)` int16 class of each patch, -1 for ground and for what has none, or None.
    """

    features: np.ndarray
    attention: np.ndarray
    truth: np.ndarray | None
    pictures: np.ndarray | None = None
    classes: np.ndarray | None = None


@dataclass(frozen=True)
class Bed:
    """A named store and its truth.

    Attributes:
        name: how tables name it.
        reader: of the store.
        train: positions of the photos to train on.
        truth: foreground `(N,)` bool by position in the store.
        scored: positions by name of the set, `val` (recipes are chosen on it) and `test` (reported).
        pictures: folder of the photos, as far as there are any.
        classes: class of each patch `(N,)` by position, of photos whose classes are known and that are not of `train`.
    """

    name: str
    reader: FeatureReader
    train: list[int]
    truth: dict[int, np.ndarray]
    scored: dict[str, list[int]]
    pictures: Path
    classes: dict[int, np.ndarray]


def build(name: str, parts: dict[str, Photos], val_is: str, folder: Path | None = None) -> Bed:
    """Write a store.

    Args:
        name: of the bed.
        parts: photos by part; `train` and `unlabelled` are trained on, `test` is reported.
        val_is: the part whose truth chooses recipes.
        folder: of the store; a temporary one by default.
    """
    folder = folder or Path(tempfile.mkdtemp(prefix="heap-bed-"))
    features = [f for p in parts.values() for f in p.features]
    attention = [a for p in parts.values() for a in p.attention]
    count, dim = len(features), features[0].shape[1]
    px = [round(len(f) ** 0.5) * 8 for f in features]
    ids = [f"{number:05d}" for number in range(count)]
    parts_of = [part for part, p in parts.items() for _ in p.features]
    train = [number for number, part in enumerate(parts_of) if part not in ("test", "val")]
    paths = [f"{name}.png" for name in ids]
    _draw(folder / "pictures", [(p.pictures, len(p.features)) for p in parts.values()], paths)
    rows = pd.DataFrame({"image_id": ids, "path": paths, "height_px": px, "width_px": px})
    layout = plan(rows, 8, dim * 2, lambda h, w: (h, w))
    fingerprint = "f" * 16
    heads = attention[0].shape[-1]
    store = FeatureStore.create(store_folder(folder / "bed", fingerprint), layout, dim, heads, {})
    for shard in range(layout.shards):
        flat = np.full((layout.rows_per_shard, dim), np.nan, np.float16)
        attended = np.full((layout.rows_per_shard, heads), np.nan, np.float32)
        for photo in layout.of_shard(shard).itertuples():
            start = photo.offset - shard * layout.rows_per_shard
            rows_of_photo = slice(start, start + len(features[photo.Index]))
            flat[rows_of_photo] = features[photo.Index]
            attended[rows_of_photo] = attention[photo.Index]
        store.write_shard(shard, flat, attended, np.zeros((layout.slots_per_shard, dim), np.float32), [])
    receipt = folder / "bed.json"
    write_json(
        receipt,
        {
            "dataset": name, "fingerprint": fingerprint, "encoder": name, "patch_px": 8, "dim": dim, "heads": heads,
            "attention_kind": "cls", "weights": {"source": "none", "sha256": None}, "encoder_settings": {},
            "rows_per_shard": layout.rows_per_shard, "shards": layout.shards, "images": count, "skipped": [],
        },
    )  # fmt: skip
    truth: dict[int, np.ndarray] = {}
    classes: dict[int, np.ndarray] = {}
    scored: dict[str, list[int]] = {}
    start = 0
    for part, photos in parts.items():
        positions = list(range(start, start + len(photos.features)))
        start += len(positions)
        if photos.classes is not None and part != "train":
            classes |= {i: c for i, c in zip(positions, photos.classes, strict=True) if (c >= 0).any()}
        if photos.truth is None:
            continue
        truth |= dict(zip(positions, photos.truth, strict=True))
        if part == "test":
            scored["test"] = positions
        if part == val_is:
            scored["val"] = positions
    return Bed(name, FeatureReader(receipt), train, truth, scored, folder / "pictures", classes)


def _draw(folder: Path, parts: list[tuple[np.ndarray | None, int]], paths: list[str]) -> None:
    """Write the pictures of the parts that have some; `paths` are those of all parts' photos in turn."""
    folder.mkdir()
    start = 0
    for pictures, count in parts:
        if pictures is not None:
            for picture, path in zip(pictures, paths[start : start + count], strict=True):
                Image.fromarray(picture).save(folder / path, compress_level=1)
        start += count


def coarse(photos: Photos) -> Photos:
    """Every second patch of every second row: a quarter of the work, for a first look at a recipe."""

    def pick(values: np.ndarray) -> np.ndarray:
        grid = values.reshape(len(values), SIDE, SIDE, *values.shape[2:])[:, 1::2, 1::2]
        return grid.reshape(len(values), -1, *values.shape[2:])

    truth = None if photos.truth is None else pick(photos.truth)
    classes = None if photos.classes is None else pick(photos.classes)
    return Photos(pick(photos.features), pick(photos.attention), truth, classes=classes)
