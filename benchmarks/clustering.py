"""FAISS k-means against scikit-learn's, and the index: `python benchmarks/clustering.py [--regions N] [--million]`.

Both k-means get the same unit vectors, the same starting centroids and the same number of iterations, on one thread;
times are CPU seconds, so that a busy machine does not decide. `--million` runs the index and k-means as stage `cluster`
does on a million regions of 384 values and prints the peak of memory beyond the data.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
from measuring import in_turns, ratio, show
from sklearn.cluster import KMeans

from heap.cluster import index as region_index
from heap.cluster.kmeans import assign, spherical_kmeans

Floats = npt.NDArray[np.float32]
ITERATIONS = 20


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
        "regions": len(vectors),
        "k": k,
        "faiss CPU s": statistics.median(seconds["faiss"]),
        "sklearn CPU s": statistics.median(seconds["sklearn"]),
        "sklearn / faiss time": ratio(seconds["faiss"], seconds["sklearn"]),
        "faiss / sklearn inertia": inertia(found["faiss"]) / inertia(found["sklearn"]),
    }


def search(vectors: Floats, exact_up_to: int) -> dict[str, object]:
    """Return recall@10 and queries a CPU second of the index."""
    index, info = region_index.build(vectors, 0, exact_up_to)
    queries = vectors[:1000]
    started = time.process_time()
    index.search(queries, 10)
    spent = time.process_time() - started
    return {"index": info["kind"], "recall@10": info["recall_at_10"], "queries / CPU s": len(queries) / spent}


def million(count: int, dim: int) -> dict[str, object]:
    """Return the peak of memory beyond the data of k-means, index and a block of neighbours."""
    vectors = planted(count, dim, 100)
    photos = np.arange(count, dtype=np.int64) // 16
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spherical_kmeans(vectors, 20, iterations=10, restarts=1, points_per_centroid=4096, seed=0)
    after_kmeans = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    index, info = region_index.build(vectors, 0)
    block = 8192
    most = int(np.bincount(photos).max())
    for first in range(0, block, region_index.QUERIES_AT_A_TIME):
        index.search(vectors[first : first + region_index.QUERIES_AT_A_TIME], 5 + most)
    assign(vectors, vectors[:20])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "regions": count,
        "data GB": vectors.nbytes / 1e9,
        "k-means beyond it, GB": (after_kmeans - before) * 1024 / 1e9,
        "all beyond it, GB": (peak - before) * 1024 / 1e9,
        "index": info["kind"],
        "recall@10": info["recall_at_10"],
    }


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regions", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--million", action="store_true", help="memory of a million regions instead")
    parser.add_argument("--out", type=Path, help="CSV")
    given = parser.parse_args()
    if given.million:
        show("Memory of stage cluster", [million(1_000_000, given.dim)], given.out)
        return
    faiss.omp_set_num_threads(1)
    vectors = planted(given.regions, given.dim, 100)
    show("k-means at equal iterations and starts", [kmeans(vectors, given.k)], given.out)
    show("Index", [search(vectors, given.regions), search(vectors, 0)], None)


if __name__ == "__main__":
    main()
