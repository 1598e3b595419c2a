"""Several datasets as one: their regions one after the other, their patch maps behind one door.

A photo is known by its dataset and its image_id together, because two datasets may number their photos alike. Within a
collection both are one key, `dataset:image_id`; names of datasets hold no colon, so no two photos share one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from heap.cache.maps import MapReader, MapReceipt
from heap.errors import DataError
from heap.grid import PatchGrid
from heap.group import regions as region_table
from heap.group.regions import Regions

# What must be the same for regions to be comparable: the head's checksum decides, the rest makes a message readable.
_ALIKE = ("head_sha256", "model", "encoder", "tokens")


class Maps(Protocol):
    """What is read of a method's patch maps, of one dataset (`heap.cache.maps.MapReader`) or of several."""

    @property
    def receipt(self) -> MapReceipt:
        """Method, dataset, encoder, patch_px."""

    @property
    def images(self) -> pd.DataFrame:
        """One row a photo."""

    def region(self, i: int) -> npt.NDArray[np.int16]:
        """Return the token of each patch of photo `i`, `(grid_h, grid_w)`."""

    def grid(self, i: int) -> PatchGrid:
        """Return where the patches of photo `i` lie."""


class JoinedMaps:
    """Patch maps of several datasets, read as if they were one's.

    Attributes:
        receipt: of the first, `dataset` being the collection's name.
        images: one row a photo, `image_id` being its key.
    """

    def __init__(self, name: str, readers: Sequence[MapReader]) -> None:
        """Put maps of one method and patch size one after the other.

        Raises:
            DataError: they have patches of different sizes.
        """
        self.receipt = readers[0].receipt.model_copy(update={"dataset": name})
        frames = []
        for reader in readers:
            dataset, patch_px = reader.receipt.dataset, reader.receipt.patch_px
            if patch_px != self.receipt.patch_px:
                raise DataError(
                    f"collections.{name}: patches of {patch_px} px in {dataset}, of {self.receipt.patch_px} px in "
                    f"{readers[0].receipt.dataset}"
                )
            frames.append(reader.images.assign(image_id=dataset + ":" + reader.images["image_id"].astype(object)))
        self.images = pd.concat(frames, ignore_index=True)
        self._readers = readers
        self._first = np.cumsum([0, *map(len, frames)])

    def region(self, i: int) -> npt.NDArray[np.int16]:
        """Return the token of each patch of photo `i`, `(grid_h, grid_w)`."""
        reader, row = self._place(i)
        return reader.region(row)

    def grid(self, i: int) -> PatchGrid:
        """Return where the patches of photo `i` lie."""
        reader, row = self._place(i)
        return reader.grid(row)

    def _place(self, i: int) -> tuple[MapReader, int]:
        reader = int(np.searchsorted(self._first, i, side="right")) - 1
        return self._readers[reader], i - int(self._first[reader])


def read(name: str, regions: Sequence[Path]) -> tuple[Regions, npt.NDArray[np.object_], npt.NDArray[np.object_]]:
    """Read the region tables of a collection as one.

    Args:
        name: of the collection.
        regions: a table a dataset, by one head.

    Returns:
        The regions, numbered through, `image_id` being the photo's key and `dataset` in the info the collection's name;
        and of each region its dataset and its own image_id.

    Raises:
        DataError: the regions are by different heads, or a dataset is there twice.
    """
    parts = [region_table.read(path) for path in regions]
    datasets = [str(part.info["dataset"]) for part in parts]
    if len(set(datasets)) < len(datasets):
        raise DataError(f"collections.{name}: a dataset is there twice ({', '.join(datasets)})")
    first = parts[0].info
    for path, part in zip(regions, parts, strict=True):
        for key in _ALIKE:
            if part.info.get(key) != first.get(key):
                raise DataError(
                    f"{path}: {key} is {part.info.get(key)}, but {first.get(key)} in {regions[0]}; regions by "
                    f"different heads cannot be compared (collections.{name})"
                )
    table = pd.concat([part.table for part in parts], ignore_index=True)
    of_dataset = np.repeat(np.array(datasets, dtype=object), [len(part.table) for part in parts])
    image_ids = table["image_id"].to_numpy(object)
    table["region_id"] = np.arange(len(table), dtype=np.int64)
    table["image_id"] = of_dataset + ":" + image_ids
    warnings = [
        f"{d}: {text}" for d, part in zip(datasets, parts, strict=True) for text in part.info.get("warnings", [])
    ]
    info = {**first, "dataset": name, "warnings": warnings}
    return Regions(table, np.concatenate([part.embeddings for part in parts]), info), of_dataset, image_ids
