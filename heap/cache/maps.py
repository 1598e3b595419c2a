"""Patch maps of a method over a dataset: how much each patch is foreground, and which region it belongs to."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import zarr
from pydantic import Field
from zarr.codecs import Crc32cCodec

from heap import parquet, paths
from heap.cache.notes import IMAGES, stamp, unchanged
from heap.cache.reader import FeatureReader
from heap.cache.store import open_array
from heap.errors import CacheError
from heap.files import digest, named, put_in_place, write_json
from heap.grid import PatchGrid
from heap.receipts import Positive, Receipt, Skipped, Stamp, read_receipt

# Patches a chunk: 256 kB of float32, a few dozen photos.
_CHUNK = 65536
_AGAIN = "delete the receipt and run snakemake again"
# What says where a photo's values stand and how they are read. The values bear checksums of their own.
_DESCRIBING = (IMAGES, "foreground/zarr.json", "region/zarr.json")


class MapReceipt(Receipt):
    """What is known of a method's patch maps; of a head's also its seed, model and sha256."""

    store: Annotated[str, Field(pattern=r"^[\w.-]+\.zarr$")]
    method: str
    dataset: str
    encoder: str
    fingerprint: str
    patch_px: Positive
    regions: bool
    skipped: list[Skipped]
    files: dict[str, Stamp]


def write_maps(
    receipt: str | Path,
    reader: FeatureReader,
    method: str,
    maps: Iterable[tuple[npt.NDArray[np.float32], npt.NDArray[np.int16] | None]],
    info: dict[str, Any],
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write the maps of all photos of `reader`, in its order, then the receipt.

    Args:
        receipt: where the receipt goes; the arrays go into the folder of its name.
        reader: the features the maps belong to.
        method: whose maps they are.
        maps: for each photo the foreground probability `(N,)` and the region of each patch `(N,)`, or None.
        info: what else the receipt says (head, settings).
        notes: counts that the receipt holds too, read after the last map: `maps` may fill it on its way.
    """
    receipt = Path(receipt)
    identity = {"method": method, "fingerprint": reader.receipt.fingerprint, **info}
    folder = paths.folder_of(receipt)
    final = folder / f"{digest(identity)}.zarr"
    work = folder / f".{final.name}.part"
    with _work(work, receipt):
        has_regions, images = _write(work, receipt, reader.images.copy(), maps)
        put_in_place(work, final)
    keep = {"dataset", "encoder", "patch_px", "attention_kind", "skipped", "weights"}
    known = reader.receipt.model_dump(include=keep, exclude_unset=True)
    files = {name: stamp(final / name) for name in _DESCRIBING}
    about = {"store": final.name, "regions": has_regions, "images": images, "notes": dict(notes or {}), "files": files}
    write_json(receipt, {**known, **identity, **about})
    for old in folder.glob("*.zarr"):
        if old != final:
            shutil.rmtree(old)


@contextmanager
def _work(work: Path, receipt: Path) -> Iterator[None]:
    """A fresh folder of what is not whole yet: after a full disk it would take the room that is left.

    Raises:
        OSError: the disk refuses; bears the receipt's name.
    """
    if work.exists():  # of a run that was killed
        shutil.rmtree(work)
    try:
        with named(receipt):
            yield
    except BaseException:
        if work.exists():
            shutil.rmtree(work)
        raise


def _write(
    work: Path,
    receipt: Path,
    images: pd.DataFrame,
    maps: Iterable[tuple[npt.NDArray[np.float32], npt.NDArray[np.int16] | None]],
) -> tuple[bool, int]:
    """Write the arrays and the plan; return whether a map had regions, and the number of photos."""
    counts = (images["grid_h"] * images["grid_w"]).to_numpy(dtype=np.int64)
    images["offset"] = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    rows = int(counts.sum())
    options: dict[str, Any] = {"shape": (rows,), "chunks": (min(_CHUNK, rows),), "compressors": [Crc32cCodec()]}
    options |= {"filters": None, "dimension_names": ("patch",), "config": {"write_empty_chunks": True}}
    arrays = {
        "foreground": zarr.create_array(work / "foreground", dtype="float32", fill_value=float("nan"), **options),
        "region": zarr.create_array(work / "region", dtype="int16", fill_value=-1, **options),
    }
    buffers: dict[str, list[npt.NDArray[Any]]] = {"foreground": [], "region": []}
    written = waiting = 0
    has_regions = False
    for number, (foreground, region) in enumerate(maps):
        if foreground.shape != (counts[number],) or not np.isfinite(foreground).all():
            raise CacheError(f"{receipt}: map of {images['image_id'][number]} is misshaped or not finite")
        has_regions |= region is not None
        buffers["foreground"].append(foreground.astype(np.float32))
        buffers["region"].append(np.full(counts[number], -1, np.int16) if region is None else region)
        waiting += int(counts[number])
        # Whole chunks only, so that each chunk is written once.
        while waiting >= _CHUNK or (written + waiting == rows and waiting):
            size = min(_CHUNK, waiting)
            for name, array in arrays.items():
                joined = np.concatenate(buffers[name])
                array[written : written + size] = joined[:size]
                buffers[name] = [joined[size:]]
            written, waiting = written + size, waiting - size
    if written != rows:
        raise CacheError(f"{receipt}: {written} of {rows} patches were given")
    parquet.write(work / IMAGES, images)
    return has_regions, len(images)


class MapReader:
    """The maps that a receipt stands for.

    Attributes:
        receipt: method, dataset, encoder (its label), fingerprint of the features, photos that were skipped, ...
        images: one row a photo, as in `FeatureReader.images`.
    """

    def __init__(self, receipt: str | Path) -> None:
        path = Path(receipt)
        self.receipt = read_receipt(path, MapReceipt, "the receipt of patch maps", CacheError)
        self.folder = paths.folder_of(path) / self.receipt.store
        if set(self.receipt.files) != set(_DESCRIBING):
            raise CacheError(f"{path}: not the receipt of patch maps (files: expected {', '.join(_DESCRIBING)})")
        for name, written in self.receipt.files.items():
            if not unchanged(self.folder / name, written.as_json()):
                raise CacheError(f"{self.folder / name}: is gone, damaged, or of other maps than {path}; {_AGAIN}")
        self.images: pd.DataFrame = parquet.read(self.folder / IMAGES, "the plan of patch maps").to_pandas()
        self._foreground = open_array(self.folder, "foreground")
        self._region = open_array(self.folder, "region")

    def __len__(self) -> int:
        return len(self.images)

    def foreground(self, i: int) -> npt.NDArray[np.float32]:
        """Return the probability of being foreground `(grid_h, grid_w)` float32 of photo `i`.

        Raises:
            CacheError: it is damaged, or gone.
        """
        return self._read(self._foreground, i)

    def region(self, i: int) -> npt.NDArray[np.int16]:
        """Return the region (token) each patch belongs to, `(grid_h, grid_w)` int16, of photo `i`.

        Raises:
            CacheError: the method has no regions; or it is damaged, or gone.
        """
        if not self.receipt.regions:
            raise CacheError(f"{self.folder}: method {self.receipt.method} has no regions")
        return self._read(self._region, i)

    def grid(self, i: int) -> PatchGrid:
        """Return where the patches of photo `i` lie."""
        return PatchGrid.of(self.images, i, self.receipt.patch_px)

    def _read(self, array: Any, i: int) -> npt.NDArray[Any]:
        start = int(self.images["offset"].iat[i])
        grid_h, grid_w = int(self.images["grid_h"].iat[i]), int(self.images["grid_w"].iat[i])
        try:
            values = np.asarray(array[start : start + grid_h * grid_w])
        except (ValueError, RuntimeError, OSError) as error:
            raise CacheError(f"{self.folder}: the map of {self._name(i)} is damaged ({error}); {_AGAIN}") from error
        # Zarr reads a chunk that is gone as its fill value (NaN; -1 for regions), without a word.
        if np.isnan(values).any() or (values < 0).any():
            raise CacheError(f"{self.folder}: the map of {self._name(i)} is gone, or was never written; {_AGAIN}")
        return values.reshape(grid_h, grid_w)

    def _name(self, i: int) -> str:
        return str(self.images["image_id"].iat[i])
