"""Speed of reading cached features: from memory, from the disk while a head trains, and photo by photo.

    python benchmarks/reader.py
    python benchmarks/reader.py --count 2000 --folder /scratch --out reader.csv

Loading: a store is read whole into memory (by `FeatureReader.shard`, and by `TrainingSet`, which makes the training
targets too), and so are flat files of the same bytes (`numpy.fromfile`), in turns. Both are warm: they lie in the page
cache, so that the disk does not decide. `--cold` drops a file from the page cache before it is read.
Streaming: a head trains on batches that a thread reads and collates; `waiting` is the share of the time in which the
training loop stood still for its next batch. The features are noise in the shape of ViT-S/8 at 224 px.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import in_turns, ratio, show, table_of

from heap.cache.plan import plan
from heap.cache.reader import FeatureReader, store_folder
from heap.cache.store import FeatureStore, open_array
from heap.files import write_json
from heap.head import losses
from heap.head.batches import TrainingSet
from heap.head.model import Head
from heap.settings.models import HeadSettings

DIM, HEADS, SIDE_PX, PATCH_PX = 384, 6, 224, 8


def noise_store(folder: Path, count: int) -> FeatureReader:
    """Write a store of noise and its receipt."""
    table = table_of([Path(f"{n}.jpg") for n in range(count)], [(SIDE_PX, SIDE_PX)] * count)
    layout = plan(table, PATCH_PX, DIM * 2, lambda h, w: (h, w))
    store = FeatureStore.create(store_folder(folder / "noise", "0" * 16), layout, DIM, HEADS, {"fingerprint": "0" * 16})
    rng = np.random.default_rng(0)
    for shard in range(layout.shards):
        attention = rng.random((layout.rows_per_shard, HEADS), np.float32)
        features = rng.standard_normal((layout.rows_per_shard, DIM), np.float32).astype(np.float16)
        store.write_shard(shard, features, attention, np.zeros((layout.slots_per_shard, DIM), np.float32), [])
    receipt = {
        "dataset": "noise", "fingerprint": "0" * 16, "encoder": "noise", "patch_px": PATCH_PX, "dim": DIM,
        "heads": HEADS, "attention_kind": "cls", "weights": {"source": "random"}, "storage": "float16",
        "rows_per_shard": layout.rows_per_shard, "shards": layout.shards, "images": count, "skipped": [],
    }  # fmt: skip
    write_json(folder / "noise.json", receipt)
    return FeatureReader(folder / "noise.json")


def files_of(reader: FeatureReader) -> list[Path]:
    return [p for name in ("features", "attention") for p in sorted((reader.folder / name / "c").rglob("0"))
            if p.is_file()]  # fmt: skip


def forget(files: list[Path]) -> None:
    """Drop files from the page cache."""
    for path in files:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def loading(reader: FeatureReader, repeats: int, seconds: float, cold: bool) -> list[dict[str, Any]]:
    files = files_of(reader)
    size = sum(path.stat().st_size for path in files)
    shards, rows = reader.receipt.shards, reader.receipt.rows_per_shard

    def by_zarr() -> None:
        arrays = [open_array(reader.folder, name) for name in ("features", "attention")]
        kept.extend(np.asarray(array[s * rows : (s + 1) * rows]) for array in arrays for s in range(shards))

    kept: list[Any] = []
    ways: dict[str, Callable[[], Any]] = {
        "flat files (numpy.fromfile)": lambda: kept.extend(np.fromfile(path, np.uint8) for path in files),
        "FeatureReader.shard": lambda: kept.extend(reader.shard(shard) for shard in range(shards)),
        "TrainingSet robust": lambda: kept.append(TrainingSet(reader, None, "robust", 1e3)),
        "TrainingSet pure": lambda: kept.append(TrainingSet(reader, None, "pure", 1e3)),
        "TrainingSet contrast": lambda: kept.append(TrainingSet(reader, None, "contrast", 1e3)),
        "zarr-python": by_zarr,
    }

    # The way's own time counts, without the dropping of what the one before it kept.
    found: dict[str, list[float]] = {name: [] for name in ways}

    def timed(name: str, way: Callable[[], Any]) -> Callable[[], Any]:
        def job() -> None:
            kept.clear()
            if cold:
                forget(files)
            begun = time.perf_counter()
            way()
            found[name].append(time.perf_counter() - begun)

        return job

    in_turns({name: timed(name, way) for name, way in ways.items()}, repeats, seconds)
    kept.clear()
    flat = found["flat files (numpy.fromfile)"]
    return [
        {
            "way": name, "page cache": "cold" if cold else "warm", "rounds": len(taken),
            "MB/s": size / 1e6 / statistics.median(taken), "of flat files": ratio(taken, flat),
        }
        for name, taken in found.items()
    ]  # fmt: skip


def streaming(reader: FeatureReader, steps: int, batch: int, device: str) -> dict[str, Any]:
    data = TrainingSet(reader, None, "contrast", 1e-9)  # the shipped guess, which costs most
    torch.manual_seed(0)
    head = Head(DIM, HeadSettings(temperature=0.1)).to(device)
    head.temperature.fill_(0.1)
    optimiser = torch.optim.AdamW(head.parameters(), 1e-4)
    batches = data.batches(0, batch, 0)
    next(batches)  # the first one waits for the disk whoever reads it
    before, begun = data.waited_s, time.perf_counter()
    for _ in range(steps):
        made = next(batches)
        features, mask = made.features.to(device), made.mask.to(device)
        grouping = head(features, mask)
        loss = losses.negative(*losses.image_level(grouping), 0.5) + losses.inter(grouping, 0.25, 0.01)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()
    spent = time.perf_counter() - begun
    batches.close()
    return {
        "photos": len(data), "steps": steps, "batch": batch, "ms a step": spent / steps * 1e3,
        "waiting": (data.waited_s - before) / spent,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400, help="photos; 0.6 MB each")
    parser.add_argument("--folder", type=Path, help="where the store is written (default: the temporary folder)")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--steps", type=int, default=30, help="of training")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="heap-benchmark-", dir=asked.folder))
    try:
        reader = noise_store(folder, asked.count)
        rows = loading(reader, asked.repeats, asked.seconds, asked.cold)
        show("loading a cache into memory (aim: 0.5 of flat files)", rows, asked.out)
        stream = streaming(reader, asked.steps, asked.batch, asked.device)
        show(f"training from the disk, {asked.device} (aim: waiting below 0.05)", [stream], None)
        begun = time.perf_counter()
        chosen = np.random.default_rng(0).integers(0, len(reader), 100)
        for i in chosen:
            reader.features(int(i))
        print(f"one photo, at random: {(time.perf_counter() - begun) / len(chosen) * 1e3:.2f} ms")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
