"""The region table: one row a region of a photo, with its embedding."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from heap.errors import DataError
from heap.files import atomic_path, dump_json

# Read at a time: 8,192 rows of 384 values are 13 MB.
READ_ROWS, READ_BYTES = 8192, 1 << 20


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
    """Write the table as Parquet, atomically; embeddings are a column of fixed-size lists."""
    table = pa.Table.from_pandas(regions.table, preserve_index=False)
    dim = regions.embeddings.shape[1]
    flat = pa.array(np.ascontiguousarray(regions.embeddings, dtype=np.float32).ravel())
    table = table.append_column("embedding", pa.FixedSizeListArray.from_arrays(flat, dim))
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"heap": dump_json(regions.info).encode()})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


def read(path: str | Path) -> Regions:
    """Read a region table.

    Raises:
        DataError: missing, or not one; the message names it.
    """
    try:
        # A buffer, or each column of a row group (a million regions) is held as it lies on the disk while it is read.
        with pq.ParquetFile(path, buffer_size=READ_BYTES) as file:
            schema = file.schema_arrow
            info = json.loads(schema.metadata[b"heap"])
            embeddings = np.empty((file.metadata.num_rows, schema.field("embedding").type.list_size), np.float32)
            first = 0
            # By batches into one array: the whole column as Arrow and as NumPy would be the embeddings twice.
            for batch in file.iter_batches(READ_ROWS, columns=["embedding"]):
                values = batch.column(0).flatten().to_numpy(zero_copy_only=False)
                embeddings[first : first + len(batch)] = values.reshape(len(batch), -1)
                first += len(batch)
            table = file.read([name for name in schema.names if name != "embedding"]).to_pandas()
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{path}: not a region table ({error})") from error
    return Regions(table, embeddings, info)
