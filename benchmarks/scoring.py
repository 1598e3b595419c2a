"""How long `heap score saliency` takes a photo, what its intervals cost, and whether its memory grows with the photos.

    python benchmarks/scoring.py --photos 1000 --out scoring.csv

Maps are drawn here (400 x 300 px, a soft blob each). Every case is a process of its own, so that its peak memory is its
own; cases are interleaved, and the median of the repetitions counts.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT_PX, WIDTH_PX = 300, 400


def draw(folder: Path, photos: int) -> None:
    """Write predictions and truths."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT_PX, :WIDTH_PX]
    for name in ("pred", "truth"):
        (folder / name).mkdir(parents=True)
    for i in range(photos):
        centre, size = random.uniform(0.3, 0.7, 2) * (HEIGHT_PX, WIDTH_PX), random.uniform(40, 90)
        distance = np.hypot(y - centre[0], x - centre[1])
        soft = 1 / (1 + np.exp((distance - size * random.uniform(0.8, 1.2)) / 8))
        Image.fromarray((soft * 255).astype(np.uint8)).save(folder / "pred" / f"{i:05}.png")
        Image.fromarray(((distance < size) * 255).astype(np.uint8)).save(folder / "truth" / f"{i:05}.png")


def run(folder: Path, *options: str) -> float:
    """Return the seconds of one call."""
    command = [sys.executable, "-m", "heap", "--quiet", "score", "saliency"]
    started = time.perf_counter()
    subprocess.run(
        [*command, "--pred", str(folder / "pred"), "--truth", str(folder / "truth"), *options],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - started


def peak_mb(folder: Path) -> float:
    """Return the peak memory of one call in this process's only child, in MB."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    folders = ["--pred", str(folder / "pred"), "--truth", str(folder / "truth")]
    done = subprocess.run(
        [sys.executable, "-c", code, sys.executable, "-m", "heap", "--quiet", "score", "saliency", *folders],
        check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},  # one worker
    )  # fmt: skip
    return int(done.stdout) / (1024 if sys.platform != "darwin" else 1024**2)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        few, many = Path(name) / "few", Path(name) / "many"
        draw(few, max(arguments.photos // 10, 1))
        draw(many, arguments.photos)
        more = arguments.photos - max(arguments.photos // 10, 1)
        cases = {"one worker": ("--workers", "1"), "no intervals": ("--workers", "1", "--bootstrap", "0")}
        seconds: dict[str, list[float]] = {case: [] for case in cases}
        for _ in range(arguments.repetitions):
            for case, options in cases.items():
                # The difference of two sizes leaves out what starting takes.
                seconds[case].append((run(many, *options) - run(few, *options)) / more)
        medians = {case: 1000 * statistics.median(values) for case, values in seconds.items()}
        rows = [{"case": f"ms a photo, {case}", "value": round(value, 3)} for case, value in medians.items()]
        memory = {"few": peak_mb(few), "many": peak_mb(many)}
    rows += [{"case": f"peak MB, {size} photos", "value": round(mb, 1)} for size, mb in memory.items()]
    for row in rows:
        print(f"{row['case']:25} {row['value']:10}")
    if arguments.out is not None:
        with arguments.out.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, ["case", "value"])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
