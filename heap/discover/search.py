"""`heap search`: the regions of a collection that are most like those of a photo."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from heap import paths
from heap.cache.maps import MapReader
from heap.cluster import index as region_index
from heap.cluster import table as cluster_table
from heap.cluster.table import Clusters
from heap.data import manifest as manifests
from heap.data.items import Item
from heap.discover.model import Model
from heap.discover.result import Discovery, Region
from heap.errors import DataError, ModelError

log = logging.getLogger("heap")


@dataclass(frozen=True)
class Collection:
    """The clustered regions of one dataset or of several, and what leads from them to their photos.

    Attributes:
        name: of the dataset or of the collection.
        results: folder `results` that it lies in.
        clusters: its regions.
    """

    name: str
    results: Path
    clusters: Clusters

    def path(self, of: str) -> Path:
        """Return a path of `heap.paths` below this collection's own `results`."""
        return self.results / Path(of).relative_to(paths.RESULTS)

    @property
    def datasets(self) -> list[str]:
        """The datasets its regions are of."""
        return list(self.clusters.info["datasets"])

    @cached_property
    def index(self) -> Any:
        """The FAISS index, whose ids are rows of the table.

        Raises:
            DataError: it is missing, damaged, or of other regions.
        """
        sha256 = self.clusters.info["index"].get("sha256")  # tables before version 3 of the stage have none
        return region_index.read(self.path(paths.index(self.name)), str(sha256))

    @cached_property
    def manifest_of(self) -> dict[str, manifests.Manifest]:
        """The photos of each dataset."""
        return {dataset: manifests.read(self.path(paths.manifest(dataset))) for dataset in self.datasets}

    @cached_property
    def maps_of(self) -> dict[str, MapReader]:
        """Which patch belongs to which region, of each dataset."""
        return {dataset: MapReader(self.path(paths.maps("heap", dataset))) for dataset in self.datasets}

    @cached_property
    def file_of(self) -> dict[tuple[str, str], Path]:
        """Where each photo lies, by dataset and image_id."""
        return {
            (dataset, str(row.image_id)): manifest.photo(row)
            for dataset, manifest in self.manifest_of.items()
            for row in manifest.table.itertuples(index=False)
        }

    def photos_with(self, content: str) -> set[tuple[str, str]]:
        """Return the dataset and image_id of photos that are this file, byte for byte."""
        return {
            (dataset, str(image_id))
            for dataset, manifest in self.manifest_of.items()
            for image_id in manifest.table.loc[manifest.table["content"] == content, "image_id"]
        }

    def rows_of(self, photos: set[tuple[str, str]]) -> npt.NDArray[np.int64]:
        """Return the rows of the regions of some photos."""
        table = self.clusters.table
        found = [
            np.flatnonzero((table["dataset"] == dataset) & (table["image_id"] == image_id))
            for dataset, image_id in sorted(photos)
        ]
        return np.concatenate(found).astype(np.int64) if found else np.array([], np.int64)


def collections(results: Path, names: Sequence[str], model: Model) -> list[Collection]:
    """Return the collections to search in: those named, or all whose regions are by the model's head.

    Tables of single datasets come before those of several where none is named, so that a region found in both is listed
    with its number in its own dataset.

    Raises:
        DataError: there is none; or one that was named is not there.
        ModelError: one that was named is by another head, whose regions cannot be compared.
    """
    folder = (results / Path(paths.clusters("x")).relative_to(paths.RESULTS)).parent
    there = sorted(path.stem for path in folder.glob("*.parquet"))
    found, others = [], []
    for name in names or there:
        path = folder / f"{name}.parquet"
        if name not in there:
            raise DataError(f"{path}: no such collection (there are: {', '.join(there) or 'none'}); "
                            f"`snakemake {paths.clusters(name)}` makes one of a dataset")  # fmt: skip
        one = Collection(name, results, cluster_table.read(path))
        head = one.clusters.info["head_sha256"]
        if head == model.parts.head_sha256:
            found.append(one)
        elif names:
            raise ModelError(
                f"{path}: regions by another head ({one.clusters.info['model']}, {one.clusters.info['encoder']}, "
                f"sha256 {head[:12]}) than the model's ({model.name}, {model.encoder_label}, "
                f"{model.parts.head_sha256[:12]}); "
                f"their regions cannot be compared. Try --model {paths.head(str(one.clusters.info['model']))}"
            )
        else:
            others.append(f"{name} ({one.clusters.info['model']})")
    if not names:
        found.sort(key=lambda one: len(one.datasets))
    if not found:
        hint = f"; by other heads: {', '.join(others)}" if others else ""
        raise DataError(f"{folder}: no collection by the model {model.name} ({model.parts.source}){hint}")
    return found


def query_regions(found: Discovery, token: int | None = None, point: tuple[int, int] | None = None) -> list[Region]:
    """Return the regions of a photo to search with: one, or all of its foreground.

    Args:
        found: what the model found in the photo.
        token: number of a region.
        point: pixel (x, y) of a region.

    Raises:
        DataError: there is no such region.
    """
    numbers = ", ".join(str(region.token) for region in found.regions)
    if token is not None:
        chosen = [region for region in found.regions if region.token == token]
        if not chosen:
            raise DataError(f"{found.name}: has no region {token} (there are: {numbers})")
        return chosen
    if point is not None:
        try:
            at = found.region_at(*point)
        except ValueError as error:
            raise DataError(str(error)) from error
        if at is None:
            raise DataError(f"{found.name}: the region at {point} is too small to be listed")
        return [at]
    foreground = [region for region in found.regions if region.is_foreground]
    if not foreground:
        raise DataError(f"{found.name}: nothing in it is taken for foreground; name a region (--region {numbers})")
    return foreground


def content_of(photo: Path) -> str:
    """Return the hash by which manifests know a photo.

    Raises:
        PhotoError: it cannot be read.
    """
    return manifests.measure(photo.parent, Item(photo.stem, photo.name))[2]


def nearest(
    queries: Sequence[Region], searched: Sequence[Collection], top: int, content: str | None = None
) -> pd.DataFrame:
    """Return the regions most similar to any of the queries, the most similar first.

    Args:
        queries: regions of one photo.
        searched: collections by the same head.
        top: how many are wanted.
        content: hash of the photo; where a collection holds the same photo, its regions are left out.

    Returns:
        rank, collection (the table searched), dataset, photo, region_id (of that table), token, similarity (cosine),
        query (token of the query region it is most like),
        kind, cluster, foreground, area_px, x1, y1, x2, y2 and file.
    """
    vectors = np.ascontiguousarray([region.embedding for region in queries], dtype=np.float32)
    frames = []
    for one in searched:
        table = one.clusters.table
        own = one.photos_with(content) if content is not None else set()
        skip = one.rows_of(own)
        if own:
            names = ", ".join(image_id for _, image_id in sorted(own))
            log.info("%s: holds this photo itself (%s), left out", one.name, names)
        rows, cosine, query = _search(one.index, vectors, top, skip)
        if not len(rows):
            continue
        chosen = table.iloc[rows]
        boxes = np.array(chosen["box"].tolist(), dtype=np.int64).reshape(-1, 4)
        datasets, image_ids = chosen["dataset"].astype(str), chosen["image_id"].astype(str)
        frames.append(
            pd.DataFrame(
                {
                    "collection": one.name,
                    "dataset": datasets.to_numpy(object),
                    "photo": image_ids.to_numpy(object),
                    "region_id": chosen["region_id"].to_numpy(np.int64),
                    "token": chosen["token"].to_numpy(np.int16),
                    "similarity": cosine,
                    "query": np.array([queries[number].token for number in query], np.int16),
                    "kind": chosen["kind"].to_numpy(object),
                    "cluster": chosen["cluster"].to_numpy(np.int32),
                    "foreground": chosen["foreground"].to_numpy(np.float32),
                    "area_px": chosen["area_px"].to_numpy(np.int64),
                    **{name: boxes[:, place] for place, name in enumerate(("x1", "y1", "x2", "y2"))},
                    "file": [str(one.file_of.get(photo, "")) for photo in zip(datasets, image_ids, strict=True)],
                }
            )
        )
    if not frames:
        raise DataError(f"{', '.join(one.name for one in searched)}: hold no region of another photo")
    # A region may lie in its dataset's own table and in those of collections; the first that was searched tells of it.
    joined = pd.concat(frames).drop_duplicates(["dataset", "photo", "token"])
    joined = joined.sort_values(["similarity", "dataset", "region_id"], ascending=[False, True, True])
    joined = joined.head(top).reset_index(drop=True)
    joined.insert(0, "rank", np.arange(1, len(joined) + 1))
    return joined


def _search(
    index: Any, vectors: npt.NDArray[np.float32], top: int, skip: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return rows, cosines and the nearest query of the `top` rows most like any of the vectors `(Q, D)`."""
    # Of each query's hits the skipped ones are lost at most; the best `top` over all queries are among these.
    cosine, rows = index.search(vectors, min(top + len(skip), index.ntotal))
    query = np.repeat(np.arange(len(vectors)), rows.shape[1])
    hits = pd.DataFrame({"row": rows.ravel(), "cosine": cosine.ravel(), "query": query})
    hits = hits[(hits["row"] >= 0) & ~hits["row"].isin(skip)]  # -1: an inverted file found fewer
    hits = hits.sort_values(["cosine", "row"], ascending=[False, True]).drop_duplicates("row").head(top)
    return hits["row"].to_numpy(np.int64), hits["cosine"].to_numpy(np.float32), hits["query"].to_numpy(np.int64)
