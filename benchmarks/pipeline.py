"""Speed of an extraction (decode, encode, cast, write) against the bare encoder on photos already in memory.

    python benchmarks/pipeline.py                                  # ViT-S/8, random weights, 224 px and mixed shapes
    python benchmarks/pipeline.py --photos ~/pictures --out pipeline.csv
    python benchmarks/pipeline.py --device cuda --precision bfloat16 --count 2000 --batch 64

`share` is the pipeline's images/s over the bare encoder's, same photos, same batches, in turns. `mixed / one shape` is
the pipeline's patches/s on photos of their own sizes over that on the same photos all resized to their commonest size.
On a GPU `of matmul` is the encoder's arithmetic over what a large matrix product reaches in the same precision.
Weights are random: speed does not depend on them. Expect one to two minutes on two cores.

On a machine that others use, `OMP_NUM_THREADS=1 python benchmarks/pipeline.py --cpu-time` compares processor seconds of
the process, all threads together, in place of the clock's: what the pipeline adds, whoever else runs.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import PHOTOS, in_turns, photo_files, ratio, show, table_of

from heap.cache import plan as planning
from heap.cache.pipeline import batches_of, encode_shards
from heap.cache.plan import Plan, plan
from heap.cache.store import FeatureStore
from heap.data.photos import photo_size, read_photo
from heap.encoders.base import Encoder
from heap.encoders.open import choose_device
from heap.encoders.vit import load
from heap.receipts import Weights
from heap.settings.models import VitEncoder
from heap.workers import cores_allowed

# Two shards, so that one is written while the other is encoded. As many as a store has at least (8) would leave these
# few photos batches of one or two, which no dataset has.
planning.SMALLEST_SPLIT = 2


class Case:
    """Photos of the sizes of one plan, and the two ways to encode them."""

    def __init__(self, encoder: Encoder, layout: Plan, batch: int) -> None:
        self.encoder, self.layout, self.batch = encoder, layout, batch
        self.patches = int((layout.images["grid_h"] * layout.images["grid_w"]).sum())
        shards = [layout.of_shard(shard) for shard in range(layout.shards)]
        self.in_memory = [[read(photo) for photo in photos] for shard in shards for photos in batches_of(shard, batch)]

    def bare(self) -> None:
        start: Callable[[Any], Any] | None = getattr(self.encoder, "start", None)
        if start is None:
            for pixels in self.in_memory:
                self.encoder.encode(pixels)
            return
        running = None
        for pixels in self.in_memory:
            following = start(pixels)
            if running is not None:
                running.result()
            running = following
        running.result()

    def pipeline(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="heap-benchmark-"))
        try:
            info, encoder = {"fingerprint": "benchmark"}, self.encoder
            store = FeatureStore.create(folder / "benchmark.zarr", self.layout, encoder.dim, encoder.heads, info)
            shards = range(self.layout.shards)
            encode_shards(store, shards, self.encoder, read, self.batch, "fail", lambda photos: None)
        finally:
            shutil.rmtree(folder)


def read(photo: Any) -> Any:
    return read_photo(photo.path, None, (photo.input_h_px, photo.input_w_px))


def gflop_of(settings: VitEncoder, patches: int, dim: int, blocks: int) -> float:
    """Return the arithmetic of one photo: all blocks but the last, of which only the keys and one row are computed."""
    tokens = patches + 1
    block = 2 * tokens * 12 * dim**2 + 2 * 2 * tokens**2 * dim
    last = 2 * tokens * 3 * dim**2
    return ((blocks - 1) * block + last + 2 * patches * 3 * 64 * dim) / 1e9


def matmul_gflops(device: str, precision: str) -> float:
    """Return the rate of a large matrix product in this precision."""
    side = 8192
    a = torch.randn(side, side, device=device, dtype=getattr(torch, precision))
    rates = []
    for _ in range(12):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        a @ a
        torch.cuda.synchronize()
        rates.append(2 * side**3 / (time.perf_counter() - begun) / 1e9)
    return statistics.median(rates[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--count", type=int, default=24, help="photos")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--architecture", default="dino_vits8")
    parser.add_argument("--precision", default="float32", help="float32; on cuda also bfloat16 and float16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--side", type=int, default=224, help="of the one-size case, pixels")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=40, help="no new round of a case after this")
    parser.add_argument("--mixed", action=argparse.BooleanOptionalAction, default=True, help="mixed shapes too")
    parser.add_argument("--cpu-time", action="store_true", help="processor seconds in place of the clock's")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    device = choose_device(asked.device)
    settings = VitEncoder(
        kind="vit", architecture=asked.architecture, weights="random", precision=asked.precision,
        batch_size=asked.batch,
    )  # fmt: skip
    encoder = load(settings, Weights(source="random"), device)
    files = photo_files(asked.photos, asked.count)
    own = [photo_size(path) for path in files]
    commonest = Counter(own).most_common(1)[0][0]
    made = partial(plan, patch_px=encoder.patch_px, bytes_per_row=encoder.dim * 2, input_size=lambda h, w: (h, w))
    sizes = {
        f"{asked.side} px": [(asked.side, asked.side)] * len(files),
        f"one shape, {commonest[0]} x {commonest[1]}": [commonest] * len(files),
        "mixed shapes": own,
    }
    if not asked.mixed:
        sizes = {name: size for name, size in sizes.items() if name == f"{asked.side} px"}
    cases = {name: Case(encoder, made(table_of(files, size)), asked.batch) for name, size in sizes.items()}
    rows, taken = [], {}
    names = list(cases)
    # The two cases that are compared with each other take turns too.
    for group in filter(None, ([names[0]], names[1:])):
        jobs = {}
        for name in group:
            cases[name].bare() if name == names[0] else None  # the first call of a shape prepares its kernels
            jobs |= {f"{name}/bare": cases[name].bare, f"{name}/pipeline": cases[name].pipeline}
        clock = time.process_time if asked.cpu_time else time.perf_counter
        taken |= in_turns(jobs, asked.repeats, asked.seconds, clock)
    for name, case in cases.items():
        bare, whole = taken[f"{name}/bare"], taken[f"{name}/pipeline"]
        row = {
            "case": name, "photos": len(files), "batches": len(case.in_memory),
            "grids": len(case.layout.images.groupby(["grid_h", "grid_w"])), "rounds": len(bare),
            "bare images/s": len(files) / statistics.median(bare),
            "pipeline images/s": len(files) / statistics.median(whole),
            "share": ratio(whole, bare),
            "pipeline patches/s": case.patches / statistics.median(whole),
        }  # fmt: skip
        rows.append(row)
    if device.startswith("cuda"):
        reached = matmul_gflops(device, asked.precision)
        for row, case in zip(rows, cases.values(), strict=True):
            counts = (case.layout.images["grid_h"] * case.layout.images["grid_w"]).tolist()
            work = sum(gflop_of(settings, n, encoder.dim, len(encoder.model.blocks)) for n in counts)
            row["of matmul"] = work / len(counts) * row["pipeline images/s"] / reached
    show(f"{encoder.label}, {device}, {asked.precision}, {cores_allowed()} cores, batch {asked.batch}", rows, asked.out)
    if asked.mixed:
        one, mixed = (taken[f"{name}/pipeline"] for name in names[1:])
        scaled = [cases[names[2]].patches / cases[names[1]].patches * a / b for a, b in zip(one, mixed, strict=True)]
        print(f"mixed / one shape, scaled by patches: {np.median(scaled):.3f} (aim: 0.85)")
    print(f"share of the bare encoder at {asked.side} px: {rows[0]['share']:.3f} (aim: 0.95 on CPU, 0.90 on a GPU)")


if __name__ == "__main__":
    main()
