"""Stage `segment`: a mask and the instances of each photo, at its own resolution."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from heap import __version__
from heap.cache.maps import MapReader
from heap.cluster import table as cluster_table
from heap.cluster.table import BACKGROUND, FOREGROUND, Clusters
from heap.data import manifest as manifests
from heap.errors import DataError
from heap.files import atomic_path, write_json
from heap.locks import alone
from heap.progress import track
from heap.segment.instances import UNCLUSTERED, Mask, annotation, segment_map
from heap.segment.names import folder_of, mask_path
from heap.segment.table import MOST_VALUES, indexed, write_indexed, write_table
from heap.settings.freeze import read_frozen, section
from heap.settings.stages import SegmentSettings
from heap.workers import Reading, spread


@alone("out_json")
def segment(
    frozen: Path,
    maps: Path,
    clusters: Path,
    manifest: Path,
    out_json: Path,
    out_table: Path,
    workers: int | None = None,
) -> None:
    """Write one PNG mask a photo, one indexed PNG of its clusters, and the instances of a dataset.

    Args:
        frozen: frozen settings of the stage.
        maps: receipt of HEAP's patch maps.
        clusters: table of clusters of the same dataset.
        manifest: of the same dataset.
        out_json: COCO JSON to write; the masks go to the folder of its name, one 8-bit PNG (0 or 255) a photo.
        out_table: table of instances to write, see `heap.segment.table`; the indexed PNGs go to the folder of its name.
        workers: processes; None chooses by cores and photos.

    Raises:
        DataError: the inputs are of different datasets, an image id cannot name a file inside the folder, or there are
            more clusters than an indexed PNG has values.
    """
    settings: SegmentSettings = section(read_frozen(frozen, "segment"), "segment", SegmentSettings)
    reader, found, listed = MapReader(maps), cluster_table.read(clusters), manifests.read(manifest)
    dataset = reader.receipt.dataset
    for path, other in ((clusters, found.info["dataset"]), (manifest, listed.info["dataset"])):
        if other != dataset:
            raise DataError(f"{path}: is of {other}, but {maps} is of {dataset}")
    image_ids = [str(image_id) for image_id in reader.images["image_id"]]
    files = _files(listed, reader, str(manifest))
    categories = Categories.of(found, clusters)
    tokens = _tokens(found)
    photos = [
        (i, image_id, int(file["id"]), tokens.get(image_id, {}))
        for i, (image_id, file) in enumerate(zip(image_ids, files, strict=True))
    ]
    with folder_of(out_json, image_ids) as folder, folder_of(out_table, image_ids) as indexed_folder:
        work = partial(_segment_photo, settings, categories, folder, indexed_folder)
        done = spread(Reading(partial(MapReader, maps), work), photos, workers)
        progress = out_json.with_name(f"progress.{dataset}.json")
        objects = chain.from_iterable(track(done, len(photos), "photos", f"segmenting {dataset}", progress))
        annotations = [{"id": number, **one} for number, one in enumerate(objects, start=1)]
    # The JSON last: once it is there, every mask is.
    info = {
        "description": f"Objects found by HEAP in {dataset}, without labels; categories are cluster numbers",
        "version": __version__,
        "dataset": dataset,
        "encoder": reader.receipt.encoder,
        "model": found.info.get("model"),
        "threshold": settings.threshold,
        "min_area": settings.min_area,
    }
    name_of = {file["id"]: image_id for file, image_id in zip(files, image_ids, strict=True)}
    write_table(out_table, annotations, name_of, categories.number(UNCLUSTERED), info)
    write_json(out_json, {"info": info, "images": files, "annotations": annotations, "categories": categories.listed()})


@dataclass(frozen=True)
class Categories:
    """COCO categories: cluster + 1, because COCO's 0 is the background; what has no cluster comes after all others.

    Attributes:
        foreground: kf, foreground clusters.
        background: kb, background clusters; they have no category, but their numbers are not given to anything else.
    """

    foreground: int
    background: int

    @classmethod
    def of(cls, clusters: Clusters, path: Path) -> Categories:
        """Return the categories of a table of clusters.

        Raises:
            DataError: there are more clusters than an indexed PNG has values; names `path`.
        """
        made = cls(int(clusters.info["k"][FOREGROUND]), int(clusters.info["k"][BACKGROUND]))
        if made.number(UNCLUSTERED) > MOST_VALUES:
            raise DataError(
                f"{path}: has {made.foreground} foreground and {made.background} background clusters, expected at most "
                f"{MOST_VALUES - 1} together: an indexed PNG holds no more"
            )
        return made

    def number(self, cluster: int) -> int:
        """Return the category of a cluster."""
        return self.foreground + self.background + 1 if cluster == UNCLUSTERED else cluster + 1

    def listed(self) -> list[dict[str, Any]]:
        """Return COCO's `categories`."""
        named = [(cluster, f"cluster {cluster}") for cluster in range(self.foreground)] + [(UNCLUSTERED, "unclustered")]
        return [{"id": self.number(c), "name": name, "supercategory": "foreground"} for c, name in named]


def _segment_photo(
    settings: SegmentSettings,
    categories: Categories,
    folder: Path,
    indexed_folder: Path,
    maps: MapReader,
    photo: tuple[int, str, int, dict[int, int]],
) -> list[dict[str, Any]]:
    """Write mask and indexed map of a photo (row, image_id, COCO id, cluster of each token); return annotations."""
    i, image_id, number, cluster_of_token = photo
    _, mask, objects = segment_map(settings, maps.foreground(i), maps.region(i), cluster_of_token, maps.grid(i))
    write_mask(mask_path(folder, image_id), mask, durable=False)
    values = [categories.number(one.cluster) for one in objects]
    write_indexed(mask_path(indexed_folder, image_id), indexed(objects, values, mask.shape))
    return [annotation(one, number, value) for one, value in zip(objects, values, strict=True)]


def write_mask(path: Path, mask: Mask, durable: bool = True) -> None:
    """Write a mask `(H, W)` as an 8-bit PNG of 0 and 255, whole or not at all; see `atomic_path`."""
    with atomic_path(path, durable) as temporary:
        Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0))).save(temporary, format="PNG")


def _tokens(clusters: Clusters) -> dict[str, dict[int, int]]:
    """Return for each photo the foreground cluster of each of its tokens."""
    found: dict[str, dict[int, int]] = {}
    table = clusters.table
    for image_id, token, cluster in zip(table["image_id"], table["token"], table["foreground_cluster"], strict=True):
        found.setdefault(image_id, {})[int(token)] = int(cluster)
    return found


def _files(listed: manifests.Manifest, maps: MapReader, source: str) -> list[dict[str, Any]]:
    """Return COCO's `images`, in the order of the maps, checked against the manifest.

    A photo of a COCO dataset keeps its id there, so that the results can be compared with the dataset's own JSON.
    """
    rows = listed.table.set_index("image_id")
    files = []
    for number, photo in enumerate(maps.images.itertuples(index=False), start=1):
        if photo.image_id not in rows.index:
            raise DataError(f"{source}: has no photo {photo.image_id!r}, which the maps have; run extract again")
        row = rows.loc[photo.image_id]
        size = (int(row["height_px"]), int(row["width_px"]))
        if size != (int(photo.height_px), int(photo.width_px)):
            raise DataError(
                f"{source}: photo {photo.image_id!r} has {size[0]} x {size[1]} px, "
                f"in the maps {photo.height_px} x {photo.width_px}; run extract again"
            )
        files.append(
            {
                "id": number if row["coco_id"] is None else int(row["coco_id"]),
                "file_name": str(row["path"]),
                "heap_id": photo.image_id,
                "height": size[0],
                "width": size[1],
            }
        )
    return files
