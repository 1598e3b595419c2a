"""FAISS k-means against scikit-learn's, and the index: `python benchmarks/clustering.py [--regions N] [--million]`.

Both k-means get the same unit vectors, the same starting centroids and the same number of iterations, on one thread;
times are CPU seconds, so that a busy machine does not decide. FAISS is measured as it comes, and with the kernel of its
BLAS named: the wheel brings OpenBLAS 0.3.15, which takes processors newer than itself for a Prescott of 2004.
`OPENBLAS_CORETYPE=Haswell` in the environment mends that.

`--million` runs stage `cluster` on a million regions of 384 values from the reading of their table to the writing of
clusters and index, in a process of its own, and prints its peak of memory beyond the embeddings.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import pandas as pd
from measuring import in_turns, ratio, show
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_info

from heap.cache.maps import MapReceipt
from heap.cluster import index as region_index
from heap.cluster import stage
from heap.cluster import table as cluster_table
from heap.cluster.clustering import cluster_regions
from heap.grid import PatchGrid
from heap.group import regions as region_table
from heap.settings.stages import ClusterSettings

Floats = npt.NDArray[np.float32]
# Before either settles: at k = 20 scikit-learn did after 16, and stops there.
ITERATIONS = 10
GRID, PATCH_PX, TOKENS = 32, 8, 16


def planted(count: int, dim: int, kinds: int, seed: int = 0) -> Floats:
    """Return unit vectors around `kinds` directions, `(count, dim)` float32, made in place a block at a time."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(kinds, dim)).astype(np.float32)
    vectors = random.standard_normal((count, dim), dtype=np.float32)
    for first in range(0, count, 65536):
        block = vectors[first : first + 65536]
        # Weak kinds: with clear ones Lloyd settles in a few iterations and scikit-learn stops there.
        block += 0.3 * centres[random.integers(kinds, size=len(block))]
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return vectors


def varied(count: int, dim: int, kinds: int, ways: int = 20, seed: int = 0) -> Floats:
    """Return unit vectors `(count, dim)` float32 of kinds that each vary in `ways` directions of its own.

    Nearer to regions of photos than `planted`, whose kinds vary in all directions alike: there the nearest of a vector
    are hardly nearer than the rest, and no index but the whole comparison finds them.
    """
    random = np.random.default_rng(seed)
    centres = random.standard_normal((kinds, dim), dtype=np.float32)
    directions = random.standard_normal((kinds, ways, dim), dtype=np.float32) / np.sqrt(ways)
    kind = random.integers(kinds, size=count)
    vectors = 0.1 * random.standard_normal((count, dim), dtype=np.float32)
    order = np.argsort(kind, kind="stable")
    for number, rows in enumerate(np.split(order, np.cumsum(np.bincount(kind, minlength=kinds))[:-1])):
        vectors[rows] += centres[number] + random.standard_normal((len(rows), ways), np.float32) @ directions[number]
    for first in range(0, count, 65536):
        block = vectors[first : first + 65536]
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return vectors


def blas_of_faiss() -> str:
    """Return version and processor kernel of the BLAS that FAISS brings."""
    found = [one for one in threadpool_info() if "faiss" in one["filepath"] and one["user_api"] == "blas"]
    return f"{found[0]['version']} {found[0]['architecture']}" if found else "not told apart"


def kmeans(vectors: Floats, k: int) -> dict[str, object]:
    """Return CPU seconds and inertia of both at equal iterations from equal starts."""
    starts = vectors[np.random.default_rng(1).choice(len(vectors), k, replace=False)]
    found: dict[str, Floats] = {}

    def ours() -> None:
        clustering = faiss.Kmeans(
            vectors.shape[1], k, niter=ITERATIONS, max_points_per_centroid=len(vectors), min_points_per_centroid=1
        )
        clustering.train(vectors, init_centroids=starts)
        found["faiss"] = clustering.centroids

    def theirs() -> None:
        # tol 0: it would else stop early, and the iterations be unequal.
        fitted = KMeans(k, init=starts, n_init=1, max_iter=ITERATIONS, tol=0.0, algorithm="lloyd").fit(vectors)
        if fitted.n_iter_ < ITERATIONS:
            raise SystemExit(f"scikit-learn settled after {fitted.n_iter_} of {ITERATIONS} iterations: not comparable")
        found["sklearn"] = fitted.cluster_centers_

    seconds = in_turns({"faiss": ours, "sklearn": theirs}, 3, 300, time.process_time)

    def inertia(centroids: Floats) -> float:
        _, best = faiss.knn(vectors, np.ascontiguousarray(centroids, np.float32), 1)
        return float(((vectors - centroids[best[:, 0]]) ** 2).sum(dtype=np.float64))

    return {
        "BLAS of FAISS": blas_of_faiss(),
        "regions": len(vectors),
        "k": k,
        "faiss CPU s": statistics.median(seconds["faiss"]),
        "sklearn CPU s": statistics.median(seconds["sklearn"]),
        "sklearn / faiss time": ratio(seconds["faiss"], seconds["sklearn"]),
        "faiss / sklearn inertia": inertia(found["faiss"]) / inertia(found["sklearn"]),
    }


def search(name: str, vectors: Floats, exact_up_to: int) -> dict[str, object]:
    """Return recall@10 and queries a CPU second of the index."""
    started = time.process_time()
    index, info = region_index.build(vectors, 0, exact_up_to)
    built = time.process_time() - started
    queries = vectors[:1000]
    started = time.process_time()
    index.search(queries, 10)
    spent = time.process_time() - started
    return {
        "regions": name,
        "index": info["kind"],
        "cells searched": f"{info.get('cells_searched', '')} of {info.get('cells', '')}",
        "recall@10": info["recall_at_10"],
        "queries / CPU s": len(queries) / spent,
        "built, CPU s": built,
    }


class EvenMaps:
    """Patch maps in which each photo is cut into `TOKENS` rectangles of 8 x 8 patches."""

    def __init__(self, photos: npt.NDArray[np.object_]) -> None:
        """Make maps of these photos."""
        self.receipt = MapReceipt.model_construct(dataset="million", patch_px=PATCH_PX)
        self.images = pd.DataFrame({"image_id": photos})
        across = np.arange(GRID) // 8
        self._tokens = (4 * across[:, None] + across[None]).astype(np.int16)

    def region(self, i: int) -> npt.NDArray[np.int16]:
        """Return the token of each patch of photo `i`."""
        del i
        return self._tokens

    def grid(self, i: int) -> PatchGrid:
        """Return where the patches of photo `i` lie."""
        del i
        side = GRID * PATCH_PX
        return PatchGrid((side, side), (side, side), PATCH_PX)


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def write_regions(path: Path, count: int, dim: int) -> None:
    """Write a table of so many regions, `TOKENS` a photo, half of them foreground."""
    rows = np.arange(count)
    table = pd.DataFrame(
        {
            "region_id": rows, "image_id": [f"{photo:06d}" for photo in rows // TOKENS],
            "token": (rows % TOKENS).astype(np.int16), "area_share": np.full(count, 1 / TOKENS, np.float32),
            "foreground": np.where(rows % 2, 0.9, 0.1).astype(np.float32),
        }
    )  # fmt: skip
    info = {"dataset": "million", "model": "m", "encoder": "random directions", "tokens": TOKENS, "head_sha256": "0"}
    region_table.write(path, region_table.Regions(table, varied(count, dim, 500), info))


def whole_stage(path: Path) -> dict[str, object]:
    """Run stage `cluster` on a table of regions, reading and writing included; return its peak of memory and CPU s."""
    before = _peak_gb()
    spent = {}

    def since(name: str) -> None:
        spent[name] = time.process_time() - sum(spent.values())

    since("start")
    found = region_table.read(path)
    stage.check_embeddings(found.embeddings, str(path))
    since("read")
    maps = EvenMaps(pd.unique(found.table["image_id"]))
    clusters, index = cluster_regions(ClusterSettings(), found, maps)
    since("cluster")
    clusters.table["dataset"] = "million"
    region_index.write(index, path.with_suffix(".faiss"))
    cluster_table.write(path.with_name("clusters.parquet"), clusters)
    since("write")
    data = found.embeddings.nbytes / 1e9
    return {
        "regions": len(found.table),
        "data GB": data,
        "peak beyond it and the program, GB": _peak_gb() - before - data,
        **{f"{name}, CPU s": value for name, value in spent.items()},
        "cells searched": f"{clusters.info['index'].get('cells_searched')} of {clusters.info['index'].get('cells')}",
        "recall@10": clusters.info["index"]["recall_at_10"],
    }


def million(count: int, dim: int) -> dict[str, object]:
    """Return what `whole_stage` measures in a process of its own: a peak never goes down again in one process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "regions.parquet"
        for step in ("write", "cluster"):
            command = [sys.executable, __file__, "--step", step, "--table", str(path), "--regions", str(count),
                       "--dim", str(dim)]  # fmt: skip
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found: dict[str, object] = json.loads(done.stdout)
        return found


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regions", type=int, help="20,000; with --million 1,000,000")
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--k", type=int, nargs="+", default=[20, 200, 1000])
    parser.add_argument("--million", action="store_true", help="memory of a million regions instead")
    parser.add_argument("--step", choices=["write", "cluster"], help=argparse.SUPPRESS)
    parser.add_argument("--table", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="CSV")
    given = parser.parse_args()
    if given.step == "write":
        write_regions(given.table, given.regions, given.dim)
    elif given.step == "cluster":
        sys.stdout.write(json.dumps(whole_stage(given.table)))
    elif given.million:
        show("Memory of stage cluster", [million(given.regions or 1_000_000, given.dim)], given.out)
    else:
        faiss.omp_set_num_threads(1)
        count = given.regions or 20_000
        vectors = planted(count, given.dim, 100)
        show("k-means at equal iterations and starts", [kmeans(vectors, k) for k in given.k], given.out)
        data = {"varied kinds": varied(count, given.dim, 500), "weak kinds": vectors}
        show("Index", [search(name, each, size) for name, each in data.items() for size in (count, 0)], None)


if __name__ == "__main__":
    main()
