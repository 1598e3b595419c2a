"""What the page knows of every photo and region of a dataset, as columns of bytes: 20,000 photos are a few megabytes.

Each column is little-endian and in base64; the script (`regions.js`) reads them as typed arrays under the same names.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from heap.cluster.table import BACKGROUND, FOREGROUND
from heap.evaluate.truth import photos_of
from heap.report import pictures
from heap.report.atlas import MAP_CELLS, Entry, Sheet, layout_for, sheets
from heap.report.photos import Found

# More neighbours than this the page does not carry, whatever `cluster.neighbours` says.
NEIGHBOURS = 8
# Nor larger thumbnails of every photo: the chosen photos have pictures of their own.
MOST_PX = 256
NOBODY = 0xFFFFFFFF
NO_IOU = 0xFFFF
FULL_U16 = 65535


@dataclass(frozen=True)
class Browser:
    """A dataset's part of the gallery.

    Attributes:
        data: goes into the page as JSON.
        sheets: of the atlas.
        photos: in the gallery.
        pictured: of them with a thumbnail.
        regions: in the gallery.
    """

    data: dict[str, Any]
    sheets: list[Sheet]
    photos: int
    pictured: int
    regions: int


def regions_by_photo(found: Found) -> tuple[list[str], pd.DataFrame]:
    """Return the photos that have a map and a row in the manifest, and their regions photo by photo.

    The regions' column `photo` is the photo's place in the list; their index is their place in the page.
    """
    listed = set(found.manifest.table["image_id"])
    photos = [name for name in found.row_of if name in listed]
    place = {name: number for number, name in enumerate(photos)}
    table = found.clusters.table
    table = table.assign(photo=table["image_id"].map(place)).dropna(subset=["photo"])
    table["photo"] = table["photo"].astype(np.int64)
    return photos, table.sort_values(["photo", "region_id"], kind="stable").reset_index(drop=True)


def browse(found: Found, ious: Mapping[str, float], most_px: int, room: int) -> Browser:
    """Return the gallery of a dataset.

    Args:
        found: the dataset.
        ious: of the photos that could be ranked.
        most_px: longest side of a thumbnail at most.
        room: bytes of the page for thumbnails and region maps.
    """
    photos, regions = regions_by_photo(found)
    files = {
        photo.image_id: found.manifest.root / photo.path
        for photo in photos_of(found.manifest.table, found.manifest.root)
    }
    starts = np.searchsorted(regions["photo"].to_numpy(), np.arange(len(photos) + 1)).astype(np.uint32)
    tokens = regions["token"].to_numpy()
    entries = [
        Entry(found.row_of[name], files[name], tuple(int(token) for token in tokens[starts[i] : starts[i + 1]]))
        for i, name in enumerate(photos)
    ]
    layout = layout_for(len(photos), room, min(most_px, MOST_PX))
    made = sheets(entries, found.open_maps, layout, room, f"thumbnails of {found.name}")
    sizes = np.array([size for sheet in made for size in sheet.sizes], dtype=np.uint16).reshape(-1, 4)
    k = {kind: int(found.clusters.info["k"][kind]) for kind in (FOREGROUND, BACKGROUND)}
    iou = [ious.get(name, np.nan) for name in photos]
    data = {
        "name": found.name,
        "foreground": k[FOREGROUND],
        "background": k[BACKGROUND],
        "colours": pictures.cluster_colours(k[FOREGROUND], k[BACKGROUND]).tolist(),
        "photos": photos,
        "layout": {"side": layout.side_px, "row": layout.per_row, "cells": MAP_CELLS},
        "columns": {
            "start": pack(starts),
            "size": pack(sizes),
            "iou": pack(np.where(np.isnan(iou), NO_IOU, _share(np.nan_to_num(iou), NO_IOU - 1)).astype(np.uint16)),
            **region_columns(found, regions),
        },
    }
    pictured = sum(len(sheet.sizes) for sheet in made if sheet.thumbnails)
    return Browser(data, made, len(photos), pictured, len(regions))


def region_columns(found: Found, regions: pd.DataFrame) -> dict[str, str]:
    """Return the columns of regions that are sorted by photo, see `regions_by_photo`."""
    of_region = regions["image_id"].map(found.row_of).to_numpy()
    height, width = (found.maps.images[side].to_numpy(np.float64)[of_region] for side in ("height_px", "width_px"))
    boxes = np.array(regions["box"].tolist(), dtype=np.float64).reshape(-1, 4)
    boxes /= np.stack([width, height, width, height], axis=-1)
    ids = regions["region_id"].to_numpy(np.int64)
    nearest, similarity = neighbours(ids, regions["nearest"].tolist(), regions["nearest_similarity"].tolist())
    return {
        "id": pack(ids.astype(np.uint32)),
        "cluster": pack(regions["cluster"].to_numpy(np.uint16)),
        "area": pack(_share(regions["area_px"].to_numpy(np.float64) / (height * width))),
        "distance": pack(_share(regions["distance"].to_numpy(np.float64) / 2)),
        "score": pack(_share(regions["foreground"].to_numpy(np.float64))),
        "box": pack(_share(boxes)),
        "nearest": pack(nearest),
        "similarity": pack(similarity),
    }


def neighbours(
    ids: npt.NDArray[np.int64], nearest: Sequence[Sequence[int]], cosines: Sequence[Sequence[float]]
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]]:
    """Return the places of each region's nearest regions `(n, count)`, `NOBODY` where there are fewer, and how near.

    Args:
        ids: region_id of each region of the page; a neighbour that is not among them is left out.
        nearest: region_ids of each region's neighbours, nearest first.
        cosines: theirs; 0..65535 in what is returned stands for -1..1.
    """
    lengths = np.array([len(row) for row in nearest], dtype=np.int64)
    count = min(NEIGHBOURS, int(lengths.max(initial=0)))
    flat = np.array([other for row in nearest for other in row], dtype=np.int64)
    near = np.array([cosine for row in cosines for cosine in row], dtype=np.float64)
    place = pd.Series(np.arange(len(ids)), index=ids).reindex(flat).to_numpy(np.float64)
    owner = np.repeat(np.arange(len(ids)), lengths)
    known = ~np.isnan(place)
    owner, place, near = owner[known], place[known], near[known]
    # The how-manieth of its region each one is, now that unknown ones are gone.
    rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
    kept = rank < count
    out = np.full((len(ids), count), NOBODY, dtype=np.uint32)
    similar = np.zeros((len(ids), count), dtype=np.uint16)
    out[owner[kept], rank[kept]] = place[kept].astype(np.uint32)
    similar[owner[kept], rank[kept]] = _share((near[kept] + 1) / 2)
    return out, similar


def pack(values: npt.NDArray[Any]) -> str:
    """Return an array as little-endian bytes in base64."""
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return base64.b64encode(little.tobytes()).decode("ascii")


def _share(values: npt.NDArray[np.floating], full: int = FULL_U16) -> npt.NDArray[np.uint16]:
    """Return 0..1 as 0..full."""
    return np.rint(full * np.clip(values, 0, 1)).astype(np.uint16)
