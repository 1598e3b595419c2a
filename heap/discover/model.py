"""A model in memory: `heap.load(...)`, then `model.discover(image)`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from heap.cluster.clustering import foreground_clusters
from heap.cluster.kmeans import assign
from heap.cluster.objects import objects_of, pooled
from heap.cluster.table import BACKGROUND, FOREGROUND, FOREGROUND_ABOVE
from heap.discover import folder
from heap.discover.encoder import as_stored, encoder_settings, open_for
from heap.discover.find import find
from heap.discover.folder import Centroids, Parts
from heap.discover.images import ImageLike, Limits, Opened, is_one, open_photo
from heap.discover.result import Discovery, Region
from heap.encoders.open import choose_device
from heap.errors import ModelError, TrainingError
from heap.grid import NO_EXTENT, PatchGrid
from heap.group.apply import Grouped, group_photos
from heap.head.batches import make_sample
from heap.head.folder import load as load_head
from heap.segment.instances import UNCLUSTERED, segment_map

log = logging.getLogger("heap")

# Longest side at which photos are encoded where the training photos had no limit of their own: what the configuration
# sets for people's own photos. ViT-S/8 then has about 2700 patches a photo.
DEFAULT_MAX_PX = 480


class Model:
    """A trained head with its encoder and clusters. Made by `heap.load`.

    Attributes:
        parts: what it was made of.
        device: torch device it runs on.
        encoder: the frozen encoder.
        batch_size: photos encoded at once.
    """

    def __init__(
        self, parts: Parts, device: str | None = None, weights: str | Path | None = None, encoder: str | None = None
    ) -> None:
        self.parts = parts
        self.device = choose_device(device)
        # The head first: where it contradicts the description, no encoder is built.
        try:
            self._head, _ = load_head(parts.head_file, self.device)
        except TrainingError as error:
            raise ModelError(f"{parts.source}: {error}") from error
        if self._head.dim != parts.description["dim"]:
            raise ModelError(
                f"{parts.source}: its head takes {self._head.dim} values a patch, "
                f"its description says {parts.description['dim']}"
            )
        self.encoder, self.batch_size = open_for(parts, self.device, weights, encoder)
        self._storage = encoder_settings(parts).storage

    def __repr__(self) -> str:
        return f"<heap.Model {self.name}: {self.encoder_label}, {self.clusters} clusters, on {self.device}>"

    @property
    def name(self) -> str:
        """Key of `models` in the configuration that it was trained by."""
        return str(self.parts.description["model"])

    @property
    def encoder_label(self) -> str:
        """Its encoder as the tables name it; hand-made and untrained ones are named so."""
        return str(self.parts.description["encoder"])

    @property
    def identity(self) -> str:
        """Digest of all that decides what a photo gives."""
        return self.parts.identity

    @property
    def clusters(self) -> int:
        """Number of foreground clusters; 0 where nothing was clustered."""
        return 0 if self.parts.clusters is None else self.parts.clusters.foreground

    @property
    def warnings(self) -> list[str]:
        """What the training had to warn of, in words; empty for a head that shows no sign of failure."""
        return list(self.parts.description["warnings"])

    @property
    def max_px(self) -> int:
        """Longest side of a photo that is encoded, unless a call says another: the training photos' own limit."""
        return self.parts.reading.max_px or DEFAULT_MAX_PX

    def save(self, path: str | Path) -> Path:
        """Write the model as a folder that can be moved to another machine, see `heap.discover.folder`."""
        folder.save(Path(path), self.parts)
        return Path(path)

    @overload
    def discover(  # type: ignore[overload-overlap]  # a str is one photo, and to the type checker also several
        self, images: ImageLike, *, max_px: int | None = None, resize_px: tuple[int, int] | None = None
    ) -> Discovery: ...

    @overload
    def discover(
        self, images: Iterable[ImageLike], *, max_px: int | None = None, resize_px: tuple[int, int] | None = None
    ) -> list[Discovery]: ...

    def discover(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        max_px: int | None = None,
        resize_px: tuple[int, int] | None = None,
    ) -> Discovery | list[Discovery]:
        """Find the objects of a photo, or of several.

        Args:
            images: a path, a PIL image, an array (uint8 `(H, W, 3)`, `(H, W)` grey, `(H, W, 4)` RGBA; uint16 `(H, W)`),
                or several of them: a list, or an array `(B, H, W, C)`. EXIF orientation is applied.
            max_px: longest side that is encoded; larger photos are scaled down, results keep the photo's own size.
                None takes the model's (`model.max_px`); a number above a photo's sides scales nothing.
            resize_px: encode every photo at this (height, width), as datasets with `resize_px` are.

        Returns:
            A `Discovery`; a list of them, in order, for several photos.

        Raises:
            PhotoError: a photo cannot be read, or has too many patches; names it.
        """
        if is_one(images):
            return next(self._discover_all([images], max_px, resize_px))  # type: ignore[list-item]
        several = list(images)  # type: ignore[arg-type]
        return list(self._discover_all(several, max_px, resize_px))

    def limits(self, max_px: int | None = None, resize_px: tuple[int, int] | None = None) -> Limits:
        """Return the size that photos are read at for the encoder."""
        limit = None if resize_px is not None else max_px or self.max_px
        return Limits(limit, resize_px, self.parts.reading.max_patches, self.encoder.patch_px)

    def _discover_all(
        self, images: list[ImageLike], max_px: int | None, resize_px: tuple[int, int] | None
    ) -> Iterator[Discovery]:
        limits = self.limits(max_px, resize_px)
        names = [None if isinstance(image, str | Path) else f"image {n}" for n, image in enumerate(images)]
        if len(images) == 1 and names[0] is not None:
            names = ["image"]
        opened = (open_photo(image, name, limits) for image, name in zip(images, names, strict=True))
        while batch := list(islice(opened, self.batch_size)):
            yield from self.discover_opened(batch)

    def discover_opened(self, photos: list[Opened]) -> list[Discovery]:
        """Find the objects of photos that were read already; those of one grid are encoded together."""
        grids = [PatchGrid(photo.photo_hw, photo.input_hw, self.encoder.patch_px) for photo in photos]

        def shape(number: int) -> tuple[int, int]:
            return grids[number].shape

        found: dict[int, Discovery] = {}
        for grid_hw, group in groupby(sorted(range(len(photos)), key=shape), key=shape):
            numbers = list(group)
            encoded = self.encoder.encode([photos[number].pixels for number in numbers])
            inputs = [
                make_sample(as_stored(features, self._storage, photos[number].name), attention, grid_hw, "no_seed", 0)
                for number, features, attention in zip(numbers, encoded.features, encoded.attention, strict=True)
            ]
            grouped = group_photos(self._head, inputs, self.parts.group, self.device)
            for number, one in zip(numbers, grouped, strict=True):
                found[number] = self._describe(photos[number], one, grids[number])
        return [found[number] for number in range(len(photos))]

    def _describe(self, photo: Opened, grouped: Grouped, grid: PatchGrid) -> Discovery:
        """Assign the regions to clusters and bring everything to the photo's own pixels."""
        tokens = grouped.region.reshape(grid.shape)
        is_foreground = grouped.score > FOREGROUND_ABOVE
        cluster, distance = assign_clusters(
            grouped.embeddings, is_foreground, self.parts.clusters, tokens, grouped.tokens,
            grouped.area_share * grouped.score,
        )  # fmt: skip
        inside = foreground_clusters(grouped.embeddings, np.zeros(len(cluster), np.int64), is_foreground, cluster)
        saliency, mask, objects = segment_map(
            self.parts.segment, grouped.foreground.reshape(grid.shape), tokens,
            dict(zip(grouped.tokens.tolist(), inside.tolist(), strict=True)), grid,
        )  # fmt: skip
        extent = grid.extents(tokens)
        regions = []
        for row, token in enumerate(grouped.tokens.tolist()):
            covers = extent.get(token, NO_EXTENT)
            regions.append(
                Region(
                    token=token,
                    area_px=covers.area_px,
                    area_share=float(grouped.area_share[row]),
                    box=covers.box,
                    foreground=float(grouped.score[row]),
                    cluster=int(cluster[row]),
                    distance=float(distance[row]),
                    embedding=grouped.embeddings[row],
                )
            )
        soft = grouped.foreground.reshape(grid.shape)
        return Discovery(photo.name, regions, objects, saliency, mask, tokens, soft, grid, photo)


def assign_clusters(
    embeddings: npt.NDArray[np.float32],
    is_foreground: npt.NDArray[np.bool_],
    clusters: Centroids | None,
    tokens: npt.NDArray[np.int16],
    listed: npt.NDArray[np.int16],
    weight: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return the cluster of each region of a photo and its distance, by the rule that clustered the training regions.

    Args:
        embeddings: `(K, D)` of length 1.
        is_foreground: `(K,)`; foreground regions are compared with foreground centroids only, the others likewise.
        clusters: None gives -1 and NaN.
        tokens: `(grid_h, grid_w)`, the token of each patch.
        listed: `(K,)`, the token of each region.
        weight: `(K,)`, what each region counts in its object.

    Returns:
        `(K,)` int32 and `(K,)` float32 (1 - cosine).
    """
    number = np.full(len(embeddings), UNCLUSTERED, np.int32)
    distance = np.full(len(embeddings), np.nan, np.float32)
    if clusters is None:
        return number, distance
    owner = objects_of(clusters.views[FOREGROUND], tokens, listed, embeddings, weight, is_foreground)
    kf = clusters.foreground
    for kind, rows, centroids, before in (
        (FOREGROUND, np.flatnonzero(is_foreground), clusters.values[:kf], 0),
        (BACKGROUND, np.flatnonzero(~is_foreground), clusters.values[kf:], kf),
    ):
        if len(rows) and len(centroids):
            things, vectors = pooled(clusters.views[kind], embeddings, weight, owner, rows)
            nearest, cosine = assign(vectors, centroids)
            of_thing = np.searchsorted(things, owner[rows])
            number[rows], distance[rows] = nearest[of_thing] + before, np.clip(1 - cosine, 0, 2)[of_thing]
    return number, distance


def load(
    path: str | Path = "results/head",
    *,
    weights: str | Path | None = None,
    encoder: str | None = None,
    device: str | None = None,
) -> Model:
    """Load a trained model.

    Args:
        path: a folder made by `heap export` or the workflow (`results/models/demo`); a training (`results/head/demo`,
            `results/head/demo.json`); or `results/head`, of which the model trained last is taken (the log says which).
        weights: file of the encoder's weights. None looks in `resources/weights` of the working folder and in
            torch.hub's folder ($TORCH_HOME, or ~/.cache/torch), and downloads published ones there that are missing.
        encoder: architecture that you expect (`dino_vits8`, `descriptors`); a model made with another is refused.
        device: `auto`, `cuda`, `mps` or `cpu`; None takes $HEAP_DEVICE, else `auto`. One that is not there is an error.

    Raises:
        ModelError: no model there, an incomplete or changed one, or another encoder than the one it was made with.
        EncoderError: the device is not there.
    """
    model = Model(find(path), device, weights, encoder)
    for word in model.warnings:
        log.warning("%s: %s", model.name, word)
    return model
