"""The page of a planted dataset: complete, escaped, alone."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from cluster.world import World
from PIL import Image
from report.page import EVIL, prepared, write

from heap.errors import DataError
from heap.evaluate.truth import Photo
from heap.report.gallery import cluster_cards
from heap.report.photos import choose, gather
from heap.report.stage import each_once


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return prepared(tmp_path_factory.mktemp("world"), ids=EVIL, encoder="descriptors <hand-made>")


@pytest.fixture(scope="module")
def page(world: World) -> str:
    return write(world, photos=18)


class Reader(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_names_of_files_stay_names(page: str) -> None:
    read = Reader(page)
    scripts = read.all("script")
    assert [script.get("type") for script in scripts].count(None) == 1  # the others are data, which nothing runs
    assert {script.get("type") for script in scripts} == {None, "application/json", "text/plain"}
    assert not any(key.startswith("on") for _, attributes in read.tags for key in attributes)
    assert not read.all("b")
    assert not read.all("odd")
    names = {attributes["data-name"] for attributes in read.all("article") if "data-name" in attributes}
    assert names == set(EVIL)  # the parser reads back exactly what was given
    text = "".join(read.text)
    assert "<b>mine</b>" in text
    assert "something is <odd>" in text
    assert "descriptors <hand-made>" in text


def test_the_page_asks_nobody_for_anything(page: str) -> None:
    assert not re.search(r"https?://", page)
    read = Reader(page)
    assert all((attributes["src"] or "").startswith("data:image/") for attributes in read.all("img"))
    assert all((attributes.get("href") or "").startswith(("#", "data:")) for attributes in read.all("a"))
    assert not [attributes for attributes in read.all("script") if "src" in attributes]
    assert "default-src 'none'" in page
    assert "@import" not in page
    assert "url(" not in re.sub(r"url\(#\w+\)", "", page)  # clip paths inside the drawings


def test_tables_warnings_curves_and_provenance_are_there(page: str) -> None:
    assert "87.6" in page
    assert "12.3" in page
    assert "<strong>87.6</strong>" in page
    assert "HAND-MADE" in page
    assert "something is &lt;odd&gt;" in page
    assert html.escape("<model>") in page
    assert page.count("<svg") == 2
    assert "&#34;seed&#34;: 3" in page


def test_a_warning_that_the_evaluation_repeats_is_told_once() -> None:
    told = [("ecssd", "300 images")]
    assert each_once(["ecssd: 300 images", "a method failed"], told) == [("", "a method failed"), *told]


def test_every_picture_has_words_and_every_photo_its_five(page: str) -> None:
    images = Reader(page).all("img")
    assert all(attributes["alt"] for attributes in images)
    crops = [attributes for attributes in images if (attributes["alt"] or "").startswith("Region of")]
    assert len(crops) == 18  # one object a photo, three clusters of six
    assert len(images) - len(crops) == 18 * 5


def test_links_lead_to_parts_of_the_page_and_regions_of_the_gallery(page: str) -> None:
    read = Reader(page)
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {(attributes["href"] or "")[1:] for attributes in read.all("a")}
    regions = {target for target in targets if target.startswith("tiny/region-")}
    assert targets - regions <= set(ids)
    assert {"tiny/cluster-0", "tiny/cluster-1", "tiny/cluster-2"} <= targets
    assert len(regions) == 18  # the crops; every photo's object is region 3 i + 2
    assert {int(target.split("-")[1]) % 3 for target in regions} == {2}


def test_the_gallery_knows_every_photo(page: str) -> None:
    (text,) = re.findall(r'<script type="application/json" class="dataset">(.*?)</script>', page, re.DOTALL)
    assert json.loads(text)["photos"] == EVIL
    assert "54 regions of 18 photos." in page


def test_same_input_same_page(world: World, page: str) -> None:
    assert write(world, photos=18) == page


def test_without_truth_photos_are_spread_evenly(tmp_path: Path) -> None:
    world = prepared(tmp_path / "w", truth=False)
    read = Reader(write(world, photos=4))
    cards = [attributes for attributes in read.all("article") if "data-name" in attributes]
    assert [card["data-name"] for card in cards] == ["photo_00", "photo_04", "photo_07", "photo_11"]
    assert "evenly spaced" in "".join(read.text)
    assert not [a for a in read.all("img") if (a["alt"] or "").startswith("True mask")]


def test_a_dataset_without_its_files_is_told(world: World) -> None:
    with pytest.raises(DataError, match="no table of clusters of dataset tiny"):
        write(world, clusters=[])
    with pytest.raises(DataError, match="a second file of dataset tiny"):
        write(world, manifests=[world.manifest, world.manifest])


def test_a_mask_that_is_gone_is_told(tmp_path: Path) -> None:
    world = prepared(tmp_path / "w")
    (world.folder / "masks/tiny/photo_03.png").unlink()
    with pytest.raises(DataError, match=r"photo_03\.png: not readable as a photo .* run segment again"):
        write(world)


def test_the_page_reads_true_masks_as_the_benchmark_does(tmp_path: Path) -> None:
    """Masks of 0 and 1 were empty on the page, whose worst photos so were chosen by chance."""
    world = prepared(tmp_path / "w")
    (found,) = gather([world.manifest], [world.maps], [world.folder / "c.parquet"], [world.folder / "masks/tiny.json"])
    first = found.photos([None])[0]
    assert first.mask is not None
    for value, reading, expected in ((1, "nonzero", True), (1, None, True), (1, "255", False), (255, None, True)):
        Image.fromarray(world.masks[0].astype(np.uint8) * np.uint8(value)).save(first.mask)
        assert (replace(found, reading=reading).truth(first) == (world.masks[0] & expected)).all()
    for path in {photo.mask for photo in found.photos([None]) if photo.mask is not None}:
        Image.fromarray((np.asarray(Image.open(path)) > 0).astype(np.uint8)).save(path)
    page = write(world, truth="nonzero")
    assert "True mask" in page
    assert not re.search(r"True mask of [^\"]*: 0% of the photo", page)


def photos(count: int) -> list[Photo]:
    return [Photo(f"p{i:02d}", "", (1, 1), None, None, None) for i in range(count)]


def test_best_median_and_worst() -> None:
    every = photos(21)
    ious = {photo.image_id: i / 20 for i, photo in enumerate(every)}
    chosen = choose(every, ious, 7)
    assert [(one.group, one.photo.image_id) for one in chosen] == [
        ("best", "p20"), ("best", "p19"), ("best", "p18"), ("median", "p11"), ("median", "p10"),
        ("worst", "p01"), ("worst", "p00"),
    ]  # fmt: skip


@pytest.mark.parametrize("count", range(1, 12))
@pytest.mark.parametrize("there", range(1, 12))
def test_no_photo_is_shown_twice_and_as_many_as_there_are(count: int, there: int) -> None:
    every = photos(there)
    ious = dict(zip([photo.image_id for photo in every], np.linspace(0, 1, there), strict=True))
    chosen = [one.photo.image_id for one in choose(every, ious, count)]
    assert len(chosen) == len(set(chosen)) == min(count, there)


def test_clusters_of_one_or_two_regions_are_folded_away(world: World) -> None:
    (found,) = gather([world.manifest], [world.maps], [world.folder / "c.parquet"], [world.folder / "masks/tiny.json"])
    table = found.clusters.table
    objects = table.index[table["kind"] == "foreground"]
    table.loc[objects, "cluster"] = np.where(np.arange(len(objects)) < 2, 1, 0).astype(np.int32)
    cards = cluster_cards(found, np.zeros((5, 3), np.uint8))
    assert [(one.number, one.regions, one.folded) for one in cards] == [(0, 16, False), (1, 2, True)]
    found.clusters.table["kind"] = np.where(table.index.isin(objects[:2]), "foreground", "background")
    assert [one.folded for one in cluster_cards(found, np.zeros((5, 3), np.uint8))] == [False], "nothing else to show"


def test_pictures_come_first(page: str) -> None:
    places = [page.index(f'id="{name}"') for name in ("photos-1", "gallery", "tables", "training")]
    assert places == sorted(places)


def test_the_page_of_a_dataset_has_no_tables(world: World) -> None:
    text = write(world, photos=18, alone=True)
    read = Reader(text)
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert "photos-1" in ids
    assert "gallery" in ids
    assert "training" in ids
    assert "tables" not in ids
    assert len(read.all("article")) > 18
    assert "IoU" in text, "its ground truth ranks the photos all the same"
