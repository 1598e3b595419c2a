"""Where each photo's patches stand in the cache: arithmetic alone, no file is touched.

The patches of all photos stand in one flat array, photo after photo, each with its own grid. Photos of one grid stand
together, whatever their order in the manifest, so that a shard can be encoded in full batches. A photo never crosses a
shard, so one writer can own a whole shard; the rows left over at a shard's end belong to nobody and stay NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from heap.files import digest
from heap.grid import grid_of

# A file of this size is read at full speed and still few enough make up a store (workflow.md).
SHARD_BYTES = 128 * 2**20
# A killed extraction loses at most this many photos' work...
SHARD_PHOTOS = 256
# ...and a small dataset still splits into parts for several jobs.
SMALLEST_SPLIT = 8


@dataclass(frozen=True)
class Plan:
    """The layout of one store.

    Attributes:
        images: one row a photo, sorted by image_id: image_id, path, height_px, width_px, content (where the table has
            it), input_h_px, input_w_px, grid_h, grid_w, offset (its first row), shard, slot (its row in the per-photo
            arrays). Splits are not among them: they belong to the manifest, which may change after the encoding.
        rows_per_shard: patches a shard holds.
        rows_per_chunk: patches read at once; divides `rows_per_shard`.
        slots_per_shard: photos a shard can hold.
        shards: how many.
    """

    images: pd.DataFrame
    rows_per_shard: int
    rows_per_chunk: int
    slots_per_shard: int
    shards: int

    @property
    def rows(self) -> int:
        """Rows of the flat arrays, unused ones included."""
        return self.shards * self.rows_per_shard

    @property
    def slots(self) -> int:
        """Rows of the per-photo arrays, unused ones included."""
        return self.shards * self.slots_per_shard

    def of_shard(self, shard: int) -> pd.DataFrame:
        """Return the photos of one shard."""
        return self.images[self.images["shard"] == shard]

    def photos(self, shards: list[int]) -> int:
        """Return how many photos stand in these shards."""
        return int(self.images["shard"].isin(shards).sum())

    def part(self, number: int, parts: int) -> list[int]:
        """Return the shards that part `number` (from 1) of `parts` owns; together the parts own each shard once."""
        if not 1 <= number <= parts:
            raise ValueError(f"part {number} of {parts}: expected 1 to {parts}")
        return list(range(number - 1, self.shards, parts))


def plan(
    table: pd.DataFrame,
    patch_px: int,
    bytes_per_row: int,
    input_size: Callable[[int, int], tuple[int, int]],
) -> Plan:
    """Lay out a manifest's photos.

    Args:
        table: the manifest's rows.
        patch_px: side of a patch.
        bytes_per_row: size of one patch's feature.
        input_size: (height_px, width_px) of a photo to those of what the encoder is given.
    """
    # The order of a list of photos, as of a split, decides no feature and no place.
    table = table.sort_values("image_id", kind="stable")
    sizes = [input_size(h, w) for h, w in zip(table["height_px"], table["width_px"], strict=True)]
    grids = [grid_of(h, w, patch_px) for h, w in sizes]
    patches = np.array([h * w for h, w in grids], dtype=np.int64)
    chunk = int(np.median(patches))
    wanted = min(SHARD_BYTES // bytes_per_row, -(-int(patches.sum()) // SMALLEST_SPLIT))
    per_shard = max(int(wanted), int(patches.max()))
    per_shard = -(-per_shard // chunk) * chunk
    offsets, shards, slots = (np.zeros(len(patches), np.int64) for _ in range(3))
    shard = used = slot = 0
    # By grid, and by image_id within a grid.
    for i in sorted(range(len(grids)), key=grids.__getitem__):
        if used + patches[i] > per_shard or slot == SHARD_PHOTOS:
            shard, used, slot = shard + 1, 0, 0
        offsets[i], shards[i], slots[i] = shard * per_shard + used, shard, slot
        used, slot = used + int(patches[i]), slot + 1
    slots_per_shard = int(slots.max()) + 1
    # The photos' hashes stay with their features, so that a changed file is noticed; tables made by hand lack them.
    known = [name for name in ("image_id", "path", "height_px", "width_px", "content") if name in table]
    images = table[known].reset_index(drop=True).copy()
    images[["input_h_px", "input_w_px"]] = np.array(sizes, dtype=np.int32)
    images[["grid_h", "grid_w"]] = np.array(grids, dtype=np.int32)
    images["offset"] = offsets
    images["shard"] = shards.astype(np.int32)
    images["slot"] = shards * slots_per_shard + slots
    return Plan(images, per_shard, chunk, slots_per_shard, shard + 1)


def refuse_large(
    table: pd.DataFrame,
    patch_px: int,
    input_size: Callable[[int, int], tuple[int, int]],
    max_patches: int,
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Part a manifest's photos into those that may be encoded and those that are too large.

    This looks at the sizes in the manifest alone, because one huge photo, or a small file that claims to be one, would
    also size every shard of the store. A forward pass needs memory in proportion to the patches of a photo (24 kB each
    with ViT-S/8 and fused attention, measured up to 16384), and time in proportion to their square.

    Args:
        table: the manifest's rows.
        patch_px: side of a patch.
        input_size: (height_px, width_px) of a photo to those of what the encoder is given.
        max_patches: largest number of patches of a photo.

    Returns:
        The rows kept, and {image_id, reason} of the others.
    """
    refused: list[dict[str, str]] = []
    keep = np.ones(len(table), bool)
    for number, photo in enumerate(table.itertuples()):
        height_px, width_px = input_size(int(photo.height_px), int(photo.width_px))
        grid_h, grid_w = grid_of(height_px, width_px, patch_px)
        if grid_h * grid_w <= max_patches:
            continue
        keep[number] = False
        longest, shortest = max(height_px, width_px), min(height_px, width_px)
        # The largest side of whole patches with which a photo of this shape stays below the limit.
        side = int((max_patches * longest / shortest) ** 0.5) * patch_px
        while side > patch_px and np.prod(grid_of(side, -(-side * shortest // longest), patch_px)) > max_patches:
            side -= patch_px
        reason = (
            f"{photo.path}: {height_px} x {width_px} px are {grid_h * grid_w} patches, too many for one photo "
            f"(max_patches: {max_patches}); set max_px: {side}, or raise max_patches if there is memory for it"
        )
        refused.append({"image_id": str(photo.image_id), "reason": reason})
    return table[keep], refused


def fingerprint(settings: dict[str, Any], weights_sha256: str | None, table: pd.DataFrame, version: int) -> str:
    """Return the name of the store that these settings, weights and photos give: equal names, equal features."""
    photos = sorted(zip(table["image_id"], table["content"], strict=True))
    return digest({"settings": settings, "weights": weights_sha256, "photos": digest(photos, 64), "version": version})
