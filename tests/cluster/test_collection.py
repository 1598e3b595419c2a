"""Two datasets whose photos have the same ids, clustered as one collection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cluster.world import World, freeze, make

from heap.cluster import collection, index, table
from heap.cluster.stage import cluster
from heap.errors import DataError
from heap.group import regions
from heap.settings.stages import ClusterSettings


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> list[World]:
    folder = tmp_path_factory.mktemp("worlds")
    # The second has another number of photos, in another order: their ids clash, their photos and regions are others.
    ids = [f"photo_{i:02d}" for i in (5, 3, 0, 1)]
    return [make(folder / "one", name="one"), make(folder / "two", name="two", ids=ids, noise=0.06)]


def run(worlds: list[World], folder: Path) -> table.Clusters:
    values = ClusterSettings(foreground=3, background=2, neighbours=4).model_dump(mode="json")
    frozen = freeze(folder, "cluster", cluster=values)
    cluster(frozen, [w.regions for w in worlds], [w.maps for w in worlds], folder / "c.parquet", folder / "c.faiss")
    return table.read(folder / "c.parquet")


def test_regions_of_both_share_ids_clusters_and_index(worlds: list[World], tmp_path: Path) -> None:
    found = run(worlds, tmp_path)
    whole = [regions.read(world.regions) for world in worlds]
    assert found.table["dataset"].tolist() == ["one"] * 36 + ["two"] * 12
    assert found.table["image_id"].tolist() == [*whole[0].table["image_id"], *whole[1].table["image_id"]]
    assert found.table["region_id"].tolist() == list(range(48))
    assert (found.info["datasets"], found.info["dataset"]) == (["one", "two"], "tiny")  # the frozen settings' name
    # Both worlds are planted with the same five classes, so both fall into the same five clusters.
    planted = np.concatenate([world.truth_of_region for world in worlds])
    assert len(set(zip(found.table["cluster"], planted, strict=True))) == 5
    vectors = np.concatenate([part.embeddings for part in whole])
    hits = index.read(tmp_path / "c.faiss", found.info["index"]["sha256"]).search(vectors, 1)[1].ravel()
    assert hits.tolist() == list(range(48))


def test_a_photo_is_known_by_its_dataset_and_its_id(worlds: list[World], tmp_path: Path) -> None:
    found = run(worlds, tmp_path).table
    for dataset, world in zip(("one", "two"), worlds, strict=True):
        for image_id, mask in zip(world.ids, world.masks, strict=True):
            of_photo = found[(found["dataset"] == dataset) & (found["image_id"] == image_id)]
            assert len(of_photo) == 3
            # Areas are by the photo's own map and size, not those of its namesake.
            assert of_photo["area_px"].sum() == mask.size
            assert of_photo.loc[of_photo["kind"] == "foreground", "area_px"].tolist() == [mask.sum()]
    photos = list(zip(found["dataset"], found["image_id"], strict=True))
    near = [(photos[row], [photos[other] for other in found["nearest"][row]]) for row in range(len(found))]
    assert all(own not in others for own, others in near)
    # A namesake in the other dataset is another photo and may be near; somewhere it is.
    assert any(other[1] == own[1] for own, others in near for other in others)


def test_one_dataset_alone_is_told_too(worlds: list[World], tmp_path: Path) -> None:
    found = run(worlds[:1], tmp_path)
    assert set(found.table["dataset"]) == {"one"}
    assert (found.info["dataset"], found.info["datasets"]) == ("one", ["one"])


def test_what_does_not_belong_together_is_refused(worlds: list[World], tmp_path: Path) -> None:
    one, two = worlds
    with pytest.raises(DataError, match=r"collections\.both: a dataset is there twice \(one, one\)"):
        collection.read("both", [one.regions, one.regions])
    other = regions.read(two.regions)
    other.info["head_sha256"] = "1"
    regions.write(tmp_path / "two.parquet", other)
    with pytest.raises(DataError, match=r"two\.parquet: head_sha256 is 1, but 0 in .*collections\.both"):
        collection.read("both", [one.regions, tmp_path / "two.parquet"])
    frozen = freeze(tmp_path, "cluster", cluster=ClusterSettings().model_dump(mode="json"))
    with pytest.raises(DataError, match=r"maps of two, one, but .* is of one, two"):
        cluster(frozen, [one.regions, two.regions], [two.maps, one.maps], tmp_path / "c.parquet", tmp_path / "c.faiss")
