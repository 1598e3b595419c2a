"""Training's speed: one step on cached features against encoding the same photos, and the share of waiting for photos.

    python benchmarks/train.py                                 # ratio; CPU: about three minutes on two cores
    python benchmarks/train.py --photos 10553 --device cuda    # and a training at DUTS-TR's size, random features

The encoder is a ViT-S/8 with RANDOM weights on 224 px photos (784 patches of 384 values): speed only, no quality. The
two are measured in one process, by turns, and the ratio is of medians. The training with --photos reads a store of
random features, once resident and once streamed (--streamed alone where memory is short).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from heap.cache.plan import plan
from heap.cache.reader import FeatureReader, store_folder
from heap.cache.store import FeatureStore
from heap.encoders.open import choose_device, open_encoder
from heap.files import write_json
from heap.head.bank import Bank
from heap.head.batches import Batch, TrainingSet, collate
from heap.head.feed import to_device
from heap.head.fit import fit, gradients, optimiser_of
from heap.head.initialise import new_head
from heap.receipts import Weights
from heap.settings.models import LossSettings, TrainSettings, VitEncoder

SIDE, DIM, HEADS = 28, 384, 6
# Photos of the small store: enough for batches that differ.
SMALL = 64
# Share of encoding that a step may cost (issue 4).
ALLOWED = 1 / 20


def random_store(folder: Path, photos: int) -> FeatureReader:
    """Write a store of random features, shard by shard."""
    rows = pd.DataFrame({"image_id": [f"p{i:05d}" for i in range(photos)]})
    rows = rows.assign(path=rows["image_id"] + ".jpg", height_px=SIDE * 8, width_px=SIDE * 8)
    layout = plan(rows, 8, DIM * 2, lambda h, w: (h, w))
    store = FeatureStore.create(store_folder(folder / "random", "r" * 16), layout, DIM, HEADS, {})
    rng = np.random.default_rng(0)
    # Groups of patches that are alike, as in photos: on white noise the losses would have nothing to do.
    kinds = rng.normal(size=(64, DIM)).astype(np.float32)
    for shard in range(layout.shards):
        n = layout.rows_per_shard
        which = rng.integers(64, size=n // 49 + 1).repeat(49)[:n]
        features = (kinds[which] + rng.normal(size=(n, DIM)).astype(np.float32)).astype(np.float16)
        attention = rng.random((n, HEADS), dtype=np.float32)
        store.write_shard(shard, features, attention, np.zeros((layout.slots_per_shard, DIM), np.float32), [])
    write_json(
        folder / "random.json",
        {
            "dataset": "random", "fingerprint": "r" * 16, "encoder": "random features", "patch_px": 8, "dim": DIM,
            "heads": HEADS, "attention_kind": "cls", "weights": {"source": "random", "sha256": None},
            "encoder_settings": {}, "rows_per_shard": layout.rows_per_shard, "shards": layout.shards,
            "images": photos, "skipped": [],
        },
    )  # fmt: skip
    return FeatureReader(folder / "random.json")


def timed(work: Callable[[], object], device: str) -> tuple[float, float]:
    """Return the seconds that `work` takes, a GPU's own work included, and the seconds of all cores it took."""
    began, cpu = time.perf_counter(), time.process_time()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - began, time.process_time() - cpu


def step_of(batch: Batch, data: TrainingSet, settings: TrainSettings, device: str) -> Callable[[], object]:
    """Return one whole step: gradients, optimiser, bank."""
    head, calibrated = new_head(data, DIM, settings, 0)
    head.to(device).train()
    optimiser = optimiser_of(head, calibrated)
    bank = Bank(calibrated.loss.bank, DIM, device) if calibrated.loss.bank else None

    def step() -> None:
        grouping, _, _ = gradients(head, batch, calibrated, 0, 0, bank)
        optimiser.step()
        if bank is not None:
            bank.push(grouping, batch.photo, calibrated.loss.min_area)

    return step


def against_encoding(args: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    """Time a step and encoding by turns, without and with a bank."""
    device = choose_device(args.device)
    settings = VitEncoder(kind="vit", architecture="dino_vits8", weights="random")
    encoder = open_encoder(settings, Weights(source="random"), device)
    photos = np.random.default_rng(0).integers(0, 256, (args.batch, SIDE * 8, SIDE * 8, 3), dtype=np.uint8)

    def encode() -> None:
        for start in range(0, args.batch, settings.batch_size):
            encoder.encode(photos[start : start + settings.batch_size])

    data = TrainingSet(random_store(folder, SMALL), None, "robust", 12.0)
    batch = to_device(collate(data.load(data.photos[: args.batch])), torch.device(device))
    steps = {}
    for bank in (0, args.bank):
        loss = LossSettings(variant="robust", bank=bank)
        train = TrainSettings(loss=loss, batch_size=args.batch, precision=args.precision)
        steps[f"step, bank {bank}"] = step_of(batch, data, train, device)
    works = {"encoding": encode, **steps}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for work in works.values():
        work()  # warm: allocations, threads
    for _ in range(args.rounds):
        for name, work in works.items():
            # A step is short: several a turn, so that one hiccup of the machine is not the figure.
            repeat = 1 if name == "encoding" else 3
            times[name] += [timed(work, device) for _ in range(repeat)]
    whole, whole_cpu = (statistics.median(values) for values in zip(*times["encoding"], strict=True))
    rows = []
    for name, both in times.items():
        values, cpu = zip(*both, strict=True)
        middle = statistics.median(values)
        rows.append({
            "what": name, "device": device, "photos": args.batch, "median_s": round(middle, 4),
            "least_s": round(min(values), 4), "photos_per_s": round(args.batch / middle, 1),
            "share_of_encoding": round(middle / whole, 4),
            # Other programs of the machine hardly touch this one; on a GPU it says little.
            "share_in_cpu_time": round(statistics.median(cpu) / whole_cpu, 4),
        })  # fmt: skip
    return rows


def at_size(args: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    """Train on `--photos` random photos and tell throughput and waiting."""
    device = choose_device(args.device)
    reader = random_store(folder, args.photos)
    rows = []
    for name, resident_gb in (("streamed", 1e-9), *(() if args.streamed else (("resident", 1000.0),))):
        began = time.perf_counter()
        data = TrainingSet(reader, None, "robust", resident_gb)
        loaded = time.perf_counter()
        settings = TrainSettings(
            loss=LossSettings(variant="robust"), batch_size=args.batch, steps=args.iterations,
            precision=args.precision,
        )  # fmt: skip
        _, history, _ = fit(data, DIM, settings, device, 0)
        done = time.perf_counter()
        later = history[1:]
        rows.append({
            "what": f"training, {name}", "device": device, "photos": args.photos, "load_s": round(loaded - began, 1),
            "fit_s": round(done - loaded, 1), "iterations": args.iterations,
            "photos_per_s": round(statistics.median(row["photos_per_s"] for row in later), 1),
            "waiting_share": round(statistics.fmean(row["waiting_share"] for row in later), 4),
        })  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32, help="photos a step")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--bank", type=int, default=8192, help="regions in the bank of the second step")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--photos", type=int, default=0, help="also train on a store of this many random photos")
    parser.add_argument("--iterations", type=int, default=200, help="of the training with --photos")
    parser.add_argument("--streamed", action="store_true", help="with --photos: not resident")
    parser.add_argument("--no-encoding", action="store_true", help="only the training with --photos")
    parser.add_argument("--device", default=None)
    parser.add_argument("--folder", type=Path, default=None, help="where the stores go; a temporary folder")
    parser.add_argument("--out", type=Path, default=None, help="CSV to write")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        (folder / "small").mkdir()
        tables = [] if args.no_encoding else [pd.DataFrame(against_encoding(args, folder / "small"))]
        if args.photos:
            tables.append(pd.DataFrame(at_size(args, folder)))
    for table in tables:
        print(table.to_string(index=False))
    if not args.no_encoding:
        share = float(tables[0]["share_of_encoding"].iloc[1])
        print(f"\na step costs 1/{1 / share:.1f} of encoding its photos; allowed: 1/{1 / ALLOWED:.0f}"
              f" {'(kept)' if share <= ALLOWED else '(NOT kept)'}")  # fmt: skip
    if args.out is not None:
        pd.concat(tables).to_csv(args.out, index=False)


if __name__ == "__main__":
    main()
