"""Stage `cluster`: FAISS over all regions of all photos of a dataset, or of several datasets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from heap.cache.maps import MapReader
from heap.cluster import collection
from heap.cluster import index as region_index
from heap.cluster.choice import choose_k
from heap.cluster.kmeans import KMeans, spherical_kmeans
from heap.cluster.objects import View, objects_of, pooled, view_of
from heap.cluster.table import BACKGROUND, FOREGROUND, Clusters, lists, write
from heap.errors import DataError, HeapError
from heap.grid import NO_EXTENT, Extent, PatchGrid
from heap.group import regions as region_table
from heap.locks import alone
from heap.progress import track
from heap.settings.freeze import read_frozen, section
from heap.settings.stages import ChosenK, ClusterSettings, most_of

log = logging.getLogger("heap")

# p_k is the probability that a region is foreground; polarity was settled by the training.
FOREGROUND_ABOVE = 0.5


class ClusterError(HeapError):
    """The regions of a dataset cannot be clustered as asked."""


class Maps(Protocol):
    """What the stage reads of a method's patch maps (`heap.cache.maps.MapReader`)."""

    @property
    def receipt(self) -> dict[str, Any]:
        """Method, dataset, encoder, patch_px."""

    @property
    def images(self) -> pd.DataFrame:
        """One row a photo: its sizes in the photo, in the encoder's input and in patches."""

    def region(self, i: int) -> npt.NDArray[np.int16]:
        """Return the token of each patch of photo `i`, `(grid_h, grid_w)`."""

    def grid(self, i: int) -> PatchGrid:
        """Return where the patches of photo `i` lie."""


@alone("out_parquet")
def cluster(frozen: Path, regions: Sequence[Path], maps: Sequence[Path], out_parquet: Path, out_index: Path) -> None:
    """Cluster the regions of a dataset, or of several together, and index them.

    Args:
        frozen: frozen settings of the stage; their `name` is the collection's where there are several datasets.
        regions: table of regions, of each dataset.
        maps: receipt of HEAP's patch maps, of each dataset in the same order.
        out_parquet: table of clusters to write, see `heap.cluster.table`.
        out_index: FAISS index to write; its ids are region_ids.

    Raises:
        ClusterError: there is no foreground or no background, or an embedding is not a finite unit vector.
        DataError: maps and regions are of different datasets, or the datasets went through different heads.
    """
    settled = read_frozen(frozen, "cluster")
    settings: ClusterSettings = section(settled, "cluster", ClusterSettings)
    readers = [MapReader(path) for path in maps]
    reader: Maps
    if len(regions) == 1:
        found, reader = region_table.read(regions[0]), readers[0]
        datasets, image_ids = [str(found.info["dataset"])], found.table["image_id"].to_numpy(object)
        of_dataset = np.full(len(found.table), datasets[0], dtype=object)
    else:
        found, of_dataset, image_ids = collection.read(str(settled["name"]), regions)
        datasets, reader = list(pd.unique(of_dataset)), collection.JoinedMaps(str(settled["name"]), readers)
    mapped = [str(one.receipt["dataset"]) for one in readers]
    if mapped != datasets:
        raise DataError(f"{maps[0]}: maps of {', '.join(mapped)}, but {regions[0]} is of {', '.join(datasets)}")
    check_embeddings(found.embeddings, ", ".join(map(str, regions)))
    clusters, index = cluster_regions(settings, found.table, found.embeddings, found.info, reader)
    clusters.table["dataset"], clusters.table["image_id"] = of_dataset, image_ids
    clusters.info["datasets"] = datasets
    # The table last: it is what later stages open first, so its presence says that the index is there too.
    clusters.info["index"]["sha256"] = region_index.write(index, out_index)
    write(out_parquet, clusters)


def cluster_regions(
    settings: ClusterSettings,
    table: pd.DataFrame,
    embeddings: npt.NDArray[np.float32],
    info: dict[str, Any],
    maps: Maps,
) -> tuple[Clusters, Any]:
    """Return the clusters and the index of regions that are in memory.

    Args:
        settings: how to cluster.
        table: one row a region: region_id, image_id, token, area_share, foreground.
        embeddings: `(regions, D)` float32 of length 1.
        info: of the region table (dataset, model, encoder, appearance, ...).
        maps: patch maps of the same photos.
    """
    out = pd.DataFrame(
        {
            "region_id": table["region_id"].to_numpy(np.int64),
            "image_id": table["image_id"].to_numpy(object),
            "token": table["token"].to_numpy(np.int16),
            "foreground": table["foreground"].to_numpy(np.float32),
        }
    )
    is_foreground = out["foreground"].to_numpy() > FOREGROUND_ABOVE
    out["kind"] = np.where(is_foreground, FOREGROUND, BACKGROUND)
    photos = pd.factorize(out["image_id"])[0].astype(np.int64)
    of_kind = {kind: np.flatnonzero(out["kind"] == kind) for kind in (FOREGROUND, BACKGROUND)}
    views = {
        kind: view_of(
            embeddings[rows], info.get("appearance"), kind == FOREGROUND and settings.join == "touching",
            settings.join_above, photos[rows], settings.seed,
        )
        for kind, rows in of_kind.items()
    }  # fmt: skip
    weight = (table["area_share"].to_numpy(np.float32) * out["foreground"].to_numpy()).astype(np.float32)
    owner = _objects(views[FOREGROUND], out, embeddings, weight, is_foreground, maps)
    out["object"] = out["region_id"].to_numpy()[owner]
    is_first = owner == np.arange(len(out))
    asked: dict[str, int | ChosenK] = {FOREGROUND: settings.foreground, BACKGROUND: settings.background}
    warnings = list(info.get("warnings") or [])
    for kind in asked:
        objects = int((is_first & (out["kind"] == kind)).sum())
        asked[kind] = bounded_k(kind, asked[kind], objects, str(info["dataset"]))
        if asked[kind] != getattr(settings, kind):
            warnings.append(f"cluster.{kind}: only {objects} objects, so at most {most_of(asked[kind])} clusters")
            log.warning("%s: %s", info["dataset"], warnings[-1])

    parts: dict[str, KMeans] = {}
    number = np.empty(len(out), dtype=np.int32)
    distance = np.empty(len(out), dtype=np.float32)
    k: dict[str, int] = {}
    chosen: dict[str, dict[str, Any]] = {}
    before = 0
    for kind, wanted in asked.items():
        rows = of_kind[kind]
        things, vectors = pooled(views[kind], embeddings, weight, owner, rows)
        if isinstance(wanted, ChosenK):
            chosen[kind] = choose_k(
                vectors, *wanted.choose, iterations=settings.iterations, restarts=settings.restarts,
                seed=settings.seed,
            )  # fmt: skip
            wanted = int(chosen[kind]["k"])
        k[kind] = wanted
        parts[kind] = spherical_kmeans(
            vectors,
            k[kind],
            iterations=settings.iterations,
            restarts=settings.restarts,
            points_per_centroid=settings.points_per_centroid,
            seed=settings.seed,
        )
        of_thing = np.searchsorted(things, owner[rows])
        number[rows] = parts[kind].assigned[of_thing] + before
        before += k[kind]
        distance[rows] = parts[kind].distance[of_thing]
        log.info("cluster: %d %s regions of %d objects in %d clusters, %s",
                 len(rows), kind, len(things), k[kind], parts[kind].info["device"])  # fmt: skip
    out["cluster"], out["distance"] = number, distance
    out["foreground_cluster"] = foreground_clusters(embeddings, photos, is_foreground, number)

    of_regions = _extents(out, maps)
    out["area_px"] = np.array([extent.area_px for extent in of_regions], dtype=np.int64)
    boxes = np.array([extent.box for extent in of_regions], dtype=np.int32).reshape(-1, 4)
    out["box"] = lists(boxes, np.ones(boxes.shape, dtype=bool))

    index, index_info = region_index.build(embeddings, settings.seed)
    ids, cosines = region_index.elsewhere(index, embeddings, photos, settings.neighbours)
    out["nearest"] = lists(ids, ids >= 0)
    out["nearest_similarity"] = lists(cosines, ids >= 0)

    described = {
        **{key: info.get(key) for key in ("dataset", "model", "encoder", "tokens", "head_sha256")},
        "warnings": warnings,
        "k": k,
        "k_chosen": chosen,
        "kmeans": {kind: part.info for kind, part in parts.items()},
        "views": {kind: view.as_json() for kind, view in views.items()},
        "index": index_info,
        "neighbours": settings.neighbours,
    }
    centroids = np.concatenate([parts[FOREGROUND].centroids, parts[BACKGROUND].centroids])
    return Clusters(out, centroids, described), index


def foreground_clusters(
    embeddings: npt.NDArray[np.float32],
    photos: npt.NDArray[np.int64],
    is_foreground: npt.NDArray[np.bool_],
    cluster: npt.NDArray[np.int32],
) -> npt.NDArray[np.int32]:
    """Return for each region the foreground cluster its pixels take where they lie inside the foreground mask.

    Its own for a foreground region. A background region can hold pixels of the mask, because the map is soft and
    enlarged smoothly; they take the cluster of the most similar foreground region of the same photo (our choice).

    Args:
        embeddings: `(n, D)` of length 1.
        photos: `(n,)`, the photo of each region.
        is_foreground: `(n,)`.
        cluster: `(n,)`.

    Returns:
        `(n,)` int32; -1 where the photo has no foreground region.
    """
    chosen = np.where(is_foreground, cluster, -1).astype(np.int32)
    order = np.argsort(photos, kind="stable")
    starts = np.flatnonzero(np.diff(photos[order], prepend=-1))
    for rows in np.split(order, starts[1:]):
        own, others = rows[is_foreground[rows]], rows[~is_foreground[rows]]
        if len(own) and len(others):
            chosen[others] = cluster[own[(embeddings[others] @ embeddings[own].T).argmax(axis=1)]]
    return chosen


def _objects(
    view: View,
    table: pd.DataFrame,
    embeddings: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float32],
    is_foreground: npt.NDArray[np.bool_],
    maps: Maps,
) -> npt.NDArray[np.int64]:
    """Return for each region of the dataset the row of its object's first region."""
    owner = np.arange(len(table))
    if view.join_above is None:
        return owner
    row_of_photo = _row_of_photo(maps)
    tokens = table["token"].to_numpy()
    for image_id, rows in table.groupby("image_id", sort=False).indices.items():
        owner[rows] = rows[
            objects_of(
                view, maps.region(row_of_photo(str(image_id))), tokens[rows], embeddings[rows], weight[rows],
                is_foreground[rows],
            )
        ]  # fmt: skip
    return owner


def _row_of_photo(maps: Maps) -> Callable[[str], int]:
    """Return what gives the row of a photo in the maps, or refuses a photo that they lack."""
    rows: dict[str, int] = dict(zip(maps.images["image_id"], range(len(maps.images)), strict=True))

    def row(image_id: str) -> int:
        if image_id not in rows:
            raise DataError(f"photo {image_id!r} has regions but no patch map in the maps of {maps.receipt['dataset']}")
        return rows[image_id]

    return row


def _extents(table: pd.DataFrame, maps: Maps) -> list[Extent]:
    """Return area and box of each region, in the order of `table`."""
    row_of_photo = _row_of_photo(maps)
    found = [NO_EXTENT] * len(table)
    by_photo = table.reset_index(drop=True).groupby("image_id", sort=False)
    for key, rows in track(by_photo, by_photo.ngroups, "photos", f"clusters of {maps.receipt['dataset']}"):
        photo = row_of_photo(str(key))
        of_tokens = maps.grid(photo).extents(maps.region(photo))
        for position, token in zip(rows.index, rows["token"], strict=True):
            found[position] = of_tokens.get(int(token), NO_EXTENT)
    return found


def bounded_k(kind: str, wanted: int | ChosenK, objects: int, dataset: str) -> int | ChosenK:
    """Return a number of clusters, or a range of it, that the objects there are can fill.

    A number is at most that of the objects. The most of a range leaves two objects a cluster on average: with one each
    nothing is left to compare.

    Raises:
        ClusterError: there is no object at all.
    """
    if objects == 0:
        raise ClusterError(
            f"cluster.{kind}: {dataset} has no {kind} region; see the training's diagnostics, or train on more photos"
        )
    if not isinstance(wanted, ChosenK):
        return min(wanted, objects)
    fewest, most = wanted.choose[0], min(wanted.choose[1], objects // 2)
    if most <= fewest:
        return max(1, min(fewest, objects // 2))
    return wanted if most == wanted.choose[1] else ChosenK(choose=[fewest, most])


def check_embeddings(embeddings: npt.NDArray[np.float32], source: str) -> None:
    """Refuse embeddings that are not of length 1: cosines and k-means would silently mean something else.

    Raises:
        ClusterError: names the first wrong row.
    """
    lengths = np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings))
    wrong = np.flatnonzero(~(np.abs(lengths - 1) < 1e-3))  # NaN is caught by the negation
    if len(wrong):
        raise ClusterError(
            f"{source}: the embedding of region {wrong[0]} has length {lengths[wrong[0]]:.3g}, expected 1 "
            f"({len(wrong)} such regions)"
        )
