"""The instances of a dataset as a table and as indexed maps: what tools without COCO's format read.

`results/instances/{dataset}.parquet`, one row an instance, in the order of the COCO annotations:

| column | type | meaning |
|---|---|---|
| instance_id | int64 | id of the COCO annotation |
| image_id | string | the photo |
| cluster | int32 | foreground cluster, -1 without one |
| value | int32 | its pixels' value in the indexed map and its COCO category: cluster + 1 |
| score | float | mean foreground probability |
| area_px | int64 | pixels |
| box | list<int32> | [x1, y1, x2, y2], half open |
| rle_size | list<int32> | [height, width] of the photo |
| rle_counts | string | COCO's compressed RLE |

The folder of the same name holds one PNG a photo: palette of PASCAL VOC, 0 background, `value` elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from heap import parquet
from heap.files import atomic_path
from heap.segment.instances import Instance

# 255 means "ignored" in VOC's class masks and in our scoring of cluster maps.
MOST_VALUES = 254
_SCHEMA = pa.schema(
    [
        ("instance_id", pa.int64()),
        ("image_id", pa.string()),
        ("cluster", pa.int32()),
        ("value", pa.int32()),
        ("score", pa.float32()),
        ("area_px", pa.int64()),
        ("box", pa.list_(pa.int32())),
        ("rle_size", pa.list_(pa.int32())),
        ("rle_counts", pa.string()),
    ]
)


def voc_palette() -> npt.NDArray[np.uint8]:
    """Return the colours of PASCAL VOC's masks, `(256, 3)`: the bits of a value dealt to R, G and B from the top."""
    values = np.arange(256)
    palette = np.zeros((256, 3), dtype=np.uint8)
    for level in range(8):
        for channel in range(3):
            bit = (values >> (3 * level + channel)) & 1
            palette[:, channel] |= (bit << (7 - level)).astype(np.uint8)
    return palette


def indexed(objects: Sequence[Instance], values: Sequence[int], shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return the map `(H, W)` of a photo: each object's value, 0 elsewhere. Objects never overlap."""
    found = np.zeros(shape, dtype=np.uint8)
    for one, value in zip(objects, values, strict=True):
        found[one.mask] = value
    return found


def write_indexed(path: Path, values: npt.NDArray[np.uint8]) -> None:
    """Write a map `(H, W)` as an indexed PNG with VOC's palette, whole or not at all; to be followed by `sync_tree`."""
    image = Image.fromarray(values, mode="P")
    image.putpalette(voc_palette().tobytes())
    with atomic_path(path, durable=False) as temporary:
        image.save(temporary, format="PNG")


def write_table(
    path: Path,
    annotations: Sequence[dict[str, Any]],
    names: Mapping[int, str],
    unclustered: int,
    info: dict[str, Any],
) -> None:
    """Write the table, whole or not at all.

    Args:
        path: of the Parquet file.
        annotations: COCO annotations with their ids.
        names: image_id of each photo by its id in the COCO JSON.
        unclustered: the category of objects without a cluster.
        info: kept as JSON in the file's metadata, `heap`.
    """
    rows = [
        {
            "instance_id": one["id"],
            "image_id": names[one["image_id"]],
            "cluster": -1 if one["category_id"] == unclustered else one["category_id"] - 1,
            "value": one["category_id"],
            "score": one["score"],
            "area_px": one["area"],
            "box": _corners(one["bbox"]),
            "rle_size": one["segmentation"]["size"],
            "rle_counts": one["segmentation"]["counts"],
        }
        for one in annotations
    ]
    parquet.write(path, pa.Table.from_pylist(rows, schema=_SCHEMA), info)


def _corners(bbox: Sequence[int]) -> list[int]:
    x, y, width, height = bbox
    return [x, y, x + width, y + height]
