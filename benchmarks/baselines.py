"""TokenCut's eigenvector: Lanczos' method against the full dense generalised solver of the peers' code.

    OMP_NUM_THREADS=1 python benchmarks/baselines.py --patches 1900 --repeats 5 --out baselines.csv

Planted photos (or --features, the receipt of a feature store, whose photos nearest to that size are taken) give the
graphs. Both solve the same graph in turn, so that other work on the machine slows both; the medians' ratio is what
counts. One thread, because a worker of `heap baseline` has one core. The masks of both must be equal, else it stops.
The time of the other methods on the same photos is told too.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.linalg import eigh
from scipy.ndimage import gaussian_filter

from heap.baselines.found import found_seed
from heap.baselines.kmeans import kmeans
from heap.baselines.lost import lost
from heap.baselines.patches import Patches, component_of
from heap.baselines.tokencut import cut, linked, tokencut
from heap.cache.reader import FeatureReader
from heap.settings.baselines import BaselineSettings


def planted(patches: int, seed: int, dim: int = 384, heads: int = 6) -> Patches:
    """A photo of about so many patches, 4 : 5, with one blob on a smooth ground, as DINO-sized random features."""
    rng = np.random.default_rng(seed)
    grid_h = max(1, round((patches * 4 / 5) ** 0.5))
    grid_w = max(1, round(patches / grid_h))
    kinds = gaussian_filter(rng.normal(size=(8, grid_h, grid_w)), (0, 4, 4)) * 8
    y, x = np.mgrid[:grid_h, :grid_w]
    centre = rng.uniform(0.3, 0.7, 2) * (grid_h, grid_w)
    blob = (((y - centre[0]) / grid_h) ** 2 + ((x - centre[1]) / grid_w) ** 2 < 0.2**2).astype(float)
    directions = rng.normal(size=(9, dim)) / dim**0.5
    features = np.tensordot(np.concatenate([kinds, 3 * blob[None]]), directions, (0, 0)).reshape(-1, dim)
    features += 1.5 * rng.normal(size=features.shape) / dim**0.5
    attention = np.exp(blob.reshape(-1, 1) + 0.5 * rng.normal(size=(blob.size, heads)))
    return Patches(features.astype(np.float32), attention.astype(np.float32), (grid_h, grid_w))


def stored(receipt: Path, patches: int, photos: int) -> list[Patches]:
    """The photos of a store whose number of patches is nearest to `patches`."""
    reader = FeatureReader(receipt)
    nearest = sorted(range(len(reader)), key=lambda i: abs(reader.patches(i) - patches))
    return [Patches.read(reader, i) for i in nearest[:photos]]


def dense(links: np.ndarray, eps: float) -> np.ndarray:
    """The second eigenvector as the peers get it: the whole dense problem, two pairs asked for."""
    weights = np.where(links, 1.0, eps)
    degrees = np.diag(weights.sum(axis=1))
    _, vectors = eigh(degrees - weights, degrees, subset_by_index=[1, 2])
    return vectors[:, 0]


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patches", type=int, default=1900, help="patches a photo")
    parser.add_argument("--photos", type=int, default=3, help="photos")
    parser.add_argument("--repeats", type=int, default=3, help="times that each photo is solved in both ways")
    parser.add_argument("--features", type=Path, help="receipt of a feature store to take the photos from")
    parser.add_argument("--out", type=Path, help="CSV of every measurement")
    chosen = parser.parse_args()
    if chosen.features:
        photos = stored(chosen.features, chosen.patches, chosen.photos)
    else:
        photos = [planted(chosen.patches, seed) for seed in range(chosen.photos)]
    settings = BaselineSettings()
    rows: list[dict[str, object]] = []
    for _ in range(chosen.repeats):
        for number, photo in enumerate(photos):
            links, seconds = timed(linked, photo.features, settings.tokencut.tau)
            size = {"photo": number, "patches": len(links)}
            rows.append({**size, "what": "graph (both)", "seconds": seconds})
            found, seconds = timed(cut, links, settings.tokencut.eps)
            rows.append({**size, "what": "Lanczos", "seconds": seconds})
            vector, seconds = timed(dense, links, settings.tokencut.eps)
            rows.append({**size, "what": "dense", "seconds": seconds})
            side = vector > vector.mean()
            side = side if side[found.seed] else ~side
            peers, ours = (component_of(found.seed, mask, photo) for mask in (side, found.side))
            if found.dense or not np.array_equal(peers, ours):
                raise SystemExit(f"photo {number}: the two solvers' masks differ, or Lanczos did not converge")
            methods = {
                "tokencut": lambda p: tokencut(p, settings.tokencut), "lost": lambda p: lost(p, settings.lost),
                "kmeans": lambda p: kmeans(p, settings.kmeans), "found_seed": found_seed,
            }  # fmt: skip
            for method, run in methods.items():
                rows.append({**size, "what": f"heap baseline {method}", "seconds": timed(run, photo)[1]})
    table = pd.DataFrame(rows)
    if chosen.out:
        table.to_csv(chosen.out, index=False)
    median = table.groupby("what", sort=False)["seconds"].median()
    size = f"{len(photos)} photos of about {table['patches'].median():.0f} patches, {chosen.repeats} times"
    print(f"{size}, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}; median ms a photo")
    for what, seconds in median.items():
        print(f"  {what:28} {1000 * seconds:9.1f}")
    print(f"dense / Lanczos: {median['dense'] / median['Lanczos']:.1f} times (wanted: at least 5); masks equal on all")


if __name__ == "__main__":
    main()
