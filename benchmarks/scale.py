"""Time and peak memory of each stage against the number of photos: which stages are linear, and what a photo costs.

    python benchmarks/scale.py --counts 100,300,1000,3000 --out docs/scale.csv --picture docs/scale.png
    python benchmarks/scale.py --counts 60,120          # a look, one minute

Scenes of 96 x 128 px (192 patches) through the descriptors and every stage of the demo's benchmark. Each stage is a
process of its own, as in the pipeline, with one thread; what the kernel counted of it and of its workers is read when
it has ended: processor seconds (not the clock's, so that other work on the machine weighs little), the clock's, and
the largest resident memory of one process.

Starting Python and importing torch costs the same for one photo as for a million, so it is measured with START photos
and taken off: the exponent p of `seconds(n) - seconds(START) ~ (n - START)^p` is 1 for a linear stage. It is fitted on
logarithms over all counts; its range is that of the exponents between neighbouring counts.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import yaml
from measuring import show

from heap import paths, settings
from heap.files import atomic_path
from heap.settings.freeze import NAMED_BY, frozen_text

matplotlib.use("agg")
from matplotlib import pyplot as plt

REPOSITORY = Path(__file__).resolve().parents[1]
# Photos of the run that stands for zero photos: the fewest that train a head and fill the clusters.
START = 20
DATASET, MODEL, BENCHMARK, ENCODER = "scenes", "demo", "demo", "descriptors"
# A cheap baseline and the dearest; the others lie between.
METHODS = ["heap", "found_seed", "tokencut"]


def configured(photos: int) -> settings.Config:
    """Return the shipped configuration with so many small scenes, two thirds of them to train on."""
    config: dict[str, Any] = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
    val = photos // 3
    sizes = {"train_images": photos - val, "val_images": val, "height_px": 96, "width_px": 128}
    config["datasets"][DATASET] |= sizes
    # As many steps whatever the number of photos, as in the shipped recipe; a tenth of them, for time.
    config["models"][MODEL] |= {"min_train_images": 4}
    config["models"][MODEL]["overrides"] |= {"iterations": 20, "batch_images": 8}
    config["cluster"] |= {"foreground": 8, "background": 8}
    config["benchmarks"][BENCHMARK]["methods"] = METHODS
    return settings.parse(config, "the scale benchmark's configuration")


def freeze(config: settings.Config, folder: Path) -> None:
    names = {"files": DATASET, "dataset": DATASET, "encoder": ENCODER, "model": MODEL, "benchmark": BENCHMARK}
    jobs = [(stage, names[key]) for stage, key in NAMED_BY.items() if key in names]
    for stage, name in [*jobs, *(("maps", method) for method in METHODS[1:])]:
        path = folder / paths.settings(stage, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(frozen_text(config, stage, name))


def stages() -> Iterator[tuple[str, list[str | Path]]]:
    """The stages in order, each with the arguments that its rule in workflow/rules gives it."""

    def frozen(stage: str, name: str = DATASET) -> list[str | Path]:
        return ["--settings", paths.settings(stage, name)]

    files, weights, manifest = paths.fetch_receipt(DATASET), paths.weights(ENCODER), paths.manifest(DATASET)
    part, features = paths.features_part(DATASET, "1-of-1"), paths.features(DATASET)
    store = paths.beside(features)
    head, history, regions = paths.head(MODEL), paths.history(MODEL), paths.regions(DATASET)
    clusters, masks = paths.clusters(DATASET), paths.masks(DATASET)
    maps = {method: paths.maps(method, DATASET) for method in METHODS}
    listed = ["--manifest", manifest]
    yield "fetch (draw)", ["fetch", *frozen("fetch"), "--out", files]
    yield "weights", ["weights", *frozen("weights", ENCODER), "--out", weights]
    yield "manifest", ["manifest", *frozen("manifest"), "--files", files, "--out", manifest]
    yield "extract", ["extract", *frozen("extract"), *listed, "--weights", weights, "--folder", store,
                      "--part", "1-of-1", "--out", part]  # fmt: skip
    yield "gather", ["gather", part, *listed, "--folder", store, "--out", features]
    yield "train", ["train", *frozen("train", MODEL), "--features", features, "--out", head, "--history", history]
    yield "group", ["group", *frozen("group"), "--features", features, "--head", head, "--out-regions", regions,
                    "--out-maps", maps["heap"]]  # fmt: skip
    for method in METHODS[1:]:
        yield method, ["baseline", method, *frozen("maps", method), "--features", features, "--out", maps[method]]
    yield "cluster", ["cluster", *frozen("cluster"), "--regions", regions, "--maps", maps["heap"], "--out", clusters,
                      "--out-index", paths.index(DATASET)]  # fmt: skip
    yield "segment", ["segment", *frozen("segment"), "--maps", maps["heap"], "--clusters", clusters, *listed,
                      "--out", masks]  # fmt: skip
    yield "evaluate", ["evaluate", *frozen("evaluate", BENCHMARK), *listed,
                       *itertools.chain(*(("--maps", path) for path in maps.values())), "--features", features,
                       "--masks", masks, "--out", paths.metrics(BENCHMARK),
                       "--out-photos", paths.metrics_photos(BENCHMARK)]  # fmt: skip
    yield "report", ["report", *frozen("report", BENCHMARK), "--metrics", paths.metrics(BENCHMARK), *listed,
                     "--maps", maps["heap"], "--clusters", clusters, "--masks", masks, "--history", history,
                     "--out", paths.report(BENCHMARK)]  # fmt: skip


def measured(folder: Path, arguments: list[str | Path]) -> dict[str, float]:
    """Run a stage to its end; return cpu_s and peak_mb of it and its workers, and wall_s."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    begun = time.perf_counter()
    with (folder / "log").open("w+") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "heap", *map(str, arguments)],
            cwd=folder, env={**os.environ, **threads, "PYTHONPATH": str(REPOSITORY)}, stdout=log, stderr=log,
        )  # fmt: skip
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"heap {arguments[0]} failed:\n{(folder / 'log').read_text()[-2000:]}")
    return {
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "wall_s": time.perf_counter() - begun,
        "peak_mb": usage.ru_maxrss / 1024,  # Linux counts KiB
    }


def bytes_below(folder: Path) -> dict[str, int]:
    """Bytes of what a run leaves, by kind."""
    kinds = {
        "features": folder / "results/features", "maps of one method": folder / "results/maps/heap",
        "regions": folder / "results/regions", "clusters": folder / "results/clusters",
        "manifest": folder / "results/manifests", "masks (PNG)": folder / "results/masks/scenes",
    }  # fmt: skip
    sizes = {kind: sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) for kind, path in kinds.items()}
    json_bytes = (folder / paths.masks(DATASET)).stat().st_size
    return {**sizes, "masks (COCO JSON)": json_bytes, "report": (folder / paths.report(BENCHMARK)).stat().st_size}


def exponents(counts: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Return p of `values ~ counts^p` by least squares on logarithms, and the least and largest between neighbours."""
    x, y = np.log(counts), np.log(values)
    between = np.diff(y) / np.diff(x)
    return float(np.polyfit(x, y, 1)[0]), float(between.min()), float(between.max())


def fitted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each stage its exponent, what a photo costs at the largest count, and how its memory grows."""
    found = []
    for stage in dict.fromkeys(row["stage"] for row in rows):
        start, *more = (row for row in rows if row["stage"] == stage)
        beyond = np.array([row["photos"] - start["photos"] for row in more], float)
        seconds = np.array([row["cpu_s"] - start["cpu_s"] for row in more])
        memory = np.array([row["peak_mb"] for row in (start, *more)])
        photos = np.array([row["photos"] for row in (start, *more)])
        # Less than a fifth of a second may be the noise of starting Python instead of the stage's work.
        seen = seconds > 0.2
        p, low, high = exponents(beyond[seen], seconds[seen]) if seen.sum() > 1 else (np.nan,) * 3
        found.append(
            {
                "stage": stage, "start s": start["cpu_s"], "ms a photo": 1000 * seconds[-1] / beyond[-1],
                "exponent": p, "least": low, "largest": high, "MB": memory[-1],
                "kB a photo": 1000 * float(np.polyfit(photos, memory, 1)[0]),
            }
        )  # fmt: skip
    return found


def picture(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw processor seconds beyond the start, and peak memory, against photos; both on logarithmic axes."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for number, stage in enumerate(dict.fromkeys(row["stage"] for row in rows)):
        start, *more = (row for row in rows if row["stage"] == stage)
        photos = [row["photos"] - start["photos"] for row in more]
        style = {"color": f"C{number % 10}", "marker": "os^v"[number // 10 % 4], "label": stage}
        left.plot(photos, [max(row["cpu_s"] - start["cpu_s"], 0.01) for row in more], **style)
        right.plot([row["photos"] for row in (start, *more)], [row["peak_mb"] for row in (start, *more)], **style)
    ends = np.array([row["photos"] for row in rows]).max() / np.array([30.0, 1.0])
    left.plot(ends, ends / ends[0] / 5, color="black", linestyle=":", label="linear")
    left.set(title="processor seconds beyond the start", xlabel=f"photos beyond {START}", xscale="log", yscale="log")
    right.set(title="peak memory of a process, MB", xlabel="photos", xscale="log", yscale="log")
    left.legend(fontsize=7, ncols=2)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100, format=path.suffix[1:])
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="100,300,1000,3000", help="numbers of photos, with commas")
    parser.add_argument("--out", type=Path, help="CSV of all that was measured")
    parser.add_argument("--picture", type=Path, help="PNG or SVG")
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    # The first run finds no file in memory yet; it is thrown away.
    for photos in [0, START, *sorted(int(count) for count in asked.counts.split(","))]:
        with tempfile.TemporaryDirectory(prefix="heap-scale-") as name:
            folder = Path(name)
            freeze(configured(photos or START), folder)
            for stage, arguments in stages():
                rows.append({"photos": photos, "stage": stage, **measured(folder, arguments)})
                print(f"{photos} photos, {stage}: {rows[-1]['cpu_s']:.1f} s, {rows[-1]['peak_mb']:.0f} MB", flush=True)
            sizes = bytes_below(folder)
        rows = [row for row in rows if row["photos"]]
        if photos:
            show("processor seconds and peak memory", rows, asked.out)
    beside = {name: asked.out and asked.out.with_name(f"{asked.out.stem}_{name}.csv") for name in ("fit", "bytes")}
    show("by stage, fitted", fitted(rows), beside["fit"])
    show(f"bytes a photo, {photos} photos", [{kind: size / photos for kind, size in sizes.items()}], beside["bytes"])
    if asked.picture:
        picture(rows, asked.picture)


if __name__ == "__main__":
    main()
