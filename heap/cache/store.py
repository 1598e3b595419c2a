"""The feature store on disk: Zarr format 3, written shard by shard, each shard whole or absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import zarr
from zarr.codecs import Crc32cCodec

from heap.cache.plan import Plan
from heap.errors import CacheError
from heap.files import atomic_path, read_json, write_json

# Beyond it float16 silently becomes infinite.
FLOAT16_MAX = 65504.0


class FeatureStore:
    """Arrays `features (rows, D)` float16, `attention (rows, heads)` float32 and `cls (slots, D)` float32.

    With storage `uint8` the features are codes (heap.cache.quantise), and each row of `cls` `(slots, 3 D)` holds the
    photo's ranges too, behind its vector.

    A shard is done when `shards/{n}.json` says so: it is written, with fsync, after the shard's arrays. One file
    a shard, in place of one shared log: jobs on several machines write disjoint shards without sharing a file.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        self.storage = "float16"

    @classmethod
    def create(
        cls, folder: Path, plan: Plan, dim: int, heads: int, info: dict[str, Any], storage: str = "float16"
    ) -> FeatureStore:
        """Make the store's metadata where there is none yet; writers of several parts may all call it.

        Raises:
            CacheError: a store of another layout is already there.
        """
        store = cls(folder, plan)
        store.storage = storage
        shape = {
            **info, "storage": storage, "dim": dim, "heads": heads,
            "rows": plan.rows, "slots": plan.slots, "shards": plan.shards,
        }  # fmt: skip
        if (folder / "store.json").is_file():
            there = read_json(folder / "store.json")
            if there != shape:
                raise CacheError(f"{folder}: holds {there}, expected {shape}")
            return store
        folder.mkdir(parents=True, exist_ok=True)
        photo_values = dim if storage == "float16" else 3 * dim
        for name, rows, width, dtype, chunk, shard in (
            ("features", plan.rows, dim, storage, plan.rows_per_chunk, plan.rows_per_shard),
            ("attention", plan.rows, heads, "float32", plan.rows_per_chunk, plan.rows_per_shard),
            ("cls", plan.slots, photo_values, "float32", plan.slots_per_shard, plan.slots_per_shard),
        ):
            if (folder / name / "zarr.json").is_file():
                continue
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
        with atomic_path(folder / "images.parquet") as temporary:
            plan.images.to_parquet(temporary, index=False)
        write_json(folder / "store.json", shape)
        return store

    def done(self, shard: int) -> dict[str, Any] | None:
        """Return what the writer of a finished shard noted, or None."""
        path = self.folder / "shards" / f"{shard}.json"
        return read_json(path) if path.is_file() else None

    def write_shard(
        self,
        shard: int,
        features: npt.NDArray[np.float16] | npt.NDArray[np.uint8],
        attention: npt.NDArray[np.float32],
        cls: npt.NDArray[np.float32],
        skipped: list[dict[str, str]],
    ) -> None:
        """Write one whole shard, then note that it is done.

        Args:
            shard: its number.
            features: `(rows_per_shard, D)`, NaN (0 in uint8) where no photo stands.
            attention: `(rows_per_shard, heads)`.
            cls: `(slots_per_shard, D)`, or `(slots_per_shard, 3 D)` for uint8.
            skipped: photos left out, as {image_id, reason}.
        """
        plan = self.plan
        rows = slice(shard * plan.rows_per_shard, (shard + 1) * plan.rows_per_shard)
        slots = slice(shard * plan.slots_per_shard, (shard + 1) * plan.slots_per_shard)
        try:
            for name, where, values in (
                ("features", rows, features),
                ("attention", rows, attention),
                ("cls", slots, cls),
            ):
                zarr.open_array(self.folder / name, mode="r+")[where] = values
            write_json(
                self.folder / "shards" / f"{shard}.json", {"photos": len(plan.of_shard(shard)), "skipped": skipped}
            )
        except OSError as error:
            raise CacheError(
                f"{self.folder}: shard {shard} could not be written ({error}); finished shards are kept"
            ) from error

    def missing(self) -> list[int]:
        """Return the shards that no writer has finished."""
        return [shard for shard in range(self.plan.shards) if self.done(shard) is None]

    def skipped(self) -> list[dict[str, str]]:
        """Return every photo left out, in the manifest's order of shards."""
        return [item for shard in range(self.plan.shards) for item in (self.done(shard) or {"skipped": []})["skipped"]]


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
            f"{folder}: rows {start} to {stop} are damaged ({error}); delete the store to extract anew"
        ) from error


def read_images(folder: Path) -> pd.DataFrame:
    """Read the plan of a store, one row a photo."""
    path = folder / "images.parquet"
    if not path.is_file():
        raise CacheError(f"{folder}: no feature store (images.parquet is missing)")
    return pd.read_parquet(path)
