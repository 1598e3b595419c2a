"""Photos of the page: which are shown, and the pictures of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from heap import paths
from heap.cache.maps import MapReader
from heap.cluster import table as cluster_table
from heap.cluster.collection import Maps
from heap.cluster.table import Clusters
from heap.data import manifest as manifest_table
from heap.data.manifest import Manifest
from heap.data.masks import read_mask
from heap.data.photos import read_photo
from heap.errors import DataError
from heap.evaluate import discovery
from heap.evaluate.levels import Reading
from heap.evaluate.truth import Photo, photos_of, saliency_truth
from heap.grid import PatchGrid
from heap.report import pictures
from heap.segment.instances import UNCLUSTERED, clusters_of_patches
from heap.segment.masks_json import annotations_of, read_masks
from heap.segment.names import mask_path

T = TypeVar("T")
EPS = 1e-7  # FOUND's, as in the tables


class PatchMaps(Maps, Protocol):
    """What the page reads of HEAP's patch maps (`heap.cache.maps.MapReader`)."""

    def foreground(self, i: int) -> npt.NDArray[np.float32]:
        """Return the probability of being foreground `(grid_h, grid_w)` of photo `i`."""


@dataclass(frozen=True)
class Found:
    """All that is known of one dataset, or of the photos of one `heap predict`.

    Attributes:
        manifest: its photos and truth.
        maps: HEAP's patch maps.
        open_maps: opens them again, for processes that read them for themselves.
        clusters: its regions.
        masks: folder of its masks.
        coco: content of its COCO JSON.
        reading: how the benchmark reads its binary masks; None (no benchmark measures them) takes every pixel above 0
            of a mask that has none of 255.
    """

    manifest: Manifest
    maps: PatchMaps
    open_maps: Callable[[], PatchMaps]
    clusters: Clusters
    masks: Path
    coco: dict[str, Any]
    reading: Reading | None = None

    @property
    def name(self) -> str:
        """The dataset's name."""
        return str(self.manifest.info["dataset"])

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row of each photo in the maps."""
        return {str(image_id): row for row, image_id in enumerate(self.maps.images["image_id"])}

    @cached_property
    def regions_of(self) -> dict[str, pd.DataFrame]:
        """Regions of each photo."""
        return {str(image_id): part for image_id, part in self.clusters.table.groupby("image_id", sort=False)}

    @cached_property
    def boxes_of(self) -> dict[str, list[list[int]]]:
        """Boxes (x1, y1, x2, y2) of the instances of each photo."""
        found: dict[str, list[list[int]]] = {}
        for image_id, listed in annotations_of(self.coco).items():
            corners = (one["bbox"] for one in listed)
            found[image_id] = [[x, y, x + width, y + height] for x, y, width, height in corners]
        return found

    @cached_property
    def objects_of(self) -> dict[str, list[tuple[dict[str, Any], int]]]:
        """Objects of each photo: mask as COCO RLE, and cluster."""
        names = {image["id"]: str(image["heap_id"]) for image in self.coco["images"]}
        unclustered = max(one["id"] for one in self.coco["categories"])
        found: dict[str, list[tuple[dict[str, Any], int]]] = {}
        for one in self.coco["annotations"]:
            category = int(one["category_id"])
            cluster = UNCLUSTERED if category == unclustered else category - 1
            found.setdefault(names[one["image_id"]], []).append((one["segmentation"], cluster))
        return found

    def cluster_of_token(self, image_id: str) -> dict[int, int]:
        """Return the cluster of each listed region of a photo."""
        regions = self.regions_of.get(image_id)
        if regions is None:
            return {}
        return {int(t): int(c) for t, c in zip(regions["token"], regions["cluster"], strict=True)}

    def photos(self, splits: Sequence[str | None]) -> list[Photo]:
        """Return the photos of some splits (all where None is among them) that have maps, in the manifest's order."""
        table = self.manifest.table
        chosen = table if None in splits or not splits else table[table["split"].isin([s for s in splits if s])]
        return [photo for photo in photos_of(chosen, self.manifest.root) if photo.image_id in self.row_of]

    def place(self, image_id: str) -> tuple[int, PatchGrid]:
        """Return a photo's row in the maps, and where its patches lie."""
        row = self.row_of[image_id]
        return row, self.maps.grid(row)

    def mask(self, image_id: str) -> npt.NDArray[np.bool_]:
        """Return the mask that `segment` wrote, `(H, W)`.

        Raises:
            DataError: it is missing or damaged.
        """
        path = mask_path(self.masks, image_id)
        try:
            return read_mask(path) > 0
        except DataError as error:
            raise DataError(f"{error}; run segment again") from error

    def truth(self, photo: Photo) -> npt.NDArray[np.bool_]:
        """Return the true foreground of a photo, `(H, W)`, as the benchmark reads it.

        Raises:
            DataError: there is none, or it is unreadable or of another size than the photo.
        """
        mask, levels = saliency_truth(photo, self.reading or "255")
        if self.reading is None and 0 < levels.highest < 255:
            mask, _ = saliency_truth(photo, "nonzero")
        return mask


def gather(
    manifests: Sequence[Path], maps: Sequence[Path], clusters: Sequence[Path], masks: Sequence[Path]
) -> list[Found]:
    """Return the datasets, in the order of the manifests, each with its files.

    Raises:
        DataError: a dataset has no maps, clusters or masks among the files, or two of a kind.
    """
    listed = _by_dataset(((p, manifest_table.read(p)) for p in manifests), lambda value: value.info["dataset"])
    readers = [(path, MapReader(path)) for path in maps]
    of_maps = _by_dataset(
        ((path, (reader, partial(MapReader, path))) for path, reader in readers if reader.receipt.method == "heap"),
        lambda value: value[0].receipt.dataset,
    )
    of_clusters = _by_dataset(((p, cluster_table.read(p)) for p in clusters), lambda value: value.info["dataset"])
    of_masks = _by_dataset(
        ((p, (paths.folder_of(p), read_masks(p))) for p in masks), lambda value: value[1]["info"]["dataset"]
    )
    found = []
    for name, manifest in listed.items():
        kinds: dict[str, Mapping[str, object]] = {
            "HEAP maps": of_maps,
            "table of clusters": of_clusters,
            "masks": of_masks,
        }
        for kind, there in kinds.items():
            if name not in there:
                raise DataError(f"no {kind} of dataset {name} among the files given")
        found.append(Found(manifest, *of_maps[name], of_clusters[name], *of_masks[name]))
    return found


def _by_dataset(values: Iterable[tuple[Path, T]], dataset: Callable[[T], Any]) -> dict[str, T]:
    found: dict[str, T] = {}
    for path, value in values:
        name = str(dataset(value))
        if name in found:
            raise DataError(f"{path}: a second file of dataset {name}")
        found[name] = value
    return found


@dataclass(frozen=True)
class Scored:
    """A photo chosen for the page.

    Attributes:
        photo: which.
        iou: against its truth; None where there is none.
        group: `best`, `median` or `worst`; `sample` where there is no truth.
    """

    photo: Photo
    iou: float | None
    group: str


def has_pixels(photo: Photo) -> bool:
    """Say whether the truth of a photo is a mask."""
    return photo.mask is not None or photo.class_mask is not None


def score(found: Found, photos: Sequence[Photo]) -> tuple[str, dict[str, float]]:
    """Return what the photos of a dataset are ranked by, and the IoU of each that has such a truth.

    Masks where every photo has one (`mask`); else boxes, the best IoU of the box that discovery scores with any true
    box (`box`); else masks of those that have one. Nothing is ranked by both, the figures do not compare.
    """
    with_mask = [photo for photo in photos if has_pixels(photo)]
    with_box = [photo for photo in photos if photo.boxes is not None and len(photo.boxes)]
    if with_mask and (len(with_mask) == len(photos) or not with_box):
        return "mask", {photo.image_id: _mask_iou(found, photo) for photo in with_mask}
    return "box", {photo.image_id: _box_iou(found, photo) for photo in with_box}


def _mask_iou(found: Found, photo: Photo) -> float:
    mask, truth = found.mask(photo.image_id), found.truth(photo)
    if mask.shape != truth.shape:
        raise DataError(f"{photo.image_id}: mask of {mask.shape}, truth of {truth.shape}; run segment again")
    return float((mask & truth).sum() / ((mask | truth).sum() + EPS))


def _box_iou(found: Found, photo: Photo) -> float:
    row, grid = found.place(photo.image_id)
    box = discovery.find(found.maps.foreground(row), grid).box
    assert photo.boxes is not None
    shared, union = discovery.overlaps(box, photo.boxes)
    return float((shared / union).max())


def choose(photos: Sequence[Photo], ious: dict[str, float], count: int) -> list[Scored]:
    """Return the photos to show: a third each of the best, the median and the worst; evenly spaced ones without truth.

    Args:
        photos: of the dataset, in its order.
        ious: of those that can be ranked.
        count: how many to show.
    """
    ranked = sorted(
        (photo for photo in photos if photo.image_id in ious), key=lambda p: (-ious[p.image_id], p.image_id)
    )
    if not ranked:
        every = np.unique(np.linspace(0, len(photos) - 1, min(count, len(photos))).round().astype(int))
        return [Scored(photos[i], None, "sample") for i in every]
    count = min(count, len(ranked))
    best = -(-count // 3)
    worst = (count - best + 1) // 2
    median = count - best - worst
    # Around the middle of the ranking, but not reaching into the other two groups.
    first = max(best, min(len(ranked) // 2 - median // 2, len(ranked) - worst - median))
    parts = {
        "best": ranked[:best],
        "median": ranked[first : first + median],
        "worst": ranked[len(ranked) - worst :],
    }
    return [Scored(photo, ious[photo.image_id], group) for group, part in parts.items() for photo in part]


@dataclass(frozen=True)
class Picture:
    """One picture of the page."""

    caption: str
    alt: str
    uri: str
    height_px: int
    width_px: int


@dataclass(frozen=True)
class Card:
    """One photo of the page."""

    image_id: str
    group: str
    iou: float | None
    clusters: list[int]
    objects: int
    pictures: list[Picture]


def picture(caption: str, alt: str, pixels: npt.NDArray[np.uint8]) -> Picture:
    """Return a picture ready for the page."""
    return Picture(caption, alt, pictures.data_uri(pixels), *pixels.shape[:2])


def card(found: Found, scored: Scored, longest_px: int, colours: npt.NDArray[np.uint8]) -> Card:
    """Return the pictures of one photo.

    Args:
        found: its dataset.
        scored: the photo.
        longest_px: longest side of each picture.
        colours: `(kf + kb, 3)`, of each cluster.
    """
    image_id = scored.photo.image_id
    row, grid = found.place(image_id)
    height, width = grid.photo_hw
    photo = read_photo(found.manifest.root / scored.photo.path, max_px=longest_px)
    small = (photo.shape[0], photo.shape[1])
    scale = (small[1] / width, small[0] / height, small[1] / width, small[0] / height)

    def scaled(boxes: Sequence[Sequence[float]]) -> list[list[float]]:
        return [[side * factor for side, factor in zip(box, scale, strict=True)] for box in boxes]

    boxes = found.boxes_of.get(image_id, [])
    truth = scored.photo.boxes
    mask = pictures.resized(found.mask(image_id), small)
    overlay = pictures.draw_boxes(pictures.overlay(photo, mask), scaled(boxes), pictures.FOUND)
    if truth is not None and len(truth):
        overlay = pictures.draw_boxes(overlay, scaled(truth.tolist()), pictures.TRUE, dashed=True)
    soft = grid.at(small).saliency(found.maps.foreground(row))
    of_token = found.cluster_of_token(image_id)
    labels = grid.at(small).enlarge(clusters_of_patches(found.maps.region(row), of_token))
    clusters = sorted({cluster for cluster in of_token.values() if cluster < found.clusters.foreground_clusters})
    share = f"{mask.mean():.0%} of the photo"
    shown = [
        picture("photo", f"Photo {image_id}", photo),
        picture("found", f"Mask found in {image_id}: {share}, {len(boxes)} objects", overlay),
        picture("saliency", f"Soft saliency map of {image_id}, brighter is more foreground", pictures.heat(soft)),
        picture("regions", f"Regions of {image_id} coloured by cluster", pictures.regions_over(photo, labels, colours)),
    ]
    if has_pixels(scored.photo):
        true = pictures.resized(found.truth(scored.photo), small)
        grey_mask = np.repeat((true * np.uint8(255))[..., None], 3, axis=-1)
        shown.append(picture("truth", f"True mask of {image_id}: {true.mean():.0%} of the photo", grey_mask))
    return Card(image_id, scored.group, scored.iou, clusters, len(boxes), shown)
