"""The table of clusters: one row a region, and how they were made.

`results/clusters/{dataset}.parquet`, rows in the order of the region table; or `results/clusters/{collection}.parquet`,
the regions of its datasets one after the other, numbered and clustered together:

| column | type | meaning |
|---|---|---|
| region_id | int64 | row of this table and of the index; of a dataset's own table also row of its region table |
| dataset | string | the dataset of the photo |
| image_id | string | the photo; unique in its dataset, in a collection only together with `dataset` |
| token | int16 | the group token that formed the region |
| area_px | int64 | pixels of the photo |
| box | list<int32> | [x1, y1, x2, y2], half open: `photo[y1:y2, x1:x2]`; zeros for a region without pixels |
| foreground | float | p_k, 0..1 |
| kind | string | "foreground" where p_k > 0.5, else "background" |
| cluster | int32 | foreground 0..kf-1, background kf..kf+kb-1, in each the largest first |
| foreground_cluster | int32 | `cluster`; of a background region the most similar foreground region's, or -1 |
| object | int64 | region_id of the first region of its object: touching, similar foreground regions are one object |
| distance | float | 1 - cosine of the object's embedding to the cluster's centroid |
| nearest | list<int64> | region_ids of other photos, nearest first |
| nearest_similarity | list<float> | their cosines |

The file's metadata holds `heap` (JSON: dataset (or the collection's name), datasets, model, encoder, k, how k-means and
the index were set and what came of it) and `heap.centroids` (.npy bytes). The centroids live in the table and not in a
file next to it, so that clusters and centroids can never belong to different runs.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from heap import parquet
from heap.errors import DataError

FOREGROUND, BACKGROUND = "foreground", "background"
# p_k is the probability that a region is foreground; polarity was settled by the training.
FOREGROUND_ABOVE = 0.5
_CENTROIDS = b"heap.centroids"
_SCHEMA = pa.schema(
    [
        ("region_id", pa.int64()),
        ("dataset", pa.string()),
        ("image_id", pa.string()),
        ("token", pa.int16()),
        ("area_px", pa.int64()),
        ("box", pa.list_(pa.int32())),
        ("foreground", pa.float32()),
        ("kind", pa.string()),
        ("cluster", pa.int32()),
        ("foreground_cluster", pa.int32()),
        ("object", pa.int64()),
        ("distance", pa.float32()),
        ("nearest", pa.list_(pa.int64())),
        ("nearest_similarity", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True)
class Clusters:
    """Regions with their clusters.

    Attributes:
        table: one row a region, columns as above.
        centroids: `(kf + kb, values of the view)` float32 of length 1; row = cluster.
        info: dataset, datasets, model, encoder, k, kmeans, index, views (how embeddings of a kind are compared).
    """

    table: pd.DataFrame
    centroids: npt.NDArray[np.float32]
    info: dict[str, Any]

    @property
    def foreground_clusters(self) -> int:
        """Number of foreground clusters, kf."""
        return int(self.info["k"][FOREGROUND])


def write(path: str | Path, clusters: Clusters) -> None:
    """Write the table, whole or not at all; equal clusters give equal bytes."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(clusters.centroids, dtype=np.float32), allow_pickle=False)
    schema = _SCHEMA.with_metadata({_CENTROIDS: buffer.getvalue()})
    columns = [_arrow(clusters.table[field.name], field.type) for field in schema]
    parquet.write(path, pa.Table.from_arrays(columns, schema=schema), clusters.info)


def lists(rows: npt.NDArray[Any], present: npt.NDArray[np.bool_]) -> pd.Series:
    """Return a column of lists: of each row of `(n, width)` the values that are present.

    Two flat arrays for Arrow; a NumPy array or a list for each of a million rows would take ten times as much.
    """
    offsets = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum(present.sum(axis=1), out=offsets[1:])
    return pd.Series(
        pd.arrays.ArrowExtensionArray(pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows[present])))
    )


def _arrow(column: pd.Series, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if isinstance(column.dtype, pd.ArrowDtype):
        return pa.chunked_array(column.array.__arrow_array__()).cast(kind)
    # Without from_pandas a NaN stays a NaN and does not become a null.
    return pa.array(column.to_numpy(), type=kind, from_pandas=False)


def read(path: str | Path) -> Clusters:
    """Read a table of clusters.

    Raises:
        DataError: the file is missing, damaged, or is not a table of clusters.
    """
    with parquet.opened(path, "a table of clusters") as file:
        schema = file.schema_arrow
        missing = [name for name in _SCHEMA.names if name not in schema.names]
        if _CENTROIDS not in (schema.metadata or {}) or missing:
            raise DataError(f"{path}: not a table of clusters (missing: {', '.join(missing) or 'centroids'})")
        centroids = np.load(io.BytesIO(schema.metadata[_CENTROIDS]), allow_pickle=False)
        return Clusters(table=file.read().to_pandas(), centroids=centroids, info=parquet.info_of(schema))
