"""`heap search`: the nearest regions by brute force, the photo itself left out, tables and a picture."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from discover.small import Trained
from PIL import Image
from typer.testing import CliRunner, Result

from heap import paths
from heap.cli import app
from heap.cluster import table as cluster_table
from heap.cluster.stage import cluster
from heap.discover import contact
from heap.discover.commands import parse_point
from heap.discover.model import Model
from heap.discover.search import Collection, collections, content_of, nearest, query_regions
from heap.errors import DataError, ModelError
from heap.files import read_json, write_json
from heap.group import regions as region_table
from heap.report.pictures import palette


@pytest.fixture(scope="module")
def scenes(trained: Trained, model: Model) -> list[Collection]:
    return collections(trained.path("results"), [], model)


@pytest.fixture(autouse=True)
def _in_the_folder(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    # The scenes' root is `resources/scenes`, relative to where the workflow ran.
    monkeypatch.chdir(trained.folder)


def test_hits_are_the_nearest_by_brute_force(trained: Trained, model: Model, scenes: list[Collection]) -> None:
    photo = trained.photos / "val_0003.jpg"
    queries = model.discover(photo).regions[:3]
    found = region_table.read(trained.path(paths.regions("heap", "scenes")))
    others = np.flatnonzero(found.table["image_id"] != "val_0003")
    cosine = found.embeddings[others] @ np.array([region.embedding for region in queries]).T
    order = np.argsort(-cosine.max(axis=1))[:10]
    hits = nearest(queries, scenes, 10, content_of(photo))
    assert hits["region_id"].tolist() == others[order].tolist()
    assert hits["similarity"].to_numpy() == pytest.approx(cosine.max(axis=1)[order], abs=1e-5)
    assert hits["query"].tolist() == [queries[n].token for n in cosine[order].argmax(axis=1)]
    assert hits["rank"].tolist() == list(range(1, 11))
    assert all(Path(file).is_file() for file in hits["file"])
    # A photo of the collection finds itself where nobody says which it is.
    own = nearest(queries[:1], scenes, 1).iloc[0]
    assert (own["photo"], own["token"]) == ("val_0003", queries[0].token)
    assert own["similarity"] == pytest.approx(1, abs=1e-5)


def test_regions_are_chosen_by_number_point_or_foreground(trained: Trained, model: Model) -> None:
    found = model.discover(trained.photos / "val_0001.jpg")
    assert query_regions(found) == [region for region in found.regions if region.foreground > 0.5]
    one = found.regions[1]
    assert query_regions(found, token=one.token) == [one]
    y, x = np.argwhere(found.region_mask(one))[0]
    assert query_regions(found, point=(int(x), int(y))) == [one]
    with pytest.raises(DataError, match="has no region 77"):
        query_regions(found, token=77)
    with pytest.raises(DataError, match="outside the photo"):
        query_regions(found, point=(500, 0))


@pytest.mark.parametrize("text", ["", "3", "1,2,3", "a,b", "-1,2"])
def test_a_point_that_is_none_is_named(text: str) -> None:
    with pytest.raises(DataError, match="expected X,Y"):
        parse_point(text)
    assert parse_point("310, 120") == (310, 120)


def heap(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["search", "--device", "cpu", *arguments], env={"COLUMNS": "160", "TERM": "dumb"})


def test_the_command_prints_writes_and_draws(trained: Trained, tmp_path: Path) -> None:
    photo = tmp_path / "[red] ü.jpg"
    shutil.copy(trained.photos / "val_0001.jpg", photo)
    table, picture = tmp_path / "near.csv", tmp_path / "near.png"
    done = heap(str(photo), "--top", "5", "--in", "scenes", "--out", str(table), "--picture", str(picture))
    assert done.exit_code == 0, done.output
    assert "[red] ü.jpg: searched with region" in done.output
    hits = pd.read_csv(table)
    assert len(hits) == 5
    assert "val_0001" not in set(hits["photo"])
    assert all(name in done.output for name in hits["photo"])
    with Image.open(picture) as image:
        # Six tiles in rows of four; each region is outlined in the colour of the query it is like.
        assert image.size == (4 * 248 + 8, 2 * 282 + 8)
        pixels = np.asarray(image).reshape(-1, 3)
    outlined = (pixels[:, None] == palette(6)).all(axis=2).any(axis=1)  # six regions a photo at most
    assert outlined.sum() > 6 * 50
    done = heap(str(photo), "--point", "64,48", "--out", str(tmp_path / "near.parquet"))
    assert done.exit_code == 0, done.output
    assert pd.read_parquet(tmp_path / "near.parquet")["query"].nunique() == 1
    done = heap(str(photo), "--list")
    assert "foreground" in done.output
    for wrong in (["--region", "1", "--point", "1,1"], ["--out", "x.json"], ["--picture", "x.gif"], ["--in", "none"]):
        assert isinstance(heap(str(photo), *wrong).exception, DataError), wrong


def test_a_collection_by_another_head_is_refused(trained: Trained, model: Model, tmp_path: Path) -> None:
    found = cluster_table.read(trained.path(paths.clusters("scenes")))
    info = {**found.info, "head_sha256": "0" * 64, "model": "other"}
    cluster_table.write(tmp_path / paths.clusters("scenes"), cluster_table.Clusters(found.table, found.centroids, info))
    with pytest.raises(ModelError, match=r"by another head \(other, .*000000000000\) than the model's \(demo"):
        collections(tmp_path / "results", ["scenes"], model)
    with pytest.raises(DataError, match=r"no collection by the model demo .*by other heads: scenes \(other\)"):
        collections(tmp_path / "results", [], model)
    with pytest.raises(DataError, match=r"none\.parquet: no such collection \(there are: scenes\)"):
        collections(tmp_path / "results", ["none"], model)


def test_a_collection_of_two_datasets_tells_their_photos_apart(trained: Trained, model: Model, tmp_path: Path) -> None:
    results = tmp_path / "results"

    def at(path: str) -> Path:
        return tmp_path / path

    shutil.copytree(trained.path("results"), results)
    # The same scenes once more as a dataset of another name: every image_id is there twice.
    of_scenes, copied = (at(paths.maps("heap", name)) for name in ("scenes", "again"))
    shutil.copytree(paths.folder_of(of_scenes), paths.folder_of(copied))
    write_json(copied, {**read_json(of_scenes), "dataset": "again"})
    shutil.copy(at(paths.manifest("scenes")), at(paths.manifest("again")))
    found = region_table.read(at(paths.regions("heap", "scenes")))
    found.info["dataset"] = "again"
    region_table.write(at(paths.regions("heap", "again")), found)
    both, frozen = ("scenes", "again"), read_json(at(paths.settings("cluster", "scenes")))
    write_json(at(paths.settings("cluster", "both")), {**frozen, "name": "both"})
    cluster(
        at(paths.settings("cluster", "both")), [at(paths.regions("heap", name)) for name in both],
        [at(paths.maps("heap", name)) for name in both], at(paths.clusters("both")), at(paths.index("both")),
    )  # fmt: skip

    photo = trained.photos / "val_0003.jpg"
    seen = model.discover(photo)
    searched = collections(results, ["both"], model)
    hits = nearest(seen.regions[:1], searched, 6, content_of(photo))
    # Each region is found in both, equally near, and the photo itself in neither.
    assert set(hits["collection"]) == {"both"}
    assert sorted(hits["dataset"]) == ["again"] * 3 + ["scenes"] * 3
    assert hits["similarity"][::2].to_numpy() == pytest.approx(hits["similarity"][1::2].to_numpy(), abs=1e-5)
    assert "val_0003" not in set(hits["photo"])
    contact.draw(tmp_path / "near.png", seen, seen.regions[:1], hits, searched)
    assert (tmp_path / "near.png").is_file()
    # Without a name everything is searched, and a region that lies in two tables is told once, by its dataset's own.
    hits = nearest(seen.regions[:1], collections(results, [], model), 6, content_of(photo))
    assert not hits.duplicated(["dataset", "photo", "token"]).any()
    assert set(hits.loc[hits["dataset"] == "scenes", "collection"]) == {"scenes"}
    assert set(hits.loc[hits["dataset"] == "again", "collection"]) == {"both"}


def test_an_index_of_other_regions_is_refused(trained: Trained, model: Model, tmp_path: Path) -> None:
    shutil.copytree(trained.path("results/clusters"), tmp_path / "results/clusters")
    (one,) = collections(tmp_path / "results", [], model)
    assert one.index.ntotal == len(one.clusters.table)
    path = tmp_path / paths.index("scenes")
    path.write_bytes(path.read_bytes() + b"0")
    (again,) = collections(tmp_path / "results", [], model)
    with pytest.raises(DataError, match=r"scenes\.faiss: has sha256 .* the table of clusters says"):
        _ = again.index
