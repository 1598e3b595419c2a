"""Methods that need no head, as patch maps beside HEAP's: what any figure must be read against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from heap.cache.maps import write_maps
from heap.cache.reader import FeatureReader
from heap.errors import SettingsError
from heap.head.priors import attention_above_mean
from heap.settings import read_frozen

Floats = npt.NDArray[np.float32]
# Side of the centred box as a share of the photo's: it then covers a quarter of the photo.
_BOX_SIDE = 0.5


def everything(reader: FeatureReader, i: int) -> Floats:
    """Every patch is foreground."""
    return np.ones(reader.patches(i), np.float32)


def centred_box(reader: FeatureReader, i: int) -> Floats:
    """A box in the middle, half as high and half as wide as the photo."""
    row = reader.images.iloc[i]
    grid_h, grid_w = int(row["grid_h"]), int(row["grid_w"])

    def inside(n: int) -> npt.NDArray[np.bool_]:
        return np.abs((np.arange(n) + 0.5) / n - 0.5) <= _BOX_SIDE / 2

    return (inside(grid_h)[:, None] & inside(grid_w)[None]).astype(np.float32).ravel()


def attention(reader: FeatureReader, i: int) -> Floats:
    """Patches attended to more than the photo's mean."""
    return attention_above_mean(reader.attention(i))


METHODS: dict[str, Callable[[FeatureReader, int], Floats]] = {
    "everything": everything,
    "centred_box": centred_box,
    "attention": attention,
}


def baseline(frozen: Path, method: str, features: Path, out_maps: Path) -> None:
    """Write the patch maps of a method over a store.

    Raises:
        SettingsError: no such method.
    """
    read_frozen(frozen, "maps")
    if method not in METHODS:
        raise SettingsError(f"method {method!r}: unknown (there are: heap, {', '.join(METHODS)})")
    reader = FeatureReader(features)
    write_maps(out_maps, reader, method, ((METHODS[method](reader, i), None) for i in range(len(reader))), {})
