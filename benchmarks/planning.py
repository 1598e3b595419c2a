"""How long Snakemake takes to find that nothing is to be done, with every benchmark's targets and a large manifest.

    python benchmarks/planning.py                       # 20,000 photos in each manifest, features of 1 GB (sparse)
    python benchmarks/planning.py --photos 200000

Every output of the shipped configuration is set in a folder of its own: manifests of real size, small receipts, and
stores and tables as sparse files, which cost a disk nothing and a reader as much as real ones. `--touch` gives
Snakemake its records of them. Then `snakemake TARGETS` runs as a user types it: `wall_s` and `cpu_s` of the whole
process, start included. `opened`: outputs above 1 MB that the process opened (from strace, where it is installed);
Snakemake compares checksums of small files only, so none may be there.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from measuring import show

from heap import paths
from heap.settings.config import read

REPOSITORY = Path(__file__).resolve().parents[1]
LARGE_BYTES = 1_000_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=20_000, help="rows of each manifest")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="heap-planning-") as name:
        folder = Path(name)
        (folder / "config").mkdir()
        for name in ("config.yaml", "datasets.yaml"):
            shutil.copy(REPOSITORY / "config" / name, folder / "config")
        config = read(folder / "config/config.yaml")
        targets = [f(b) for b in config["benchmarks"] for f in (paths.metrics, paths.comparison, paths.report)]
        populate(folder, config, targets, asked.photos)
        snakemake(folder, targets, "--touch")
        show("planning a run with nothing to do", [measured(folder, targets, asked.photos)], None)


def populate(folder: Path, config: dict, targets: list[str], photos: int) -> None:
    """Write every output that the targets need."""
    manifest = folder / "manifest.parquet"
    rng = np.random.default_rng(0)
    rows = {key: rng.integers(1, 1 << 40, photos) for key in ("height_px", "width_px", "grid_h", "grid_w", "offset")}
    rows |= {key: [f"{key}/{i:012d}" for i in range(photos)] for key in ("id", "path", "mask")}
    pd.DataFrame(rows).to_parquet(manifest)
    listed = snakemake(folder, targets, "-n", "--forceall", "--quiet", "progress")
    outputs = re.findall(r"^    output: (.+)$", listed, re.MULTILINE)
    named = {out for line in outputs for out in line.split(", ")}
    for output in named:
        path = folder / output
        path.parent.mkdir(parents=True, exist_ok=True)
        if output.startswith("results/manifests/"):
            shutil.copy(manifest, path)
        elif path.suffix in (".json", ".csv", ".md"):
            path.write_text("{}\n")
        else:
            with path.open("wb") as stream:
                stream.truncate(100_000_000)
    for dataset in config["datasets"]:
        for shard in range(8):  # 1 GB a store
            path = folder / paths.folder_of(paths.features(dataset)) / f"0123.zarr/features/c/{shard}/0"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as stream:
                stream.truncate(128_000_000)


def measured(folder: Path, targets: list[str], photos: int) -> dict[str, object]:
    """Run once with nothing to do, and once more under strace where there is one."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    text = snakemake(folder, targets)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if "Nothing to be done" not in text:
        sys.exit(f"expected nothing to do:\n{text[-3000:]}")
    row: dict[str, object] = {
        "photos": photos,
        "targets": len(targets),
        "wall_s": round(wall, 2),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
        "opened": "no strace",
    }
    if shutil.which("strace"):
        trace = folder / "trace"
        snakemake(folder, targets, prefix=["strace", "-f", "-e", "trace=open,openat", "-o", str(trace)])
        opened = {Path(name) for name in re.findall(r'"((?:[^"]*/)?(?:results|resources)/[^"]+)"', trace.read_text())}
        files = [folder / path for path in opened if (folder / path).is_file()]
        row["opened"] = sum(path.stat().st_size > LARGE_BYTES for path in files)
    return row


def snakemake(folder: Path, targets: list[str], *options: str, prefix: list[str] | None = None) -> str:
    """Run Snakemake in the folder; stop with its words where it fails."""
    command = [*(prefix or []), sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"),
               "--directory", str(folder), "--cores", "2", *targets, *options]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    if done.returncode != 0:
        sys.exit(done.stdout[-2000:] + done.stderr[-4000:])
    return done.stdout + done.stderr


if __name__ == "__main__":
    main()
