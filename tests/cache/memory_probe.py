"""Peak memory of each stage that goes over a cache, in a process of its own: `python memory_probe.py FOLDER PHOTOS`.

Features are drawn and not computed, because the encoder's memory does not depend on the number of photos.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from tiny_cache import Tiny

from heap.cache import extract as stage
from heap.cache import plan
from heap.cache.verify import verify_files
from heap.encoders.base import Computed, Encoded, Encoder
from heap.head.batches import TrainingSet
from heap.receipts import Weights

SIDE_PX, PATCH_PX, DIM, HEADS = 224, 8, 384, 6
SHARD_BYTES = 4 * 2**20  # 6 photos: even the small set is many shards


class Drawn(Encoder):
    label, patch_px, dim, heads, attention_kind = "drawn at random (a test)", PATCH_PX, DIM, HEADS, "cls"
    weights = Weights(source="none", sha256=None)

    def start(self, photos: np.ndarray) -> Computed:
        rng = np.random.default_rng(0)
        count, patches = len(photos), (SIDE_PX // PATCH_PX) ** 2
        features = rng.standard_normal((count, patches, DIM), np.float32)
        return Computed(Encoded(features, rng.random((count, patches, HEADS), np.float32), features[:, 0]))


def peak_mb() -> float:
    """Highest resident memory since `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def main(folder: Path, photos: int) -> None:
    plan.SHARD_BYTES = SHARD_BYTES
    stage.open_encoder = lambda *_: Drawn()
    tiny = Tiny(folder, photos=1)
    (tiny.photos / "00.png").unlink()
    Image.new("RGB", (SIDE_PX, SIDE_PX), (90, 120, 60)).save(folder / "one.png")
    for n in range(photos):
        os.link(folder / "one.png", tiny.photos / f"{n:05d}.png")
    tiny.list_photos()
    peaks: dict[str, float] = {}
    forget_peak()
    tiny.extract()
    peaks["extract"] = peak_mb()
    forget_peak()
    reader = tiny.gather()
    peaks["gather"] = peak_mb()
    forget_peak()
    assert list(verify_files(reader.folder, "set", reader.receipt)) == []
    peaks["verify"] = peak_mb()
    forget_peak()
    training = TrainingSet(reader, None, "robust", resident_gb=0.001)
    assert not training.resident
    batches = training.batches(0, 8, 0)
    for _ in range(photos // 8):
        next(batches)
    batches.close()
    peaks["train"] = peak_mb()
    size = sum(path.stat().st_size for path in reader.folder.rglob("*") if path.is_file())
    print(json.dumps({"peaks": peaks, "store_mb": size / 1e6, "shards": reader.receipt.shards}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
