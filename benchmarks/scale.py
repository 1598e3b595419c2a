"""Time and peak memory of each stage against the number of photos: which stages are linear, and what a photo costs.

    python benchmarks/scale.py --counts 100,300,1000,3000 --out scale.csv --picture scale.png
    python benchmarks/scale.py --counts 60,120          # a look, one minute

Scenes of 96 x 128 px (192 patches) through the descriptors and the rules of the demo's benchmark, one Snakemake call a
stage, with one thread. What the kernel counted of it and of all it started is read when it has ended: processor seconds
(not the clock's, so that other work on the machine weighs little), the clock's, and the largest resident memory of one
process (Snakemake's own, some 200 MB, hides what is smaller).

Starting Snakemake and Python costs the same for one photo as for a million, so it is measured with START photos
and taken off: the exponent p of `seconds(n) - seconds(START) ~ (n - START)^p` is 1 for a linear stage. It is fitted on
logarithms over all counts; its range is that of the exponents between neighbouring counts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import yaml
from measuring import show

from heap import paths
from heap.files import atomic_path
from heap.settings.config import read

matplotlib.use("agg")
from matplotlib import pyplot as plt

REPOSITORY = Path(__file__).resolve().parents[1]
# Photos of the run that stands for zero photos: the fewest that train a head and fill the clusters.
START = 20
DATASET, MODEL, BENCHMARK = "scenes", "demo", "demo"
# A cheap baseline and the dearest; the others lie between.
METHODS = ["heap", "found_seed", "tokencut"]


def configured(photos: int) -> dict[str, Any]:
    """Return the shipped configuration with so many small scenes, two thirds of them to train on."""
    config: dict[str, Any] = read(REPOSITORY / "config/config.yaml")
    val = photos // 3
    sizes = {"train_images": photos - val, "val_images": val, "height_px": 96, "width_px": 128}
    config["datasets"][DATASET] |= sizes
    # As many steps whatever the number of photos, as in the shipped recipe; a tenth of them, for time.
    config["models"][MODEL] |= {"min_train_images": 4}
    config["models"][MODEL]["overrides"] |= {"steps": 20, "batch_size": 8}
    config["cluster"] |= {"foreground": 8, "background": 8}
    config["benchmarks"][BENCHMARK]["methods"] = METHODS
    return config


def stages() -> dict[str, str]:
    """Return the stages in order, each with the file that asks the pipeline for it and for nothing later."""
    return {
        "fetch (draw)": paths.fetch_receipt(DATASET),
        "manifest": paths.manifest(DATASET),
        "extract": paths.features(DATASET),
        "train": paths.head(MODEL),
        "group": paths.maps("heap", DATASET),
        **{method: paths.maps(method, DATASET) for method in METHODS[1:]},
        "cluster": paths.clusters(DATASET),
        "segment": paths.masks(DATASET),
        "evaluate": paths.metrics(BENCHMARK),
        "report": paths.report(BENCHMARK),
    }


def measured(folder: Path, target: str) -> dict[str, float]:
    """Make a target; return cpu_s and peak_mb of Snakemake and all that it started, and wall_s."""
    command = [
        sys.executable, "-m", "snakemake", target, "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "1",
        "--directory", str(folder), "--configfile", str(folder / "config.yaml"),
    ]  # fmt: skip
    begun = time.perf_counter()
    with (folder / "log").open("w+") as log:
        child = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"{target}:\n{(folder / 'log').read_text()[-3000:]}")
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
        "instances": folder / "results/instances",
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
        # Less than a fifth of a second may be the noise of starting up instead of the stage's work.
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
            (folder / "config.yaml").write_text(yaml.safe_dump(configured(photos or START)))
            for stage, target in stages().items():
                rows.append({"photos": photos, "stage": stage, **measured(folder, target)})
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
