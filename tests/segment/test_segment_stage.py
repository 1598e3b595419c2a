"""The stage on a planted dataset: masks and COCO instances as other programs read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cluster.world import World, clustered, freeze, make
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO
from scipy import ndimage

from heap.cluster import table as cluster_table
from heap.data import manifest as manifests
from heap.errors import DataError
from heap.segment.stage import segment
from heap.settings.stages import SegmentSettings

ODD = ["plain", "with space", "$(touch x)", "-rf", "Grüße/ä.jpg", "deep/er/<b>", "'; rm -rf *", *map(str, range(7, 12))]


def prepared(folder: Path, **world: Any) -> World:
    made = make(folder, **world)
    clustered(folder, made)
    return made


def run(world: World, workers: int | None = None, **settings: Any) -> Path:
    out = world.folder / "masks/tiny.json"
    frozen = freeze(world.folder, "segment", segment=SegmentSettings(**settings).model_dump(mode="json"))
    clusters, table = world.folder / "c.parquet", world.folder / "instances/tiny.parquet"
    segment(frozen, world.maps, clusters, world.manifest, out, table, workers)
    return out


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return prepared(tmp_path_factory.mktemp("world"), ids=ODD)


@pytest.fixture(scope="module")
def out(world: World) -> Path:
    return run(world, workers=1)


@pytest.fixture(scope="module")
def coco(out: Path) -> COCO:
    return COCO(out)


def test_pycocotools_decodes_exactly_the_components_of_the_png(world: World, out: Path, coco: COCO) -> None:
    assert len(coco.imgs) == len(ODD)
    for number, image_id in enumerate(ODD, start=1):
        with Image.open(out.with_suffix("") / f"{image_id}.png") as image:
            assert image.mode == "L"
            mask = np.asarray(image)
        assert set(np.unique(mask)) <= {0, 255}
        assert mask.shape == (coco.imgs[number]["height"], coco.imgs[number]["width"]) == world.masks[number - 1].shape
        # One planted object without a hole, in one cluster: components and instances are the same thing.
        labels, count = ndimage.label(mask)
        objects = coco.loadAnns(coco.getAnnIds(imgIds=number))
        assert len(objects) == count == 1
        decoded = coco.annToMask(objects[0]).astype(bool)
        assert np.array_equal(decoded, labels == 1)
        assert objects[0]["area"] == decoded.sum()
        assert 0.75 < objects[0]["score"] < 0.99  # high where the map is
        # The map is smooth, so the border may lie next to the planted one, but not by a patch.
        truth = world.masks[number - 1]
        assert (decoded & truth).sum() / (decoded | truth).sum() > 0.85


def test_photos_of_coco_keep_their_ids_so_that_results_load_against_its_json(tmp_path: Path) -> None:
    made = prepared(tmp_path, ids=ODD)
    manifest = manifests.read(made.manifest)
    manifest.table["coco_id"] = [1000 - 7 * i for i in range(len(manifest.table))]
    manifests.write(made.manifest, manifest)
    out = run(made)
    of_dataset, results = tmp_path / "instances.json", json.loads(out.read_text())
    named = zip(manifest.table["coco_id"], manifest.table["path"], strict=True)
    images = [{"id": number, "file_name": path} for number, path in named]
    of_dataset.write_text(json.dumps({"images": images, "annotations": [], "categories": results["categories"]}))
    loaded = COCO(of_dataset).loadRes(results["annotations"])
    assert len(loaded.anns) == len(results["annotations"]) > 0
    path_of = {one["id"]: one["file_name"] for one in images}
    assert {one["file_name"] for one in results["images"]} <= set(path_of.values())
    assert all(path_of[one["id"]] == one["file_name"] for one in results["images"])
    # The table speaks of the same photos.
    table = pd.read_parquet(tmp_path / "instances/tiny.parquet")
    heap_id = {one["id"]: one["heap_id"] for one in results["images"]}
    assert table["image_id"].tolist() == [heap_id[one["image_id"]] for one in results["annotations"]]


def test_categories_are_the_clusters_and_follow_the_planted_classes(world: World, coco: COCO) -> None:
    pairs = {(one["category_id"], world.classes[one["image_id"] - 1]) for one in coco.anns.values()}
    assert len(pairs) == 3
    assert {category for category, _ in pairs} == {1, 2, 3}
    # 6 = 3 foreground + 2 background clusters + 1: no cluster's number.
    assert {c: coco.cats[c]["name"] for c in coco.cats} == {
        1: "cluster 0", 2: "cluster 1", 3: "cluster 2", 6: "unclustered",
    }  # fmt: skip


def test_indexed_maps_hold_the_categories_of_the_instances(world: World, coco: COCO) -> None:
    for number, image_id in enumerate(ODD, start=1):
        with Image.open(world.folder / "instances/tiny" / f"{image_id}.png") as image:
            assert image.mode == "P"
            # VOC's first colours: black, maroon, green, olive.
            assert image.getpalette()[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
            values = np.asarray(image)
        painted = np.zeros(values.shape, dtype=np.uint8)
        for one in coco.loadAnns(coco.getAnnIds(imgIds=number)):
            painted[coco.annToMask(one).astype(bool)] = one["category_id"]
        assert painted.any()
        assert np.array_equal(values, painted)


def test_the_table_and_the_json_say_the_same(world: World, coco: COCO) -> None:
    table = pd.read_parquet(world.folder / "instances/tiny.parquet")
    assert table["instance_id"].tolist() == list(coco.anns)
    for row in table.itertuples():
        one = coco.anns[row.instance_id]
        assert row.image_id == coco.imgs[one["image_id"]]["heap_id"]
        assert (row.value, row.cluster) == (one["category_id"], one["category_id"] - 1)
        ys, xs = np.nonzero(rle.decode({"size": list(row.rle_size), "counts": row.rle_counts}))
        assert row.area_px == len(ys)
        assert row.box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        assert row.score == pytest.approx(one["score"], abs=1e-6)


def test_annotation_tools_find_the_keys_they_ask_for(out: Path) -> None:
    whole = json.loads(out.read_text())
    for part, keys in (
        ("images", {"id", "file_name", "height", "width"}),
        ("annotations", {"id", "image_id", "category_id", "bbox", "area", "segmentation", "iscrowd"}),
        ("categories", {"id", "name", "supercategory"}),
    ):
        assert all(keys <= set(one) for one in whole[part])
    assert len({one["id"] for one in whole["annotations"]}) == len(whole["annotations"])


def test_more_clusters_than_an_indexed_png_holds_are_refused(world: World, tmp_path: Path) -> None:
    found = cluster_table.read(world.folder / "c.parquet")
    many = cluster_table.Clusters(
        found.table, found.centroids, {**found.info, "k": {"foreground": 200, "background": 54}}
    )
    cluster_table.write(tmp_path / "c.parquet", many)
    frozen = freeze(tmp_path, "segment", segment={})
    with pytest.raises(DataError, match="200 foreground and 54 background clusters, expected at most 253 together"):
        segment(frozen, world.maps, tmp_path / "c.parquet", world.manifest, tmp_path / "m.json", tmp_path / "i.parquet")


def test_stale_masks_go_and_what_is_not_ours_stays(world: World) -> None:
    folder = world.folder / "masks/tiny"
    (folder / "old").mkdir(parents=True, exist_ok=True)
    (folder / "old/gone.png").write_bytes(b"")
    run(world)
    assert not (folder / "old").exists()
    assert len(list(folder.rglob("*.png"))) == len(ODD)
    assert not Path("x").exists()  # `$(touch x)` stayed a name


def test_the_same_bytes_whoever_does_the_work(world: World, out: Path) -> None:
    alone = out.read_bytes()
    assert run(world, workers=2).read_bytes() == alone


def test_an_empty_mask_is_written_too(tmp_path: Path) -> None:
    out = run(prepared(tmp_path, ids=ODD), threshold=1.0)
    assert json.loads(out.read_text())["annotations"] == []
    masks = list(out.with_suffix("").rglob("*.png"))
    assert len(masks) == len(ODD)
    assert all(not np.asarray(Image.open(mask)).any() for mask in masks)
    assert len(COCO(out).getImgIds()) == len(ODD)


def test_ids_that_climb_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    world = prepared(tmp_path / "w", ids=["a", "b", "../x"])
    with pytest.raises(DataError, match=r"image id '\.\./x'"):
        run(world)
    assert [path.name for path in (tmp_path / "w/masks").iterdir()] == [".tiny.lock"]
    assert not list(tmp_path.rglob("x.png"))


def test_another_dataset_is_refused(world: World, tmp_path: Path) -> None:
    receipt = json.loads(world.maps.read_text())
    other = world.maps.with_name("tiny2.json")
    other.write_text(json.dumps({**receipt, "dataset": "other"}))
    other.with_suffix("").symlink_to(world.maps.with_suffix(""))
    frozen = freeze(tmp_path, "segment", segment={})
    with pytest.raises(DataError, match=r"c\.parquet: is of tiny, but .* is of other"):
        segment(frozen, other, world.folder / "c.parquet", world.manifest, tmp_path / "m.json", tmp_path / "i.parquet")
