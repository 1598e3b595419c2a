"""Reading features back: photo by photo, or shard by shard for training."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from heap import paths
from heap.cache.quantise import restore
from heap.cache.raw import fast
from heap.cache.store import open_array, read_images, read_rows, require_whole
from heap.errors import CacheError, TrainingError
from heap.grid import PatchGrid
from heap.receipts import Number, Positive, Receipt, Skipped, Weights, read_receipt

# A name of one part: `../x` would lead out of the folder of stores.
_FINGERPRINT = r"^\w{1,64}$"


class StoreReceipt(Receipt):
    """What the receipts of a store and of its parts have in common: `gather` copies it from the first part.

    Attributes:
        encoder: its label.
        appearance: which values say what a patch looks like, see `heap.encoders.base.Encoder`.
        root: folder of the photos.
    """

    dataset: str
    fingerprint: Annotated[str, Field(pattern=_FINGERPRINT)]
    encoder: str
    patch_px: Positive
    dim: Positive
    heads: Positive
    attention_kind: str
    appearance: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None
    weights: Weights
    storage: str = "float16"
    encoder_settings: dict[str, Any] = Field(default_factory=dict)
    max_px: Positive | None = None
    resize_px: list[Positive] | None = None
    root: str = ""
    rows_per_shard: Positive
    shards: Positive


class FeatureReceipt(StoreReceipt):
    """What `gather` says of a feature store to all later stages."""

    skipped: list[Skipped]


def read_features_receipt(path: Path) -> FeatureReceipt:
    """Read the receipt of a feature store.

    Raises:
        CacheError: it is something else; names file and key.
    """
    return read_receipt(path, FeatureReceipt, "the receipt of a feature store", CacheError)


class FeatureReader:
    """The features that a receipt stands for.

    Opening looks at names and sizes alone (`heap cache verify` reads every byte) and refuses, with what to run, a store
    that is gone, unfinished, cut, or another than the receipt's.

    Attributes:
        receipt: what `gather` says of the store.
        images: one row a photo that was encoded (see `Plan.images`); photos skipped at extraction are not listed.
    """

    def __init__(self, receipt: str | Path) -> None:
        self.path = Path(receipt)
        self.receipt = read_features_receipt(self.path)
        self.folder = store_folder(paths.folder_of(self.path), self.receipt.fingerprint)
        require_whole(self.folder, self.receipt, self.path)
        images = read_images(self.folder)
        skipped = {item.image_id for item in self.receipt.skipped}
        self.images: pd.DataFrame = images[~images["image_id"].isin(skipped)].reset_index(drop=True)
        self._features, self._attention, self._cls = (
            fast(open_array(self.folder, name), self.folder / name) for name in ("features", "attention", "cls")
        )
        self._coded = self._features.dtype == np.uint8
        columns = self.images
        self._start = columns["offset"].to_numpy()
        self._stop = self._start + (columns["grid_h"] * columns["grid_w"]).to_numpy()
        self._slot = columns["slot"].to_numpy()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def dim(self) -> int:
        """D, values of a feature."""
        return self.receipt.dim

    def rows_of(self, image_ids: Iterable[str]) -> list[int]:
        """Return the positions in `images` of these photos, in its order; photos that were skipped are left out."""
        return [int(i) for i in np.flatnonzero(self.images["image_id"].isin(list(image_ids)))]

    def patches(self, i: int) -> int:
        """Return N of photo `i`."""
        return int(self._stop[i] - self._start[i])

    def grid(self, i: int) -> PatchGrid:
        """Return where the patches of photo `i` lie."""
        return PatchGrid.of(self.images, i, self.receipt.patch_px)

    def features(self, i: int) -> npt.NDArray[np.float32]:
        """Return the features `(N, D)` float32 of photo `i`, restored where the store holds codes."""
        values = read_rows(self._features, self._start[i], self._stop[i], self.folder)
        return restore(values, self._photo(i)[self.dim :]) if self._coded else self._there(values, i).astype(np.float32)

    def attention(self, i: int) -> npt.NDArray[np.float32]:
        """Return the attention `(N, heads)` float32 of photo `i`."""
        values: npt.NDArray[np.float32] = read_rows(self._attention, self._start[i], self._stop[i], self.folder)
        return self._there(values, i)

    def cls(self, i: int) -> npt.NDArray[np.float32]:
        """Return the vector `(D,)` float32 of the whole photo `i`."""
        return self._photo(i)[: self.dim]

    def shard(self, shard: int) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float32], int]:
        """Return features and attention of one whole shard, and the row of the flat arrays it starts at."""
        rows = self.receipt.rows_per_shard
        start, stop = shard * rows, (shard + 1) * rows
        features = read_rows(self._features, start, stop, self.folder)
        attention: npt.NDArray[np.float32] = read_rows(self._attention, start, stop, self.folder)
        # Codes have no NaN; attention has, in the same places.
        if np.isnan(attention[:, 0]).all() and (self.images["shard"] == shard).any():
            raise CacheError(
                f"{self.folder}: shard {shard} is gone; `heap cache verify --repair` has it computed again"
            )
        if not self._coded:
            return features, attention, start
        values = np.full(features.shape, np.nan, np.float16)
        for i in np.flatnonzero((self._start >= start) & (self._stop <= stop)).tolist():
            own = slice(self._start[i] - start, self._stop[i] - start)
            values[own] = restore(features[own], self._photo(i)[self.dim :])
        return values, attention, start

    def _photo(self, i: int) -> npt.NDArray[np.float32]:
        """Return the row of photo `i` in the per-photo array."""
        values: npt.NDArray[np.float32] = read_rows(self._cls, self._slot[i], self._slot[i] + 1, self.folder)
        return self._there(values, i)[0]

    def _there(self, values: npt.NDArray[Any], i: int) -> npt.NDArray[Any]:
        """Return values of a photo, all of them computed: Zarr reads what was deleted as NaN, without a word."""
        if np.isnan(values[:, 0]).any():
            raise CacheError(
                f"{self.folder}: features of {self.images['image_id'].iat[i]} are gone; `heap cache verify --repair` "
                "names the shard and lets the next extract compute it again"
            )
        return values


def store_folder(folder: Path, fingerprint: str) -> Path:
    """Return the folder of the store with this fingerprint."""
    return folder / f"{fingerprint}.zarr"


def check_encoder(head: Path, description: dict[str, Any], reader: FeatureReader) -> None:
    """Refuse a head on features of another encoder than those it was trained on.

    Args:
        head: the file, for the message.
        description: of the head: encoder, weights, dim.
        reader: the features.

    Raises:
        TrainingError: names the first thing that differs.
    """
    known = reader.receipt.as_json()
    for key in ("encoder", "weights", "dim"):
        if description[key] != known[key]:
            raise TrainingError(
                f"{head}: was trained on features of another encoder ({key}: {description[key]}) than {reader.path} "
                f"holds ({known[key]})"
            )
