"""The region table: one row a region of a photo, with its embedding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from heap import parquet

# Read at a time: 8,192 rows of 384 values are 13 MB.
READ_ROWS = 8192


@dataclass(frozen=True)
class Regions:
    """Regions of a dataset.

    Attributes:
        table: region_id (its row), image_id, token, area_share (share of the photo's patches), foreground (p in 0..1).
        embeddings: `(regions, D)` float32, unit length.
        info: dataset, model, encoder, tokens, head_sha256.
    """

    table: pd.DataFrame
    embeddings: npt.NDArray[np.float32]
    info: dict[str, Any]


def write(path: str | Path, regions: Regions) -> None:
    """Write the table as Parquet, whole or not at all; embeddings are a column of fixed-size lists."""
    table = pa.Table.from_pandas(regions.table, preserve_index=False)
    dim = regions.embeddings.shape[1]
    flat = pa.array(np.ascontiguousarray(regions.embeddings, dtype=np.float32).ravel())
    parquet.write(path, table.append_column("embedding", pa.FixedSizeListArray.from_arrays(flat, dim)), regions.info)


def read(path: str | Path) -> Regions:
    """Read a region table.

    Raises:
        DataError: missing, damaged, or not one; the message names it.
    """
    with parquet.opened(path, "a region table") as file:
        schema = file.schema_arrow
        info = parquet.info_of(schema)
        embeddings = np.empty((file.metadata.num_rows, schema.field("embedding").type.list_size), np.float32)
        first = 0
        # By batches into one array: the whole column as Arrow and as NumPy would be the embeddings twice.
        for batch in file.iter_batches(READ_ROWS, columns=["embedding"]):
            values = batch.column(0).flatten().to_numpy(zero_copy_only=False)
            embeddings[first : first + len(batch)] = values.reshape(len(batch), -1)
            first += len(batch)
        table = file.read([name for name in schema.names if name != "embedding"]).to_pandas()
    return Regions(table, embeddings, info)
