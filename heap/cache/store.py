"""The feature store on disk: Zarr format 3, written shard by shard, each shard whole or absent."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import zarr
from zarr.codecs import Crc32cCodec

from heap.cache.lock import StoreLock
from heap.cache.notes import (
    DESCRIPTION,
    IMAGES,
    done_note,
    missing_shards,
    naming,
    note_path,
    read_description,
    skipped_photos,
    stamp,
    unchanged,
    write_note,
)
from heap.cache.plan import Plan
from heap.errors import CacheError
from heap.files import make_folder, sync, write_durable
from heap.receipts import Receipt

# Beyond it float16 silently becomes infinite.
FLOAT16_MAX = 65504.0
ARRAYS = ("features", "attention", "cls")


class FeatureStore:
    """Arrays `features (rows, D)` float16, `attention (rows, heads)` float32 and `cls (slots, D)` float32.

    With storage `uint8` the features are codes (heap.cache.quantise), and each row of `cls` `(slots, 3 D)` holds the
    photo's ranges too, behind its vector.

    A shard is done when `shards/{n}.json` says so and the files it names are there, of the size it names. The note is
    written after the files are on the disk, so no crash leaves a note without its data. One note a shard, in place of
    one shared log: jobs on several machines write disjoint shards without sharing a file.

    Attributes:
        folder: `{fingerprint}.zarr`.
        plan: where each photo stands.
        lock: who writes what, see `heap.cache.extract.claim`.
        storage: `float16` or `uint8`.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        self.lock = StoreLock(folder)
        self.storage = "float16"

    @classmethod
    def create(
        cls, folder: Path, plan: Plan, dim: int, heads: int, info: dict[str, Any], storage: str = "float16"
    ) -> FeatureStore:
        """Make the store's metadata where there is none yet; writers of several parts may all call it.

        The store is in use, and not removed, until its `lock` is closed.

        Raises:
            CacheError: a store of another layout is already there, or the folder cannot be written.
        """
        store = cls(folder, plan)
        store.storage = storage
        shape = {"fingerprint": folder.stem, **info, "storage": storage, "dim": dim, "heads": heads}
        shape |= {"rows": plan.rows, "rows_per_shard": plan.rows_per_shard, "slots": plan.slots, "shards": plan.shards}
        with naming(folder, "its lock"):
            store.lock.use()
        if not (folder / DESCRIPTION).is_file():
            with naming(folder, "its description"), store.lock.description():
                if not (folder / DESCRIPTION).is_file():
                    store._describe(shape)
        # The label names the weights' file, which may lie elsewhere now; the fingerprint says that it is the same.
        there = {key: value for key, value in read_description(folder).items() if key not in ("files", "encoder")}
        if there != {key: value for key, value in shape.items() if key != "encoder"}:
            raise CacheError(f"{folder}: holds {there}, expected {shape}")
        return store

    def _describe(self, shape: dict[str, Any]) -> None:
        folder, plan, dim = self.folder, self.plan, shape["dim"]
        if any(folder.glob("shards/*.json")):
            raise CacheError(f"{folder}: has shards but no {DESCRIPTION}; move the folder away, or delete it")
        # The description comes last, so what stands here without it is what a killed writer left.
        if folder.exists():
            shutil.rmtree(folder)
        make_folder(folder)
        photo_values = dim if self.storage == "float16" else 3 * dim
        for name, rows, width, dtype, chunk, shard in (
            ("features", plan.rows, dim, self.storage, plan.rows_per_chunk, plan.rows_per_shard),
            ("attention", plan.rows, shape["heads"], "float32", plan.rows_per_chunk, plan.rows_per_shard),
            ("cls", plan.slots, photo_values, "float32", plan.slots_per_shard, plan.slots_per_shard),
        ):
            zarr.create_array(
                folder / name,
                shape=(rows, width),
                chunks=(chunk, width),
                shards=(shard, width),
                dtype=dtype,
                # Raw: no codec saves more than 16 % of real features, and all read slower (benchmarks/codecs.py).
                # Without a checksum of its own a flipped byte of a raw chunk would be read back unnoticed.
                compressors=[Crc32cCodec()],
                filters=None,
                fill_value=0 if dtype == "uint8" else float("nan"),
                dimension_names=("photo" if name == "cls" else "patch", "head" if name == "attention" else "value"),
                config={"write_empty_chunks": True},
            )
            sync(folder / name / "zarr.json")
            sync(folder / name)
        table = io.BytesIO()
        plan.images.to_parquet(table, index=False)
        write_durable(folder / IMAGES, table.getvalue())
        sealed = {path: stamp(folder / path) for path in (IMAGES, *(f"{name}/zarr.json" for name in ARRAYS))}
        write_note(folder / DESCRIPTION, {**shape, "files": sealed})
        sync(folder.parent)

    def done(self, shard: int) -> dict[str, Any] | None:
        """Return what the writer of a finished shard noted, or None, see `done_note`."""
        return done_note(self.folder, shard)

    def write_shard(
        self,
        shard: int,
        features: npt.NDArray[np.float16] | npt.NDArray[np.uint8],
        attention: npt.NDArray[np.float32],
        cls: npt.NDArray[np.float32],
        skipped: list[dict[str, str]],
    ) -> None:
        """Write one whole shard, wait until it is on the disk, then note that it is done.

        Args:
            shard: its number; the caller holds its lock.
            features: `(rows_per_shard, D)`, NaN (0 in uint8) where no photo stands.
            attention: `(rows_per_shard, heads)`.
            cls: `(slots_per_shard, D)`, or `(slots_per_shard, 3 D)` for uint8.
            skipped: photos left out, as {image_id, reason}.

        Raises:
            CacheError: the disk is full or cannot be written. The shard is then not done; finished ones are kept.
        """
        note = note_path(self.folder, shard)
        with naming(self.folder, f"shard {shard}"):
            note.unlink(missing_ok=True)  # of a shard that is written again because it was damaged
            files = {}
            values: npt.NDArray[Any]
            for name, values in zip(ARRAYS, (features, attention, cls), strict=True):
                array = zarr.open_array(self.folder / name, mode="r+")
                path = self.folder / name / array.metadata.encode_chunk_key((shard, 0))
                for left in path.parent.glob("*.partial"):  # of a killed writer: zarr writes under a random name
                    left.unlink()
                array[shard * len(values) : (shard + 1) * len(values)] = values
                blank = not values.any() if values.dtype == np.uint8 else np.isnan(values).all()
                if blank and not path.exists():
                    continue  # every photo of it was skipped: Zarr keeps no file for a shard of nothing but its fill
                sync(path)
                for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
                    sync(folder)
                files[path.relative_to(self.folder).as_posix()] = stamp(path)
            write_note(note, {"photos": len(self.plan.of_shard(shard)), "skipped": skipped, "files": files})

    def missing(self) -> list[int]:
        """Return the shards that no writer has finished."""
        return missing_shards(self.folder, self.plan.shards)

    def skipped(self) -> list[dict[str, str]]:
        """Return every photo left out, as {image_id, reason}, shard by shard."""
        return skipped_photos(self.folder, self.plan.shards)


def require_whole(folder: Path, receipt: Receipt, path: Path) -> None:
    """Check, by names and sizes alone, that a receipt's store is there, is the one it speaks of, and is complete.

    Raises:
        CacheError: says which store, what is wrong, and what to run.
    """
    there, said = read_description(folder), receipt.as_json()
    for key in ("fingerprint", "patch_px", "dim", "heads", "shards", "rows_per_shard"):
        if there.get(key, said[key]) != said[key]:
            raise CacheError(f"{path}: is the receipt of another store ({key} {said[key]}, {folder} has {there[key]})")
    for name, written in there["files"].items():
        if not unchanged(folder / name, written):
            raise CacheError(f"{folder / name}: is gone or damaged; `heap cache verify --repair` removes this store")
    if missing := missing_shards(folder, there["shards"]):
        raise CacheError(
            f"{folder}: shards {missing} are missing or not whole. `heap cache verify --repair` says what is wrong and "
            "lets the next extract compute just these"
        )


def to_float16(values: npt.NDArray[np.float32], what: str) -> npt.NDArray[np.float16]:
    """Cast to float16.

    Raises:
        CacheError: a value is not finite, or too large for float16 (a cast would make it infinite without a word).
    """
    if not np.isfinite(values).all() or np.abs(values).max(initial=0) > FLOAT16_MAX:
        raise CacheError(f"{what}: features are not finite or exceed float16's {FLOAT16_MAX:.0f}")
    return values.astype(np.float16)


def open_array(folder: Path, name: str) -> Any:
    """Open one array of a store for reading.

    Raises:
        CacheError: it is not there.
    """
    try:
        return zarr.open_array(folder / name, mode="r")
    except (FileNotFoundError, ValueError) as error:
        raise CacheError(f"{folder}: array {name} cannot be opened ({error})") from error


def read_rows(array: Any, start: int, stop: int, folder: Path) -> npt.NDArray[Any]:
    """Read rows of an array.

    Raises:
        CacheError: a checksum does not hold, or a shard is cut.
    """
    try:
        return np.asarray(array[start:stop])
    except (ValueError, RuntimeError, OSError) as error:
        raise CacheError(
            f"{folder}: rows {start} to {stop} are damaged ({error}); `heap cache verify --repair` names the shard "
            "and lets the next extract compute it again"
        ) from error


def read_images(folder: Path) -> pd.DataFrame:
    """Read the plan of a store, one row a photo.

    Raises:
        CacheError: it is missing or damaged.
    """
    path = folder / IMAGES
    if not path.is_file():
        raise CacheError(f"{folder}: no feature store ({IMAGES} is missing); run extract again")
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise CacheError(f"{path}: not readable ({error})") from error
