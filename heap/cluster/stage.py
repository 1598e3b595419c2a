"""Stage `cluster`: FAISS over all regions of all photos of a dataset, or of several datasets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from heap.cache.maps import MapReader
from heap.cluster import collection
from heap.cluster import index as region_index
from heap.cluster.clustering import cluster_regions
from heap.cluster.table import write
from heap.errors import ClusterError, DataError
from heap.group import regions as region_table
from heap.locks import alone
from heap.settings.freeze import read_frozen, section
from heap.settings.stages import ClusterSettings


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
    reader: collection.Maps = readers[0]
    if len(regions) == 1:
        found = region_table.read(regions[0])
        datasets, image_ids = [str(found.info["dataset"])], found.table["image_id"].to_numpy(object)
        of_dataset = np.full(len(found.table), datasets[0], dtype=object)
    else:
        found, of_dataset, image_ids = collection.read(str(settled["name"]), regions)
        datasets, reader = list(dict.fromkeys(of_dataset)), collection.JoinedMaps(str(settled["name"]), readers)
    mapped = [one.receipt.dataset for one in readers]
    if mapped != datasets:
        raise DataError(f"{maps[0]}: maps of {', '.join(mapped)}, but {regions[0]} is of {', '.join(datasets)}")
    check_embeddings(found.embeddings, ", ".join(map(str, regions)))
    clusters, index = cluster_regions(settings, found, reader)
    clusters.table["dataset"], clusters.table["image_id"] = of_dataset, image_ids
    clusters.info["datasets"] = datasets
    # The table last: it is what later stages open first, so its presence says that the index is there too.
    clusters.info["index"]["sha256"] = region_index.write(index, out_index)
    write(out_parquet, clusters)


def check_embeddings(embeddings: npt.NDArray[np.float32], source: str) -> None:
    """Refuse embeddings that are not of length 1: cosines and k-means would silently be of something else.

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
