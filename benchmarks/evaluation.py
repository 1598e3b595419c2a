"""How long evaluation takes, in units of one bare timm ViT-S/8 forward at 224 px, and what memory it needs.

    python benchmarks/evaluation.py                       # all three tables, 5 minutes on two cores
    python benchmarks/evaluation.py --only units          # forward against figures and solver
    python benchmarks/evaluation.py --out evaluation.csv

Photos are ECSSD's from ../shared where it is there (HEAP_SHARED says otherwise), else drawn scenes of 300 x 400. Maps
are the truth with noise: no encoder has a say, and no figure of quality is printed. The forward (random weights, batch
one) and what is measured take turns in one process. Told are medians, by the clock and by processor time. On a quiet
machine the clock counts, with all of torch's threads; on a busy one a forward of several threads waits for the slowest,
and only processor time with --threads 1 can be compared.
"""

from __future__ import annotations

import argparse
import csv
import gc
import multiprocessing
import os
import pickle
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from heap import paths, settings
from heap.bilateral import BilateralGrid, refine
from heap.cache.maps import write_maps
from heap.cache.plan import plan
from heap.cache.reader import FeatureReader, store_folder
from heap.cache.store import FeatureStore
from heap.data import manifest as manifests
from heap.data.photos import read_photo
from heap.data.scenes.scene import draw_scene
from heap.evaluate import pairs, protocols, saliency
from heap.evaluate.predictions import Maps, Methods
from heap.evaluate.stage import evaluate
from heap.evaluate.truth import photos_of
from heap.files import write_json
from heap.grid import PatchGrid
from heap.settings.config import read
from heap.settings.datasets import SaliencyDataset
from heap.settings.freeze import frozen_text, read_frozen, section
from heap.settings.stages import BenchmarkSettings
from heap.workers import spread

SHARED = Path(os.environ.get("HEAP_SHARED", Path(__file__).resolve().parents[2] / "shared"))
PATCH_PX = 8
METHODS = ["heap", "attention"]  # names under which the noisy maps run; two, as the least table has
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["units", "rate", "memory"], help="one of the tables")
    parser.add_argument("--repetitions", type=int, default=60, help="photos in the first table (default 60)")
    parser.add_argument("--threads", type=int, help="of the forward (default: torch's own choice)")
    parser.add_argument("--photos", type=int, default=1000, help="photos in the second and third (default 1000)")
    parser.add_argument("--out", type=Path, help="all rows as CSV")
    chosen = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        listed = photos(Path(folder), max(chosen.photos, chosen.repetitions))
        if chosen.only in (None, "units"):
            rows += show("units of one forward", units(listed[: chosen.repetitions], chosen.threads))
        if chosen.only in (None, "rate"):
            rows += show("rate of the stage", rate(Path(folder), listed[: chosen.photos]))
        if chosen.only in (None, "memory"):
            rows += show("memory of the stage, one process", memory(Path(folder), listed[: chosen.photos]))
    if chosen.out:
        columns = list(dict.fromkeys(key for row in rows for key in row))
        with chosen.out.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def photos(folder: Path, count: int) -> list[tuple[Path, Path]]:
    """Return photos and their masks, again and again until there are enough."""
    found = sorted((SHARED / "data/ecssd/images").glob("*.jpg"))
    pairs = [(path, path.parents[1] / "ground_truth_mask" / f"{path.stem}.png") for path in found]
    if not pairs:
        for i in range(40):
            scene = draw_scene(np.random.default_rng(i), 300, 400)
            photo, mask = folder / f"scene{i}.jpg", folder / f"scene{i}.png"
            Image.fromarray(scene.photo).save(photo, quality=90)
            Image.fromarray((scene.objects > 0).astype(np.uint8) * 255).save(mask)
            pairs.append((photo, mask))
    print(f"{len(pairs)} {'ECSSD photos' if found else 'drawn scenes'}, taken again until there are {count}")
    return [pairs[i % len(pairs)] for i in range(count)]


def grid_of(truth: Any, seed: int) -> Any:
    """Return a patch map like that of a good method: the truth's patches with noise, some patches wrong."""
    height, width = truth.shape
    rows, columns = (np.minimum(np.arange(4, side + 4, PATCH_PX), side - 1) for side in (height, width))
    patches = truth[np.ix_(rows[: -(-height // PATCH_PX)], columns[: -(-width // PATCH_PX)])]
    noise = np.random.default_rng(seed).normal(0, 2, patches.shape)
    return (1 / (1 + np.exp(-((patches * 2.0 - 1) * 3 + noise)))).astype(np.float32)


def units(listed: list[tuple[Path, Path]], threads: int | None) -> list[Row]:
    import timm
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    model = timm.create_model("vit_small_patch8_224", pretrained=False).eval()
    batch = torch.zeros(1, 3, 224, 224)
    taken: dict[str, list[tuple[float, float]]] = {}  # seconds by the clock, of the processor

    def clock(name: str, work: Callable[[], Any]) -> Any:
        start, start_cpu = time.perf_counter(), time.process_time()
        result = work()
        taken.setdefault(name, []).append((time.perf_counter() - start, time.process_time() - start_cpu))
        return result

    def forward() -> None:
        with torch.inference_mode():
            model(batch)

    for i, (path, mask) in enumerate([listed[0], *listed]):
        if i == 1:
            taken.clear()  # the first was for warming up
        truth = saliency.truth_of(np.array(Image.open(mask).convert("L")), "255")
        patches, size = grid_of(truth, i), truth.shape
        clock("forward", forward)
        photo = clock("reading the photo (JPEG)", lambda path=path: read_photo(path))
        soft = clock("map to pixels", lambda p=patches, s=size: PatchGrid(s, s, PATCH_PX).saliency(p))
        clock("figures: multi, single", lambda s=soft, t=truth: saliency.score(s, t))
        binary = soft > saliency.FOREGROUND_ABOVE
        grid = clock("solver: photo and first mask", lambda p=photo, b=binary: first_mask(p, b))
        clock("solver: each further mask", lambda g=grid, b=binary: refine(g, ~b, ["all", "largest"]))
    limits = {"figures: multi, single": 0.02, "solver: photo and first mask": 0.08}
    medians_ms = {name: 1e3 * np.median(values, axis=0) for name, values in taken.items()}
    rows: list[Row] = []
    for name, (clock_ms, cpu_ms) in medians_ms.items():
        unit_ms, unit_cpu_ms = medians_ms["forward"]
        row: Row = {"what": name, "ms": round(clock_ms, 2), "forwards": round(clock_ms / unit_ms, 4)}
        row |= {"cpu_ms": round(cpu_ms, 2), "cpu_forwards": round(cpu_ms / unit_cpu_ms, 4)}
        rows.append({**row, "limit_forwards": limits.get(name, "")})
    return rows


def first_mask(photo: Any, binary: Any) -> BilateralGrid:
    grid = BilateralGrid.of(photo)
    refine(grid, binary, ["all", "largest"])
    return grid


def rate(folder: Path, listed: list[tuple[Path, Path]]) -> list[Row]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    rows = []
    for bilateral in (False, "peers"):
        one = None
        for workers in dict.fromkeys((1, cores)):
            seconds = in_process(stage_seconds, folder, listed, bilateral, workers)
            one = one or seconds
            row: Row = {"what": f"{len(METHODS)} methods, bilateral: {bilateral}", "photos": len(listed)}
            row |= {"workers": workers, "seconds": round(seconds, 1)}
            rows.append({**row, "photos_per_s": round(len(listed) / seconds, 1), "speedup": round(one / seconds, 2)})
    return rows


def memory(folder: Path, listed: list[tuple[Path, Path]]) -> list[Row]:
    # The same photos ten times, because the photo with the most colours decides what is needed for a moment.
    listed = listed[: max(1, len(listed) // 10)] * 10
    rows: list[Row] = []
    for bilateral in (False, "peers"):
        tenth_mb, end_mb, kept_kb = in_process(score_all, folder, listed, bilateral)
        row: Row = {"what": f"{len(METHODS)} methods, bilateral: {bilateral}", "photos": len(listed)}
        row |= {"mb_after_a_tenth": round(tenth_mb, 1), "mb_at_the_end": round(end_mb, 1)}
        row["kb_a_photo"] = round(1024 * (end_mb - tenth_mb) / (0.9 * len(listed)), 2)
        rows.append({**row, "kb_kept_a_photo": round(kept_kb, 2)})
    return rows


def in_process(
    work: Callable[..., Any], folder: Path, listed: list[tuple[Path, Path]], bilateral: Any, *rest: Any
) -> Any:
    """Return what `work` makes of a benchmark in a fresh process."""
    files = write_benchmark(Path(tempfile.mkdtemp(dir=folder)), listed, bilateral)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, files, *rest).result()


def stage_seconds(files: dict[str, Any], workers: int) -> float:
    """Run the stage; its imports are done by then."""
    start = time.perf_counter()
    evaluate(**files, workers=workers)
    return time.perf_counter() - start


def score_all(files: dict[str, Any]) -> tuple[float, float, float]:
    """Score and keep photos as the stage does; return MiB after a tenth and at the end, and kB kept a photo."""
    task = section(read_frozen(files["frozen"], "evaluate"), "benchmark", BenchmarkSettings).tasks[0]
    manifest = manifests.read(files["manifests"][0])
    maps = Methods({method: Maps(path) for method, path in zip(METHODS, files["maps"], strict=True)})
    protocol = protocols.Saliency(task.truth, saliency.solver_variants(task.bilateral), task.bilateral == "peers")
    job = pairs.Job(protocol, maps)
    listed = [pairs.Pair(photo) for photo in photos_of(manifest.rows(None), manifest.root)]
    kept, sizes_mb = [], []
    for i, result in enumerate(spread(job, listed, 1), start=1):
        kept.append(result)
        if i in (len(listed) // 10, len(listed)):
            gc.collect()
            sizes_mb.append(resident_mb())
    return sizes_mb[0], sizes_mb[-1], len(pickle.dumps(kept)) / 1024 / len(kept)


def resident_mb() -> float:
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS: bytes, the peak


def write_benchmark(folder: Path, listed: list[tuple[Path, Path]], bilateral: Any) -> dict[str, Any]:
    """Write what the stage reads: manifest, an empty feature store, and maps of each method."""
    grids = []
    for i, (photo, mask) in enumerate(listed):
        grids.append(grid_of(np.array(Image.open(mask).convert("L")) == 255, i))
        for name, file in (("images", photo), ("masks", mask)):
            (folder / name).mkdir(exist_ok=True)
            (folder / name / f"{i:05d}{file.suffix}").symlink_to(file)
    dataset = SaliencyDataset(layout="saliency", images="images", masks="masks")
    manifest = folder / "bench.parquet"
    manifests.write(manifest, manifests.build(dataset, "ecssd", folder))
    layout = plan(manifests.read(manifest).table, PATCH_PX, 2, lambda height, width: (height, width))
    features = folder / "features" / "bench.json"
    about = {"dataset": "ecssd", "fingerprint": "0" * 16, "encoder": "none"}
    store = FeatureStore.create(store_folder(paths.folder_of(features), about["fingerprint"]), layout, 1, 1, about)
    for shard in range(layout.shards):
        n, slots = layout.rows_per_shard, layout.slots_per_shard
        zeros = np.zeros((n, 1), np.float16), np.zeros((n, 1), np.float32), np.zeros((slots, 1), np.float32)
        store.write_shard(shard, *zeros, [])
    write_json(
        features,
        {
            **about, "patch_px": PATCH_PX, "dim": 1, "heads": 1, "attention_kind": "cls", "skipped": [],
            "weights": {"source": "random"}, "rows_per_shard": layout.rows_per_shard, "shards": layout.shards,
        },
    )  # fmt: skip
    reader = FeatureReader(features)
    ids = [int(Path(image_id).stem) for image_id in reader.images["image_id"]]
    receipts = []
    for method in METHODS:
        receipt = folder / "maps" / method / "bench.json"
        write_maps(receipt, reader, method, [(grids[i].ravel(), None) for i in ids], {})
        receipts.append(receipt)
    # Through the configuration, so that what other benchmarks share is set as it is for them.
    values = read(Path(__file__).resolve().parents[1] / "config/config.yaml")
    task = {"task": "saliency", "dataset": "ecssd", "bilateral": bilateral}
    values["benchmarks"] = {"bench": {"tasks": [task], "methods": METHODS}}
    frozen = folder / "frozen.json"
    frozen.write_text(frozen_text(settings.parse(values, "config/config.yaml"), "evaluate", "bench"))
    return {
        "frozen": frozen, "manifests": [manifest], "maps": receipts, "features": [], "masks": [],
        "out_csv": folder / "bench_metrics.csv",
    }  # fmt: skip


def show(title: str, rows: list[Row]) -> list[Row]:
    table = Table(title=title)
    for column in dict.fromkeys(key for row in rows for key in row):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in rows:
        table.add_row(*(str(row.get(column.header, "")) for column in table.columns))
    Console(width=120).print(table)
    return [{"table": title, **row} for row in rows]


if __name__ == "__main__":
    main()
