"""Predictions from files, read in the worker that scores them; errors name the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from heap.components import Mask
from heap.data.masks import read_class_mask
from heap.errors import DataError
from heap.evaluate import discovery, retrieval, semantic
from heap.evaluate.retrieval import Weighted
from heap.evaluate.saliency import FOREGROUND_ABOVE
from heap.evaluate.score.read import read_array, read_soft
from heap.evaluate.truth import Labels, Photo
from heap.grid import PatchGrid, Size


@contextmanager
def named(path: Path | None) -> Iterator[None]:
    """Give an error about the content of a file its name.

    Raises:
        DataError: in place of a ValueError.
    """
    try:
        yield
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


@dataclass(frozen=True)
class MapFile:
    """A soft map or a mask at the photo's size."""

    path: Path
    smoothed = False
    grid = None

    def pixels(self, size: Size | None) -> npt.NDArray[np.float32]:
        """Return the map, float32 from 0 to 1.

        Raises:
            DataError: unreadable, or of another size than `size`; None takes any.
        """
        with named(self.path):
            soft = read_soft(self.path)
            _fit(soft.shape, size)
        return soft

    def nearest(self, size: Size) -> Mask:
        """Return the mask."""
        mask: Mask = self.pixels(size) > FOREGROUND_ABOVE
        return mask

    def judged(self, photo: Photo) -> discovery.Judged:
        """Return the box around the largest part against the true boxes."""
        assert photo.boxes is not None
        soft = self.pixels(photo.size)
        return discovery.judge(discovery.box_of_mask(soft > FOREGROUND_ABOVE), photo.boxes)


@dataclass(frozen=True)
class Boxed:
    """One box; None where nothing was found."""

    box: tuple[float, float, float, float] | None

    def judged(self, photo: Photo) -> discovery.Judged:
        """Return the box against the true boxes."""
        assert photo.boxes is not None
        return discovery.judge(self.box, photo.boxes)


@dataclass(frozen=True)
class ClusterFile:
    """A map of clusters at the photo's size: 0 background, 1 to 254 clusters."""

    path: Path

    def described(self, labels: Labels, classes: int, photo: Photo) -> semantic.Described:
        """Return histograms of the labels by cluster."""
        with named(self.path):
            clusters = read_class_mask(self.path)
            _fit(clusters.shape, labels.shape)
            semantic.check_clusters(clusters)
        with named(photo.class_mask):
            return semantic.describe_map(clusters, labels, classes)


@dataclass(frozen=True)
class FeatureFiles:
    """Features by photo: a vector `(D,)` that is the mean over the mask already, or patches `(grid_h, grid_w, D)`.

    Attributes:
        files: `.npy`, by photo.
        patch_px: side of a patch; None finds it by the mask's size.
    """

    files: Mapping[str, Path]
    patch_px: int | None

    def weighted(self, photo: Photo, mask: Mask, grid: PatchGrid | None) -> Weighted:
        """Return features `(N, D)` of a photo and what each counts in the mean over a mask.

        Raises:
            DataError: the file is unreadable, or a grid that does not fit the mask.
        """
        path = self.files[photo.image_id]
        with named(path):
            values = read_array(path)
            if not np.issubdtype(values.dtype, np.floating) or not np.isfinite(values).all():
                raise ValueError(f"features of {values.dtype}, expected finite floats")
            if values.ndim == 1:  # averaged already; an empty mask still has none
                return values[None].astype(np.float32), np.array([[float(mask.any())]])
            if values.ndim != 3:
                raise ValueError(f"features of shape {values.shape}, expected (D,) or (grid_h, grid_w, D)")
            side = self.patch_px or _patch_of(values.shape[:2], mask.shape)
            weights = retrieval.patch_weights(mask, side)
            if weights.shape != values.shape[:2]:
                raise ValueError(
                    f"a grid of {values.shape[0]} x {values.shape[1]}, but a mask of {mask.shape[0]} x "
                    f"{mask.shape[1]} px has {weights.shape[0]} x {weights.shape[1]} patches of {side} px"
                )
            return values.reshape(-1, values.shape[2]).astype(np.float32), weights


def _fit(found: tuple[int, ...], expected: tuple[int, ...] | None) -> None:
    if expected is not None and found != expected:
        raise ValueError(
            f"{found[0]} x {found[1]} px (height x width), but the ground truth has {expected[0]} x {expected[1]}"
        )


def _patch_of(grid: tuple[int, ...], mask: tuple[int, ...]) -> int:
    sides = {mask[0] / grid[0], mask[1] / grid[1]}
    if len(sides) > 1 or not next(iter(sides)).is_integer():
        raise ValueError(
            f"a grid of {grid[0]} x {grid[1]} does not divide a mask of {mask[0]} x {mask[1]} px into square patches; "
            "say the patch's side (--patch)"
        )
    return int(next(iter(sides)))
