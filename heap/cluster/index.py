"""One FAISS index over all regions of a dataset, and the nearest regions in other photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from heap.errors import DataError
from heap.files import atomic_path

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

# Exact search compares each region with each, so its time grows with the square: 50,000 regions of 384 values took 30 s
# on two cores, 250,000 would take 12 minutes. Above it, an inverted file looks only into the cells nearest to a query.
EXACT_UP_TO = 250_000
# Cells ~ 4 sqrt(n) balances the search for cells with the search within them; 32 of them are looked into.
CELLS_PER_ROOT = 4
CELLS_SEARCHED = 32
# Queries at a time: 4,096 x 261 hits (M = 256 tokens and 5 neighbours) are 13 MB.
QUERIES_AT_A_TIME = 4096
# Queries by which the recall of an inverted file is measured against the exact search.
RECALL_QUERIES = 500


def build(vectors: Floats, seed: int, exact_up_to: int = EXACT_UP_TO) -> tuple[faiss.Index, dict[str, Any]]:
    """Return an inner-product index over unit vectors `(n, D)`, row number = id, and what kind it is.

    Up to `exact_up_to` vectors the index is flat and its search exact; above, it is an inverted file whose
    recall@10 against the exact search is measured and told.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    count, dim = vectors.shape
    flat = faiss.IndexFlatIP(dim)
    if count <= exact_up_to:
        flat.add(vectors)
        return flat, {"kind": "IndexFlatIP", "exact": True, "recall_at_10": 1.0}
    cells = int(CELLS_PER_ROOT * np.sqrt(count))
    index = faiss.IndexIVFFlat(flat, dim, cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = seed
    index.cp.spherical = True
    index.cp.min_points_per_centroid = 1
    index.train(vectors)
    index.add(vectors)
    index.nprobe = min(CELLS_SEARCHED, cells)
    return index, {
        "kind": "IndexIVFFlat",
        "exact": False,
        "cells": cells,
        "cells_searched": index.nprobe,
        "recall_at_10": _recall(index, vectors, seed),
    }


def _recall(index: faiss.Index, vectors: Floats, seed: int, neighbours: int = 10) -> float:
    """Return the share of the exact nearest regions that the index finds, over some of its own vectors."""
    chosen = np.random.default_rng(seed).choice(len(vectors), min(RECALL_QUERIES, len(vectors)), replace=False)
    queries = vectors[np.sort(chosen)]
    _, found = index.search(queries, neighbours)
    _, exact = faiss.knn(queries, vectors, neighbours, metric=faiss.METRIC_INNER_PRODUCT)
    return float(np.mean([len(np.intersect1d(a, b)) / neighbours for a, b in zip(found, exact, strict=True)]))


def elsewhere(index: faiss.Index, vectors: Floats, photos: Integers, neighbours: int) -> tuple[Integers, Floats]:
    """Return the most similar regions of other photos.

    Args:
        index: over `vectors`.
        vectors: `(n, D)` float32 of length 1.
        photos: `(n,)`, the photo each region belongs to.
        neighbours: how many are wanted.

    Returns:
        Ids `(n, neighbours)` int64 and cosines `(n, neighbours)` float32, nearest first. Where fewer exist, or an
        inverted file found fewer, the rest of a row is id -1 and cosine NaN.
    """
    # Of a row's hits, at most all regions of its own photo (itself among them) are discarded.
    most_of_one_photo = int(np.bincount(photos).max(initial=0))
    wanted = min(neighbours + most_of_one_photo, len(vectors))
    ids = np.full((len(vectors), neighbours), -1, dtype=np.int64)
    cosines = np.full((len(vectors), neighbours), np.nan, dtype=np.float32)
    for first in range(0, len(vectors), QUERIES_AT_A_TIME):
        rows = np.arange(first, min(first + QUERIES_AT_A_TIME, len(vectors)))
        similarity, hits = index.search(np.ascontiguousarray(vectors[rows], dtype=np.float32), wanted)
        other = (hits >= 0) & (photos[hits] != photos[rows][:, None])
        # A stable sort by "not elsewhere" moves the hits of other photos to the front and keeps their order.
        front = np.argsort(~other, axis=1, kind="stable")[:, :neighbours]
        kept = np.take_along_axis(other, front, axis=1)
        width = front.shape[1]
        ids[rows, :width] = np.where(kept, np.take_along_axis(hits, front, axis=1), -1)
        cosines[rows, :width] = np.where(kept, np.take_along_axis(similarity, front, axis=1), np.nan)
    return ids, cosines


def write(index: faiss.Index, path: str | Path) -> None:
    """Write an index, whole or not at all; its bytes are in memory a second time meanwhile."""
    # Not faiss.write_index: it does not look whether closing the file worked, so a full disk cuts its end off silently.
    with atomic_path(path) as temporary:
        temporary.write_bytes(faiss.serialize_index(index).data)


def read(path: str | Path) -> faiss.Index:
    """Read an index.

    Raises:
        DataError: the file is missing or no FAISS index.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file")
    try:
        return faiss.read_index(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise DataError(f"{path}: not readable as a FAISS index ({reason})") from error
