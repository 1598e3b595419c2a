"""Predictions from the cache: patch maps of several methods, features, and HEAP's own instances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from heap.cache.maps import MapReader
from heap.cache.reader import FeatureReader
from heap.components import Mask
from heap.evaluate import discovery, retrieval, semantic
from heap.evaluate.pairs import Key, Pair
from heap.evaluate.retrieval import Weighted
from heap.evaluate.saliency import FOREGROUND_ABOVE
from heap.evaluate.truth import Labels, Photo
from heap.grid import PatchGrid, Size
from heap.group.smooth import smooth_all
from heap.segment import instances as segment

Floats = npt.NDArray[np.float32]
HEAP = "heap"
# What is added to a variant's name where every method's map is smoothed as HEAP's is.
SMOOTH = "+smooth"


@dataclass(frozen=True)
class PatchMap:
    """A method's map of one photo: `(grid_h, grid_w)` probabilities, and what grid it is."""

    foreground: Floats
    grid: PatchGrid
    smoothed: bool = False

    def pixels(self, size: Size) -> Floats:
        """Return the probability of each pixel of the photo resized to `size`."""
        return self.grid.at(size).saliency(self.foreground)

    def nearest(self, size: Size) -> Mask:
        """Return the mask of the photo resized to `size`, each pixel with its patch's value (TokenCut's upsampling)."""
        seen, patch_px = self.grid.input_hw, self.grid.patch_px
        rows, columns = (np.arange(side) * of // (side * patch_px) for side, of in zip(size, seen, strict=True))
        mask: Mask = (self.foreground > FOREGROUND_ABOVE)[rows[:, None], columns]
        return mask

    def judged(self, photo: Photo) -> discovery.Judged:
        """Return the box of the largest part against the true boxes."""
        assert photo.boxes is not None
        found = discovery.find(self.foreground, self.grid)
        return discovery.judge(found.box, photo.boxes, found.fallback)


class _Opened:
    """Opened where it is first read, so that only the receipt's path travels to worker processes."""

    def __init__(self, receipt: Path) -> None:
        self.path = receipt

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    @cached_property
    def reader(self) -> Any:
        """What is open."""
        raise NotImplementedError

    @cached_property
    def rows(self) -> dict[str, int]:
        """Row of each photo that is there."""
        return {str(image_id): row for row, image_id in enumerate(self.reader.images["image_id"])}


class Maps(_Opened):
    """Patch maps of one method by image_id."""

    @cached_property
    def reader(self) -> MapReader:
        """The open maps."""
        return MapReader(self.path)

    def of(self, photo: Photo) -> PatchMap:
        """Return the map of a photo that has one.

        Raises:
            ValueError: it was made of a photo of another size.
        """
        row = self.rows[photo.image_id]
        grid = self.reader.grid(row)
        if grid.photo_hw != photo.size:
            raise ValueError(
                f"{self.path} is of a photo of {grid.photo_hw} px, its manifest says {photo.size}; extract again"
            )
        return PatchMap(self.reader.foreground(row), grid)


class Features(_Opened):
    """Features by image_id."""

    @cached_property
    def reader(self) -> FeatureReader:
        """The open store."""
        return FeatureReader(self.path)

    def of(self, photo: Photo) -> Floats:
        """Return the features of a photo, `(N, D)`.

        Raises:
            ValueError: there are none of it.
        """
        if photo.image_id not in self.rows:
            raise ValueError(f"has maps, but {self.path} has no features of it; they are of two extractions")
        return self.reader.features(self.rows[photo.image_id])

    def weighted(self, photo: Photo, mask: Mask, grid: PatchGrid | None) -> Weighted:
        """Return features `(N, D)` of a photo and what each counts in the mean over a mask."""
        assert grid is not None
        return self.of(photo), retrieval.patch_weights(mask, grid.patch_px)


@dataclass(frozen=True)
class Methods:
    """The maps of several methods, each as it is and, so that like is compared with like, smoothed as HEAP's is.

    HEAP's map is smoothed by `group` already and stands under both keys. The others are smoothed here and not in a
    store of their own: how alike a photo's patches are, which takes longest, then serves all methods at once.

    Attributes:
        maps: by method.
        features: of the same photos, for smoothing.
        smoothing: its width; 0 leaves the maps as they are.
    """

    maps: Mapping[str, Maps]
    features: Features | None = None
    smoothing: float = 0.0

    @property
    def keys(self) -> list[Key]:
        """What `of` gives, in the order of a table."""
        return [(method, mark) for mark in ("", SMOOTH)[: 1 + bool(self.smoothing)] for method in self.maps]

    def of(self, pair: Pair) -> dict[Key, Any]:
        """Return the maps of a photo; methods without one of it are left out."""
        photo = pair.photo
        found = {method: maps.of(photo) for method, maps in self.maps.items() if photo.image_id in maps.rows}
        every: dict[Key, Any] = {(method, ""): one for method, one in found.items()}
        if self.smoothing and found:
            assert self.features is not None
            own = [one.foreground.ravel() for method, one in found.items() if method != HEAP]
            smoothed = iter(smooth_all(own, self.features.of(photo), self.smoothing))
            for method, one in found.items():
                values = one.foreground if method == HEAP else next(smoothed).reshape(one.foreground.shape)
                every[method, SMOOTH] = replace(one, foreground=values, smoothed=True)
        return every

    def why_missing(self, key: Key, photo: Photo) -> str:
        """Say why a photo has no map."""
        listed = self.maps[key[0]].reader.receipt.skipped
        return next((item.reason for item in listed if item.image_id == photo.image_id), "has no map")


@dataclass(frozen=True)
class Parts:
    """Objects of several methods: HEAP's instances, which the pairs hold, and the connected parts of the others' maps.

    Attributes:
        methods: the maps.
        threshold: foreground where a map is above it, as `segment` had it.
        min_area: least share of the photo, as `segment` had it.
    """

    methods: Methods
    threshold: float
    min_area: float

    @property
    def keys(self) -> list[Key]:
        """What `of` gives, in the order of a table."""
        return self.methods.keys

    def of(self, pair: Pair) -> dict[Key, Any]:
        """Return annotations with scores."""
        others = Methods(
            {method: maps for method, maps in self.methods.maps.items() if method != HEAP},
            self.methods.features, self.methods.smoothing,
        )  # fmt: skip
        assert pair.photo.size is not None
        found = {key: self.parts(one.pixels(pair.photo.size)) for key, one in others.of(pair).items()}
        own = {} if pair.given is None else {key: pair.given for key in self.keys if key[0] == HEAP}
        return {**found, **own}

    def parts(self, soft: Floats) -> list[dict[str, Any]]:
        """Return the connected parts of a map `(H, W)` as annotations, each scored by its mean probability."""
        foreground = soft > self.threshold
        parts = segment.instances(foreground, np.zeros(soft.shape, dtype=np.int32), soft, self.min_area)
        return [segment.annotation(part, 0, 0) for part in parts]

    def why_missing(self, key: Key, photo: Photo) -> str:
        """Say why a photo has no objects."""
        return "not in the masks JSON" if key[0] == HEAP else self.methods.why_missing(key, photo)


@dataclass(frozen=True)
class Clustered:
    """HEAP's instances of one photo, each of one cluster."""

    annotations: list[dict[str, Any]]

    def described(self, labels: Labels, classes: int, photo: Photo) -> semantic.Described:
        """Return histograms of the labels by instance."""
        return semantic.describe(self.annotations, labels, classes)
