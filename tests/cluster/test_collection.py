"""Two datasets whose photos have the same ids, clustered as one collection."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cluster.world import World, clustered, make

from heap.cluster import collection, index, table
from heap.errors import DataError
from heap.group import regions


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> list[World]:
    folder = tmp_path_factory.mktemp("worlds")
    # The second has another number of photos, in another order: their ids clash, their photos and regions are others.
    ids = [f"photo_{i:02d}" for i in (5, 3, 0, 1)]
    return [make(folder / "one", name="one"), make(folder / "two", name="two", ids=ids, noise=0.06)]


@pytest.fixture(scope="module")
def found(worlds: list[World]) -> table.Clusters:
    return clustered(worlds[0].folder, *worlds)


def test_regions_of_both_share_ids_clusters_and_index(worlds: list[World], found: table.Clusters) -> None:
    whole = [regions.read(world.regions) for world in worlds]
    assert found.table["dataset"].tolist() == ["one"] * 36 + ["two"] * 12
    assert found.table["image_id"].tolist() == [*whole[0].table["image_id"], *whole[1].table["image_id"]]
    assert found.table["region_id"].tolist() == list(range(48))
    assert (found.info["datasets"], found.info["dataset"]) == (["one", "two"], "tiny")  # the frozen settings' name
    # Both worlds are planted with the same five classes, so both fall into the same five clusters.
    planted = np.concatenate([world.truth_of_region for world in worlds])
    assert len(set(zip(found.table["cluster"], planted, strict=True))) == 5
    vectors = np.concatenate([part.embeddings for part in whole])
    hits = index.read(worlds[0].folder / "c.faiss", found.info["index"]["sha256"]).search(vectors, 1)[1].ravel()
    assert hits.tolist() == list(range(48))


def test_a_photo_is_known_by_its_dataset_and_its_id(worlds: list[World], found: table.Clusters) -> None:
    of_regions = found.table
    for dataset, world in zip(("one", "two"), worlds, strict=True):
        for image_id, mask in zip(world.ids, world.masks, strict=True):
            of_photo = of_regions[(of_regions["dataset"] == dataset) & (of_regions["image_id"] == image_id)]
            assert len(of_photo) == 3
            # Areas are by the photo's own map and size, not those of its namesake.
            assert of_photo["area_px"].sum() == mask.size
            assert of_photo.loc[of_photo["kind"] == "foreground", "area_px"].tolist() == [mask.sum()]
    photos = list(zip(of_regions["dataset"], of_regions["image_id"], strict=True))
    near = [(photos[row], [photos[other] for other in of_regions["nearest"][row]]) for row in range(len(of_regions))]
    assert all(own not in others for own, others in near)
    # A namesake in the other dataset is another photo and may be near; somewhere it is.
    assert any(other[1] == own[1] for own, others in near for other in others)


def test_one_dataset_alone_is_named_too(worlds: list[World], tmp_path: Path) -> None:
    found = clustered(tmp_path, worlds[0])
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
    swapped = [SimpleNamespace(regions=a.regions, maps=b.maps) for a, b in ((one, two), (two, one))]
    with pytest.raises(DataError, match=r"maps of two, one, but .* is of one, two"):
        clustered(tmp_path, *swapped)  # type: ignore[arg-type]
