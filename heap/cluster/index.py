"""One FAISS index over all regions of a dataset or a collection, and the nearest regions in other photos."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from heap.cluster.device import placed
from heap.errors import DataError
from heap.files import atomic_path, file_sha256

log = logging.getLogger("heap")

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

# Exact search compares each region with each, so its time grows with the square: 50,000 regions of 384 values took 30 s
# on two cores, 250,000 would take 12 minutes. Above it, an inverted file looks only into the cells nearest to a query.
EXACT_UP_TO = 250_000
# Cells ~ 2 sqrt(n): twice as many searched no faster at equal recall (100,000 regions), for four times the training.
CELLS_PER_ROOT = 2
# The cells' centres are trained on a sample: all of a million vectors took 4,000 cells beyond 7 CPU minutes. FAISS asks
# for 39 a cell at least; six iterations, because cells need not be the best ones, the recall below is what counts.
POINTS_PER_CELL = 64
CELL_ITERATIONS = 6
# An inverted file looks into so many cells that this share of the ten nearest is found; measured, not guessed.
RECALL_AT_LEAST = 0.95
RECALL_AT = 10
RECALL_QUERIES = 500
# Queries at a time: 4,096 x 261 hits (M = 256 tokens and 5 neighbours) are 13 MB.
QUERIES_AT_A_TIME = 4096


def build(vectors: Floats, seed: int, exact_up_to: int = EXACT_UP_TO) -> tuple[faiss.Index, dict[str, Any]]:
    """Return an inner-product index over unit vectors `(n, D)`, row number = id, and what kind it is.

    Up to `exact_up_to` vectors the index is flat and its search exact. Above, it is an inverted file of float16
    vectors (half the memory, and faster to read through), and the number of cells looked into is doubled until a
    sample of its own regions finds `RECALL_AT_LEAST` of their ten nearest others.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    count, dim = vectors.shape
    flat = faiss.IndexFlatIP(dim)
    if count <= exact_up_to:
        flat.add(vectors)
        return flat, {"kind": "IndexFlatIP", "exact": True, "recall_at_10": 1.0}
    cells = int(CELLS_PER_ROOT * np.sqrt(count))
    half = faiss.ScalarQuantizer.QT_fp16
    index = faiss.IndexIVFScalarQuantizer(flat, dim, cells, half, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = seed
    index.cp.spherical = True
    index.cp.niter = CELL_ITERATIONS
    index.cp.min_points_per_centroid = 1
    index.cp.max_points_per_centroid = POINTS_PER_CELL
    index.train(vectors)
    index.add(vectors)
    recalls = _search_enough(index, vectors, seed)
    return index, {
        "kind": "IndexIVFScalarQuantizer fp16",
        "exact": False,
        "cells": cells,
        "cells_searched": index.nprobe,
        "training_points": min(count, cells * POINTS_PER_CELL),
        "recall_at_10": recalls[index.nprobe],
        "recall_at_10_by_cells_searched": {str(searched): recall for searched, recall in recalls.items()},
    }


def _search_enough(index: faiss.IndexIVF, vectors: Floats, seed: int) -> dict[int, float]:
    """Set `index.nprobe` by measured recall; return the recall of each number of cells tried.

    The recall is the share of the ten exact nearest regions, the query itself left out, over some of its own vectors.
    """
    rows = np.random.default_rng(seed).choice(len(vectors), min(RECALL_QUERIES, len(vectors)), replace=False)
    queries = vectors[rows]

    def others(hits: Integers) -> list[Integers]:
        return [row[row != own][:RECALL_AT] for row, own in zip(hits, rows, strict=True)]

    exact = others(faiss.knn(queries, vectors, RECALL_AT + 1, metric=faiss.METRIC_INNER_PRODUCT)[1])
    recalls: dict[int, float] = {}
    searched = 1
    while True:
        index.nprobe = searched
        found = others(index.search(queries, RECALL_AT + 1)[1])
        recalls[searched] = float(
            np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, exact, strict=True)])
        )
        if recalls[searched] >= RECALL_AT_LEAST or searched == index.nlist:
            break
        searched = min(2 * searched, index.nlist)
    if recalls[searched] < RECALL_AT_LEAST:
        log.warning("index: recall@10 of %.3f is below %.2f with all cells searched: the float16 values are too near "
                    "to each other", recalls[searched], RECALL_AT_LEAST)  # fmt: skip
    log.info("index: %d regions, %d of %d cells searched, recall@10 %.3f", len(vectors), searched, index.nlist,
             recalls[searched])  # fmt: skip
    return recalls


def elsewhere(index: faiss.Index, vectors: Floats, photos: Integers, neighbours: int) -> tuple[Integers, Floats]:
    """Return the most similar regions of other photos.

    Args:
        index: over `vectors`.
        vectors: `(n, D)` float32 of length 1.
        photos: `(n,)`, the photo each region belongs to.
        neighbours: how many are wanted.

    Returns:
        Ids `(n, neighbours)` int64 and cosines `(n, neighbours)` float32, nearest first. Where fewer exist, or an
        inverted file found fewer, the rest of a row is id -1 and cosine NaN. The cosines of an inverted file are those
        of its float16 vectors.
    """
    # Of a row's hits, at most all regions of its own photo (itself among them) are discarded.
    most_of_one_photo = int(np.bincount(photos).max(initial=0))
    wanted = min(neighbours + most_of_one_photo, len(vectors))
    ids = np.full((len(vectors), neighbours), -1, dtype=np.int64)
    cosines = np.full((len(vectors), neighbours), np.nan, dtype=np.float32)
    searched = placed(index)
    for first in range(0, len(vectors), QUERIES_AT_A_TIME):
        rows = np.arange(first, min(first + QUERIES_AT_A_TIME, len(vectors)))
        similarity, hits = searched.search(np.ascontiguousarray(vectors[rows], dtype=np.float32), wanted)
        other = (hits >= 0) & (photos[hits] != photos[rows][:, None])
        # A stable sort by "not elsewhere" moves the hits of other photos to the front and keeps their order.
        front = np.argsort(~other, axis=1, kind="stable")[:, :neighbours]
        kept = np.take_along_axis(other, front, axis=1)
        width = front.shape[1]
        ids[rows, :width] = np.where(kept, np.take_along_axis(hits, front, axis=1), -1)
        cosines[rows, :width] = np.where(kept, np.take_along_axis(similarity, front, axis=1), np.nan)
    return ids, cosines


def write(index: faiss.Index, path: str | Path) -> str:
    """Write an index, whole or not at all, and return its sha256; its bytes are in memory a second time meanwhile."""
    # Not faiss.write_index: it does not look whether closing the file worked, so a full disk cuts its end off silently.
    content = faiss.serialize_index(index).data
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def read(path: str | Path, sha256: str) -> faiss.Index:
    """Read an index.

    Args:
        path: the file.
        sha256: of its bytes, as `write` returned it.

    Raises:
        DataError: the file is missing, or is not the one that was written.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file")
    found = file_sha256(path)
    if found != sha256:
        raise DataError(
            f"{path}: has sha256 {found[:12]}, the table of clusters says {sha256[:12]}: it is damaged, or of another "
            "run than the table; delete both and run snakemake again"
        )
    return faiss.read_index(str(path))
