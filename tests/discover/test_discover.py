"""A photo through `discover` gives what the pipeline gave for it; photos come in any form."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from discover.small import Trained, make
from PIL import Image

from heap import paths
from heap.cache.maps import MapReader
from heap.cluster import table
from heap.cluster.objects import View
from heap.discover.folder import Centroids
from heap.discover.model import Model, assign_clusters, load
from heap.discover.result import Discovery
from heap.errors import PhotoError
from heap.group import regions


def check_against_the_pipeline(trained: Trained, model: Model) -> None:
    """Every figure of every photo; the tolerance is that of float32 sums in batches of another size."""
    maps = MapReader(trained.path(paths.maps("heap", "scenes")))
    clusters = table.read(trained.path(paths.clusters("scenes"))).table
    embeddings = regions.read(trained.path(paths.regions("heap", "scenes"))).embeddings
    coco = json.loads(trained.path(paths.masks("scenes")).read_text())
    ids = [str(image_id) for image_id in maps.images["image_id"]]
    found = model.discover([trained.photos / f"{image_id}.jpg" for image_id in ids])
    assert len(found) == len(ids) == 12
    for row, (image_id, one) in enumerate(zip(ids, found, strict=True)):
        assert np.array_equal(maps.region(row), one.token_map)
        mine = clusters[clusters["image_id"] == image_id]
        ours = one.table()
        for name in ("token", "cluster", "area_px"):
            assert mine[name].tolist() == ours[name].tolist(), (image_id, name)
        assert [list(box) for box in mine["box"]] == [list(box) for box in ours["box"]]
        for name in ("foreground", "distance"):
            assert mine[name].to_numpy() == pytest.approx(ours[name].to_numpy(), abs=1e-5)
        assert np.abs(embeddings[mine.index] - [region.embedding for region in one.regions]).max() < 1e-5
        with Image.open(trained.path(f"results/masks/scenes/{image_id}.png")) as image:
            assert np.array_equal(np.asarray(image) > 0, one.mask)
        number = next(image["id"] for image in coco["images"] if image["heap_id"] == image_id)
        objects = [item for item in coco["annotations"] if item["image_id"] == number]
        assert [item["category_id"] for item in objects] == [item.cluster + 1 for item in one.instances]
        boxes = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in (item.box for item in one.instances)]
        assert [item["bbox"] for item in objects] == boxes
        assert [item["area"] for item in objects] == [item.mask.sum() for item in one.instances]
        assert [item["score"] for item in objects] == pytest.approx([i.score for i in one.instances], abs=1e-5)
    assert sum(len(one.instances) for one in found) == len(coco["annotations"]) > 0


def test_a_photo_gives_the_figures_of_the_pipeline(trained: Trained, model: Model) -> None:
    check_against_the_pipeline(trained, model)


def test_so_it_does_where_the_cache_holds_8_bits(tmp_path: Path) -> None:
    trained = make(tmp_path, storage="uint8")
    check_against_the_pipeline(trained, load(trained.path("results/models/demo"), device="cpu"))


def photo(trained: Trained) -> Path:
    return trained.photos / "val_0001.jpg"


def same(one: Discovery, two: Discovery) -> bool:
    # A batch sums in another order than a photo alone, where torch has several threads: the maps agree to rounding.
    return bool(
        np.allclose(one.saliency, two.saliency, rtol=0, atol=1e-5)
        and [r.token for r in one.regions] == [r.token for r in two.regions]
        and len(one.instances) == len(two.instances)
    )


def test_path_image_and_array_are_the_same_photo(trained: Trained, model: Model) -> None:
    path = photo(trained)
    expected = model.discover(path)
    with Image.open(path) as image:
        assert same(model.discover(image), expected)
        pixels = np.asarray(image)
    assert same(model.discover(str(path)), expected)
    assert same(model.discover(pixels), expected)
    # A fully opaque alpha changes nothing; a photo out of a generator is one of several.
    opaque = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    assert same(model.discover(opaque), expected)
    (alone,) = model.discover(one for one in [path])
    assert same(alone, expected)


def test_what_is_printed_of_a_photo_is_short(trained: Trained, model: Model) -> None:
    text = repr(model.discover(photo(trained)))
    assert len(text) < 1000, text
    assert "array" not in text
    assert "score=" in text


def test_a_batch_comes_back_in_order_whatever_the_sizes(trained: Trained, model: Model) -> None:
    first, second = (trained.photos / f"val_000{n}.jpg" for n in (1, 2))
    with Image.open(second) as image:
        small = image.resize((72, 56))
    found = model.discover([first, small, second])
    assert [one.size for one in found] == [(96, 128), (56, 72), (96, 128)]
    assert same(found[0], model.discover(first))
    assert same(found[2], model.discover(second))
    assert model.discover([]) == []
    stacked = np.stack([np.asarray(Image.open(path)) for path in (first, second)])
    assert [same(a, b) for a, b in zip(model.discover(stacked), (found[0], found[2]), strict=True)] == [True, True]


def test_exif_orientation_is_applied(trained: Trained, model: Model, tmp_path: Path) -> None:
    with Image.open(photo(trained)) as image:
        pixels = np.asarray(image)
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(pixels)))  # upright once it is turned right by 90 degrees
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    expected = model.discover(pixels)
    assert same(model.discover(tmp_path / "turned.png"), expected)
    with Image.open(tmp_path / "turned.png") as image:
        assert same(model.discover(image), expected)
        assert image.size == (96, 128), "the caller's image stays as it was"


def test_transparency_is_laid_over_white(trained: Trained, model: Model) -> None:
    with Image.open(photo(trained)) as image:
        pixels = np.asarray(image)
    clear = np.dstack([pixels, np.zeros(pixels.shape[:2], np.uint8)])
    assert same(model.discover(clear), model.discover(np.full_like(pixels, 255)))


def test_large_photos_are_scaled_for_the_encoder_alone(trained: Trained, model: Model) -> None:
    with Image.open(photo(trained)) as image:
        large = image.resize((1280, 960))
    found = model.discover(large)
    assert found.mask.shape == found.saliency.shape == (960, 1280)
    assert found.photo.pixels.shape == (360, 480, 3)  # 480 px, what people's own photos get
    assert model.discover(large, max_px=128).token_map.shape == (12, 16)
    assert model.discover(large, resize_px=(64, 64)).token_map.shape == (8, 8)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((8, 8, 3), np.float32), ["float32", "multiply floats"]),
        (np.zeros((8, 8, 5), np.uint8), [r"\(8, 8, 5\)"]),
        (np.zeros((0, 8, 3), np.uint8), ["no pixels"]),
        (np.zeros((8, 8, 3), np.int64), ["int64"]),
        (np.zeros((8, 8), bool), ["bool"]),
    ],
)
def test_arrays_without_a_clear_meaning_are_refused(model: Model, array: np.ndarray, words: list[str]) -> None:
    for word in words:
        with pytest.raises(PhotoError, match=word):
            model.discover(array)


def test_what_is_no_photo_is_named(model: Model, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_text("no photo")
    with pytest.raises(PhotoError, match=r"broken\.jpg"):
        model.discover(tmp_path / "broken.jpg")
    with pytest.raises(PhotoError, match=r"none\.jpg"):
        model.discover(str(tmp_path / "none.jpg"))
    with pytest.raises(PhotoError, match="image 1: a int"):
        model.discover([np.zeros((8, 8), np.uint8), 3])  # type: ignore[list-item]


def test_grey_is_a_photo_and_16_bit_is_scaled(model: Model) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (48, 64), dtype=np.uint8)
    rgb = np.dstack([grey] * 3)
    assert same(model.discover(grey), model.discover(rgb))
    assert same(model.discover(grey.astype(np.uint16) * 257), model.discover(rgb))


def test_a_point_leads_to_its_region(trained: Trained, model: Model) -> None:
    found = model.discover(photo(trained))
    for region in found.regions:
        y, x = np.argwhere(found.region_mask(region))[0]
        assert found.region_at(int(x), int(y)) is region
        assert found.region_mask(region).sum() == region.area_px
    with pytest.raises(ValueError, match="outside the photo of 128 x 96 px"):
        found.region_at(128, 0)


def test_the_picture_darkens_all_but_the_objects(trained: Trained, model: Model) -> None:
    found = model.discover(photo(trained))
    picture = np.asarray(found.picture()).astype(int)
    pixels = found.photo.pixels.astype(int)
    assert picture.shape == pixels.shape
    outside = ~found.mask
    for one in found.instances:
        x1, y1, x2, y2 = one.box
        outside[max(0, y1 - 2) : y2 + 2, max(0, x1 - 2) : x2 + 2] = False
    assert outside.any()
    assert np.abs(picture[outside] - pixels[outside] / 2).max() <= 1
    assert max(found.picture(longest_px=64).size) == 64


def test_foreground_is_compared_with_foreground_centroids_only() -> None:
    eye = np.eye(4, dtype=np.float32)
    view = View(0, 4, np.zeros(4, np.float32), None, None)
    clusters = Centroids(eye, 2, 2, "set", {"foreground": view, "background": view})
    tokens, weight = np.arange(4, dtype=np.int16), np.ones(4, np.float32)
    number, distance = assign_clusters(
        eye[[0, 2, 3, 3]], np.array([True, True, False, False]), clusters, tokens[None], tokens, weight
    )
    # The second is orthogonal to both foreground centroids: distance 1, and not the background centroid it equals.
    assert number[[0, 2, 3]].tolist() == [0, 3, 3]
    assert number[1] in (0, 1)
    assert distance.tolist() == [0, 1, 0, 0]
    number, distance = assign_clusters(eye, np.ones(4, bool), None, tokens[None], tokens, weight)
    assert (number == -1).all()
    assert np.isnan(distance).all()
