"""From the regions of a dataset, in memory, to its table of clusters and the index over them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pandas as pd

from heap.cluster import index as region_index
from heap.cluster.choice import bounded_k, choose_k
from heap.cluster.collection import Maps
from heap.cluster.kmeans import KMeans, spherical_kmeans
from heap.cluster.objects import View, objects_of, pooled, view_of
from heap.cluster.table import BACKGROUND, FOREGROUND, FOREGROUND_ABOVE, Clusters, lists
from heap.errors import DataError
from heap.grid import NO_EXTENT
from heap.group.regions import Regions
from heap.progress import track
from heap.settings.stages import ChosenK, ClusterSettings, most_of

log = logging.getLogger("heap")

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

# Columns that a region keeps, and what memory they take.
_KEPT = {"region_id": np.int64, "image_id": object, "token": np.int16, "foreground": np.float32}


@dataclass(frozen=True)
class _Kind:
    """Regions of one kind, and how they are compared.

    Attributes:
        name: foreground or background.
        rows: of the regions, ascending.
        view: how their embeddings are compared.
        wanted: k, or a range of it.
    """

    name: str
    rows: Integers
    view: View
    wanted: int | ChosenK


def cluster_regions(settings: ClusterSettings, regions: Regions, maps: Maps) -> tuple[Clusters, faiss.Index]:
    """Return the clusters and the index of regions.

    Args:
        settings: how to cluster.
        regions: of a dataset or a collection.
        maps: patch maps of the same photos.

    Raises:
        ClusterError: there is no foreground or no background.
        DataError: a photo has no map.
    """
    embeddings, info = regions.embeddings, regions.info
    out = regions.table[list(_KEPT)].astype(_KEPT).reset_index(drop=True)
    is_foreground = out["foreground"].to_numpy() > FOREGROUND_ABOVE
    out["kind"] = np.where(is_foreground, FOREGROUND, BACKGROUND)
    photos = pd.factorize(out["image_id"])[0].astype(np.int64)
    numbers = {kind: np.flatnonzero(out["kind"] == kind) for kind in (FOREGROUND, BACKGROUND)}
    kinds = [_kind(settings, kind, regions, rows, photos) for kind, rows in numbers.items()]
    weight = (regions.table["area_share"].to_numpy(np.float32) * out["foreground"].to_numpy()).astype(np.float32)
    owner = _places(out, kinds[0].view, embeddings, weight, is_foreground, maps)
    out["object"] = out["region_id"].to_numpy()[owner]

    made: list[KMeans] = []
    chosen: dict[str, Any] = {}
    warnings = list(info.get("warnings") or [])
    cluster, distance = np.empty(len(out), dtype=np.int32), np.empty(len(out), dtype=np.float32)
    for kind in kinds:
        things, vectors = pooled(kind.view, embeddings, weight, owner, kind.rows)
        k = _number_of_clusters(settings, kind, vectors, str(info["dataset"]), warnings, chosen)
        means = spherical_kmeans(vectors, k, settings)
        of_thing = np.searchsorted(things, owner[kind.rows])
        cluster[kind.rows] = means.assigned[of_thing] + sum(len(before.centroids) for before in made)
        distance[kind.rows] = means.distance[of_thing]
        made.append(means)
        counts = f"{len(kind.rows)} {kind.name} regions of {len(things)} objects in {k} clusters"
        log.info("cluster: %s, %s", counts, means.info["device"])
    out["cluster"], out["distance"] = cluster, distance
    out["foreground_cluster"] = foreground_clusters(embeddings, photos, is_foreground, cluster)

    index, index_info = region_index.build(embeddings, settings.seed)
    ids, cosines = region_index.elsewhere(index, embeddings, photos, settings.neighbours)
    out["nearest"], out["nearest_similarity"] = lists(ids, ids >= 0), lists(cosines, ids >= 0)
    described = {
        **{key: info.get(key) for key in ("dataset", "model", "encoder", "tokens", "head_sha256")},
        "warnings": warnings,
        "k": {kind.name: len(means.centroids) for kind, means in zip(kinds, made, strict=True)},
        "k_chosen": chosen,
        "kmeans": {kind.name: means.info for kind, means in zip(kinds, made, strict=True)},
        "views": {kind.name: kind.view.as_json() for kind in kinds},
        "index": index_info,
        "neighbours": settings.neighbours,
    }
    return Clusters(out, np.concatenate([means.centroids for means in made]), described), index


def _kind(settings: ClusterSettings, name: str, regions: Regions, rows: Integers, photos: Integers) -> _Kind:
    """Return the regions of a kind with their view; `photos` `(n,)` is the photo of each region."""
    joined = name == FOREGROUND and settings.join == "touching"
    appearance, above = regions.info.get("appearance"), settings.join_above
    view = view_of(regions.embeddings[rows], appearance, joined, above, photos[rows], settings.seed)
    return _Kind(name, rows, view, settings.foreground if name == FOREGROUND else settings.background)


def _places(
    out: pd.DataFrame, view: View, embeddings: Floats, weight: Floats, is_foreground: npt.NDArray[np.bool_], maps: Maps
) -> Integers:
    """Add area and box of each region to the table; return the row of the first region of its object, `(n,)`.

    Raises:
        DataError: a photo has no map.
    """
    dataset = maps.receipt.dataset
    row_of = {image_id: row for row, image_id in enumerate(maps.images["image_id"])}
    owner, areas = np.arange(len(out)), np.zeros(len(out), dtype=np.int64)
    boxes = np.zeros((len(out), 4), dtype=np.int32)
    token_of = out["token"].to_numpy()
    by_photo = out.groupby("image_id", sort=False).indices
    for image_id, rows in track(by_photo.items(), len(by_photo), "photos", f"regions of {dataset}"):
        if image_id not in row_of:
            raise DataError(f"photo {image_id!r} has regions but no patch map in the maps of {dataset}")
        tokens, listed = maps.region(row_of[image_id]), token_of[rows]
        owner[rows] = rows[objects_of(view, tokens, listed, embeddings[rows], weight[rows], is_foreground[rows])]
        extents = maps.grid(row_of[image_id]).extents(tokens)
        for row, token in zip(rows, listed.tolist(), strict=True):
            extent = extents.get(token, NO_EXTENT)
            areas[row], boxes[row] = extent.area_px, extent.box
    out["area_px"], out["box"] = areas, lists(boxes, np.ones(boxes.shape, dtype=bool))
    return owner


def _number_of_clusters(
    settings: ClusterSettings, kind: _Kind, vectors: Floats, dataset: str, warnings: list[str], chosen: dict[str, Any]
) -> int:
    """Return k of a kind, within the objects there are; adds to the warnings and to the record of choices."""
    k = bounded_k(kind.name, kind.wanted, len(vectors), dataset)
    if k != kind.wanted and not isinstance(kind.wanted, ChosenK):  # a range is bounded in any case
        warnings.append(f"cluster.{kind.name}: only {len(vectors)} objects, so at most {most_of(k)} clusters")
        log.warning("%s: %s", dataset, warnings[-1])
    if isinstance(k, ChosenK):
        fewest, most = k.choose
        chosen[kind.name] = choose_k(vectors, fewest, most, settings)
        return int(chosen[kind.name]["k"])
    return k


def foreground_clusters(
    embeddings: Floats, photos: Integers, is_foreground: npt.NDArray[np.bool_], cluster: npt.NDArray[np.int32]
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
