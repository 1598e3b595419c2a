"""The stage on a planted dataset: what is in the table, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cluster.world import OBJECT, World, clustered, make

from heap.cluster import index, table
from heap.cluster.choice import bounded_k
from heap.cluster.clustering import foreground_clusters
from heap.errors import ClusterError, DataError
from heap.group import regions
from heap.settings.stages import ChosenK


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def found(world: World) -> table.Clusters:
    return clustered(world.folder, world)


def test_planted_classes_become_clusters_each_of_one_kind(world: World, found: table.Clusters) -> None:
    pairs = set(zip(found.table["cluster"], world.truth_of_region, strict=True))
    assert len(pairs) == 5  # a one-to-one matching of 5 clusters and 5 planted classes
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == 5
    kinds = found.table.groupby("kind")["cluster"].agg(set).to_dict()
    assert kinds == {"foreground": {0, 1, 2}, "background": {3, 4}}
    assert set(found.table.loc[found.table["token"] == OBJECT, "kind"]) == {"foreground"}


def test_areas_and_boxes_are_those_of_the_planted_masks(world: World, found: table.Clusters) -> None:
    of_regions = found.table
    assert of_regions.groupby("image_id", sort=False)["area_px"].sum().tolist() == [mask.size for mask in world.masks]
    for image_id, mask in zip(world.ids, world.masks, strict=True):
        row = of_regions[(of_regions["image_id"] == image_id) & (of_regions["token"] == OBJECT)].iloc[0]
        ys, xs = np.nonzero(mask)
        assert row["area_px"] == mask.sum()
        assert row["box"].tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def test_neighbours_are_of_other_photos_and_alike(found: table.Clusters) -> None:
    for row in found.table.itertuples():
        assert len(row.nearest) == len(row.nearest_similarity) == 4
        others = found.table.loc[row.nearest]
        assert row.image_id not in set(others["image_id"])
        assert np.all(np.diff(row.nearest_similarity) <= 0)
        if row.kind == "background":  # 11 other photos hold the same kind of ground or sky
            assert set(others["cluster"]) == {row.cluster}


def test_what_was_done_is_recorded_and_the_index_holds_all_regions(
    world: World, found: table.Clusters, tmp_path: Path
) -> None:
    assert found.info["dataset"] == "tiny"
    assert found.info["encoder"] == "descriptors"
    assert found.info["k"] == {"foreground": 3, "background": 2}
    assert found.info["kmeans"]["foreground"]["points"] == 12
    assert {"seed", "restarts", "iterations", "inertia", "device"} <= set(found.info["kmeans"]["background"])
    assert found.foreground_clusters == 3
    # The planted objects are one region each, so an object's embedding is its region's, around the mean of its kind.
    vectors = regions.read(world.regions).embeddings
    for kind in ("foreground", "background"):
        rows = (found.table["kind"] == kind).to_numpy()
        vectors[rows] -= vectors[rows].mean(0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert found.table["object"].tolist() == found.table["region_id"].tolist()
    own = found.centroids[found.table["cluster"]]
    assert np.allclose(found.table["distance"], 1 - (vectors * own).sum(1), atol=1e-6)
    assert index.read(world.folder / "c.faiss", found.info["index"]["sha256"]).ntotal == len(vectors)
    assert {"first": 0, "last": 16, "turn": None}.items() <= found.info["views"]["foreground"].items()
    assert found.info["views"]["background"]["join_above"] is None
    assert clustered(tmp_path, world, join="none").info["views"]["foreground"]["join_above"] is None


def test_twice_the_same_bytes(world: World, found: table.Clusters, tmp_path: Path) -> None:
    clustered(tmp_path, world)
    for name in ("c.parquet", "c.faiss"):
        assert (tmp_path / name).read_bytes() == (world.folder / name).read_bytes()


@pytest.mark.parametrize(("kind", "k", "there"), [("foreground", 13, 12), ("background", 25, 24)])
def test_there_are_no_more_clusters_than_objects(world: World, tmp_path: Path, kind: str, k: int, there: int) -> None:
    found = clustered(tmp_path, world, **{kind: k})
    assert found.info["k"][kind] == there
    assert found.info["warnings"] == [f"cluster.{kind}: only {there} objects, so at most {there} clusters"]


@pytest.mark.parametrize(
    ("wanted", "objects", "expected"),
    [
        (20, 5, 5), (20, 30, 20), (ChosenK(choose=[2, 40]), 1, 1), (ChosenK(choose=[2, 40]), 3, 1),
        (ChosenK(choose=[2, 40]), 5, 2), (ChosenK(choose=[2, 40]), 20, ChosenK(choose=[2, 10])),
        (ChosenK(choose=[5, 40]), 7, 3), (ChosenK(choose=[2, 40]), 80, ChosenK(choose=[2, 40])),
    ],
)  # fmt: skip
def test_few_objects_bound_k(wanted: int | ChosenK, objects: int, expected: int | ChosenK) -> None:
    assert bounded_k("foreground", wanted, objects, "photos") == expected
    with pytest.raises(ClusterError, match=r"cluster\.foreground: photos has no foreground region"):
        bounded_k("foreground", wanted, 0, "photos")


def test_k_of_a_range_is_chosen_and_the_choice_recorded(world: World, tmp_path: Path) -> None:
    found = clustered(tmp_path, world, foreground={"choose": [2, 6]})
    assert found.info["k"] == {"foreground": 3, "background": 2}  # planted: three kinds of objects
    chosen = found.info["k_chosen"]
    assert list(chosen) == ["foreground"]
    assert (chosen["foreground"]["range"], list(chosen["foreground"]["silhouette"])) == ([2, 6], list("23456"))
    assert set(found.table.loc[found.table["kind"] == "background", "cluster"]) == {3, 4}
    assert len(found.centroids) == 5
    assert clustered(tmp_path, world, foreground={"choose": [2, 13]}).info["k_chosen"]["foreground"]["range"] == [2, 6]


def test_embeddings_that_are_no_directions_are_refused(world: World, tmp_path: Path) -> None:
    whole = regions.read(world.regions)
    whole.embeddings[5] = np.nan
    (tmp_path / "maps").symlink_to(world.folder / "maps")
    broken = replace(world, folder=tmp_path)
    regions.write(broken.regions, whole)
    with pytest.raises(ClusterError, match="embedding of region 5 has length nan, expected 1"):
        clustered(tmp_path, broken)


def test_another_table_is_not_a_table_of_clusters(world: World) -> None:
    with pytest.raises(DataError, match="not a table of clusters"):
        table.read(world.regions)


def test_background_regions_take_the_cluster_of_the_most_similar_object_in_their_photo() -> None:
    east, north = np.array([1, 0]), np.array([0, 1])
    between = np.array([0.8, 0.6])  # nearer to east
    embeddings = np.array([east, north, between, east, between], dtype=np.float32)
    photos = np.array([0, 0, 0, 1, 2])
    is_foreground = np.array([True, True, False, False, True])
    cluster_of = np.array([4, 2, 9, 9, 1], dtype=np.int32)
    # Photo 1 has no object, so its region has none to take after.
    assert foreground_clusters(embeddings, photos, is_foreground, cluster_of).tolist() == [4, 2, 4, -1, 1]
