"""What is done with one photo in each task. Jobs travel to worker processes and open there what they read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from heap.bilateral import BilateralGrid, Parts
from heap.cache.maps import MapReader
from heap.cache.reader import FeatureReader
from heap.components import Mask
from heap.data.photos import read_photo
from heap.errors import DataError
from heap.evaluate import discovery, instances, retrieval, saliency, semantic
from heap.evaluate.saliency import FOREGROUND_ABOVE
from heap.evaluate.truth import Photo, class_labels, saliency_truth
from heap.group.smooth import smooth_all
from heap.segment import instances as segment
from heap.upsample import logits_of, nearest, soft_map

Floats = npt.NDArray[np.float32]
HEAP = "heap"


@dataclass(frozen=True)
class PatchMap:
    """A method's map of one photo: `(grid_h, grid_w)` probabilities, and what grid it is."""

    foreground: Floats
    patch_px: int
    input_hw: tuple[int, int]
    smoothed: bool = False

    def nearest(self, size: tuple[int, int]) -> Mask:
        """Return the mask of the photo resized to `size`, each pixel with its patch's value (TokenCut's upsampling)."""
        rows, columns = (
            np.arange(side) * seen // (side * self.patch_px) for side, seen in zip(size, self.input_hw, strict=True)
        )
        mask: Mask = (self.foreground > FOREGROUND_ABOVE)[rows[:, None], columns]
        return mask

    def pixels(self, size: tuple[int, int]) -> Floats:
        """Return the probability of each pixel of the photo resized to `size`."""
        return soft_map(logits_of(self.foreground), self.patch_px, self.input_hw, size)


class Maps:
    """Patch maps by image_id; opened where they are first read, so that only the receipt's path travels."""

    def __init__(self, receipt: Path) -> None:
        self.path = receipt

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    @cached_property
    def reader(self) -> MapReader:
        """The open maps."""
        return MapReader(self.path)

    @cached_property
    def rows(self) -> dict[str, int]:
        """Row of each photo that has a map."""
        return {str(image_id): row for row, image_id in enumerate(self.reader.images["image_id"])}

    def of(self, photo: Photo) -> PatchMap:
        """Return the map of a photo that has one.

        Raises:
            ValueError: it was made of a photo of another size.
        """
        row = self.rows[photo.image_id]
        columns = self.reader.images
        size = int(columns["height_px"].iat[row]), int(columns["width_px"].iat[row])
        if size != photo.size:
            raise ValueError(f"{self.path} is of a photo of {size} px, its manifest says {photo.size}; extract again")
        input_hw = int(columns["input_h_px"].iat[row]), int(columns["input_w_px"].iat[row])
        return PatchMap(self.reader.foreground(row), int(self.reader.receipt["patch_px"]), input_hw)


class Features:
    """Features by image_id, opened where they are first read."""

    def __init__(self, receipt: Path) -> None:
        self.path = receipt

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    @cached_property
    def reader(self) -> FeatureReader:
        """The open store."""
        return FeatureReader(self.path)

    @cached_property
    def rows(self) -> dict[str, int]:
        """Row of each photo that was encoded."""
        return {str(image_id): row for row, image_id in enumerate(self.reader.images["image_id"])}

    def of(self, photo: Photo) -> Floats:
        """Return the features of a photo, `(N, D)`.

        Raises:
            ValueError: there are none of it.
        """
        if photo.image_id not in self.rows:
            raise ValueError(f"has maps, but {self.path} has no features of it; they are of two extractions")
        return self.reader.features(self.rows[photo.image_id])


# What is added to a variant's name where every method's map is smoothed as HEAP's is.
SMOOTH = "+smooth"
# A method, and "" for its map as it is or `SMOOTH`.
Key = tuple[str, str]


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

    def of(self, photo: Photo) -> dict[Key, PatchMap]:
        """Return the maps of a photo; methods without one of it are left out."""
        found = {method: maps.of(photo) for method, maps in self.maps.items() if photo.image_id in maps.rows}
        every: dict[Key, PatchMap] = {(method, ""): one for method, one in found.items()}
        if self.smoothing and found:
            assert self.features is not None
            own = [one.foreground.ravel() for method, one in found.items() if method != HEAP]
            smoothed = iter(smooth_all(own, self.features.of(photo), self.smoothing))
            for method, one in found.items():
                values = one.foreground if method == HEAP else next(smoothed).reshape(one.foreground.shape)
                every[method, SMOOTH] = replace(one, foreground=values, smoothed=True)
        return every


class Job(ABC):
    """One photo's work for all methods, so that its truth and features are read once."""

    def __call__(self, photo: Photo) -> dict[Key, Any]:
        """Return by method what is kept of the photo; methods without a map of it are left out.

        Raises:
            DataError: the photo, its truth or its map is not what it should be; names the photo.
        """
        try:
            return self.work(photo)
        except ValueError as error:
            raise DataError(f"{photo.path}: {error}") from error

    @abstractmethod
    def work(self, photo: Photo) -> dict[Key, Any]:
        """Return by method what is kept of the photo."""


@dataclass(frozen=True)
class MapJob(Job):
    """A job over the maps of several methods."""

    methods: Methods

    def work(self, photo: Photo) -> dict[Key, Any]:
        """Return by method what is kept of the photo."""
        there = self.methods.of(photo)
        truth = self.truth(photo) if there else None
        return {key: self.score(one, photo, truth) for key, one in there.items()}

    def truth(self, photo: Photo) -> Any:
        """Return what all methods need of a photo."""
        return None

    @abstractmethod
    def score(self, patch_map: PatchMap, photo: Photo, truth: Any) -> Any:
        """Return what is kept of the photo for one method."""


@dataclass(frozen=True)
class SaliencyJob(MapJob):
    """Gives `saliency.Photo`.

    Attributes:
        reading: of the truth.
        refined: variants with the bilateral solver, and what each keeps of its output; none for no solver.
        tokencut: also TokenCut's own reading of the maps as they are.
        root: folder of the photos, which only the solver looks at.
    """

    reading: Literal["255", "nonzero"]
    refined: Mapping[str, Parts]
    tokencut: bool
    root: Path

    def truth(self, photo: Photo) -> Any:
        """Return the true foreground, and where the solver is asked its grid of the photo: one for all methods."""
        return *saliency_truth(photo, self.reading), self.grid(photo) if self.refined else None

    def score(self, patch_map: PatchMap, photo: Photo, truth: Any) -> saliency.Photo:
        """Return the figures of every variant."""
        foreground, levels, grid = truth
        soft = patch_map.pixels(photo.size)
        scores = saliency.score(soft, foreground)
        if grid is not None:
            scores |= saliency.score_refined(soft > FOREGROUND_ABOVE, foreground, grid, self.refined)
        if grid is not None and self.tokencut and not patch_map.smoothed:
            scores |= saliency.score_tokencut(patch_map.nearest(photo.size), foreground, grid)
        return saliency.Photo(scores, levels)

    def grid(self, photo: Photo) -> BilateralGrid:
        """Return the bilateral grid of a photo.

        Raises:
            PhotoError: it cannot be read.
            ValueError: it is no longer of the size that the manifest says.
        """
        pixels = read_photo(self.root / photo.path)
        if pixels.shape[:2] != photo.size:
            raise ValueError(f"the photo has {pixels.shape[:2]} px, its manifest says {photo.size}")
        return BilateralGrid.of(pixels)


@dataclass(frozen=True)
class DiscoveryJob(MapJob):
    """Gives `discovery.Judged`."""

    def score(self, patch_map: PatchMap, photo: Photo, truth: Any) -> discovery.Judged:
        """Return the box and whether it is correct."""
        assert photo.boxes is not None
        found = discovery.find(patch_map.foreground, patch_map.patch_px, patch_map.input_hw, photo.size)
        return discovery.judge(found.box, photo.boxes, found.fallback)


@dataclass(frozen=True)
class RetrievalJob(MapJob):
    """Gives `retrieval.Described`. Masks and labels are those of the encoder's input (512 x 512 in MaskContrast)."""

    features: Features
    classes: int

    def truth(self, photo: Photo) -> Any:
        """Return true labels, at the photo's size, and features."""
        return class_labels(photo), self.features.of(photo)

    def score(self, patch_map: PatchMap, photo: Photo, truth: Any) -> retrieval.Described:
        """Return histograms of the labels and the prototype."""
        labels, features = truth
        mask = patch_map.pixels(patch_map.input_hw) > FOREGROUND_ABOVE
        weights = retrieval.patch_weights(mask, patch_map.patch_px)
        return retrieval.describe(features, weights, mask, nearest(labels, patch_map.input_hw), self.classes)


@dataclass(frozen=True)
class Segmented:
    """A photo with the instances that HEAP found in it; None where the photo is not in the masks JSON."""

    photo: Photo
    annotations: list[dict[str, Any]] | None


@dataclass(frozen=True)
class InstancesJob:
    """Gives `instances.Matches` by method: HEAP's instances, and the connected parts of the other methods' maps.

    Attributes:
        methods: the other methods.
        threshold: foreground where a map is above it, as `segment` had it.
        min_area: least share of the photo, as `segment` had it.
    """

    methods: Methods
    threshold: float
    min_area: float

    def __call__(self, item: Segmented) -> dict[Key, instances.Matches]:
        """Match the photo's objects; methods that have nothing of it are left out.

        Raises:
            DataError: an instance or a map is not what it should be; names the photo.
        """
        photo = item.photo
        assert photo.boxes is not None
        crowd = [False] * len(photo.boxes) + [True] * len(photo.crowds)
        true = instances.Objects([*photo.boxes.tolist(), *photo.crowds.tolist()], crowd=crowd)
        try:
            found = {key: self.parts(one.pixels(photo.size)) for key, one in self.methods.of(photo).items()}
            if item.annotations is not None:
                # HEAP's are of its smoothed map, which is its only one.
                found |= {(HEAP, mark): item.annotations for mark in ("", SMOOTH)}
            return {key: instances.match(_objects(listed), true, "bbox") for key, listed in found.items()}
        except (KeyError, ValueError) as error:
            raise DataError(f"{photo.path}: {error}") from error

    def parts(self, soft: Floats) -> list[dict[str, Any]]:
        """Return the connected parts of a map `(H, W)` as annotations, each scored by its mean probability."""
        foreground = soft > self.threshold
        parts = segment.instances(foreground, np.zeros(soft.shape, dtype=np.int32), soft, self.min_area)
        return [segment.annotation(part, 0, 0) for part in parts]


def _objects(annotations: Sequence[dict[str, Any]]) -> instances.Objects:
    boxes = [(x, y, x + width, y + height) for x, y, width, height in (one["bbox"] for one in annotations)]
    return instances.Objects(boxes, scores=[float(one["score"]) for one in annotations])


@dataclass(frozen=True)
class SemanticJob:
    """Gives `semantic.Described`."""

    classes: int

    def __call__(self, item: Segmented) -> semantic.Described:
        """Return histograms of the labels by instance.

        Raises:
            DataError: an instance or a label is not what it should be; names the photo.
        """
        assert item.annotations is not None
        try:
            return semantic.describe(item.annotations, class_labels(item.photo), self.classes)
        except ValueError as error:
            raise DataError(f"{item.photo.path}: {error}") from error
