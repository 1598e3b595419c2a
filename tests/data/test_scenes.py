"""The scenes: the same bytes for a seed, masks and boxes that agree exactly, VOC's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from defusedxml import ElementTree
from PIL import Image

from heap.data.scenes import CLASSES, generate
from heap.data.scenes.objects import covers_of, pose, union_of
from heap.data.scenes.scene import _label
from heap.data.scenes.stuff import PATTERNS, Light, spectral
from heap.data.scenes.voc import scene_of, voc_palette
from heap.settings.datasets import ScenesDataset

SMALL = ScenesDataset(layout="scenes", train_images=5, val_images=3, height_px=72, width_px=97, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes")
    generate(path, SMALL, path / "progress.json")
    return path


def listed(folder: Path, name: str) -> list[str]:
    return (folder / "ImageSets" / name).read_text().split()


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "progress.json"
    }


def test_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / folder.name  # the annotations name their folder
    generate(again, SMALL)
    assert files_of(again) == files_of(folder)


def test_a_scene_does_not_depend_on_how_many_there_are() -> None:
    more = SMALL.model_copy(update={"train_images": 50, "val_images": 1})
    one, two = scene_of(SMALL, "train", 4), scene_of(more, "train", 4)
    assert np.array_equal(one.photo, two.photo)
    assert np.array_equal(one.objects, two.objects)


def test_scenes_differ_by_number_split_and_seed() -> None:
    first = scene_of(SMALL, "train", 1).photo
    assert not np.array_equal(first, scene_of(SMALL, "train", 2).photo)
    assert not np.array_equal(first, scene_of(SMALL, "val", 1).photo)
    assert not np.array_equal(first, scene_of(SMALL.model_copy(update={"seed": 4}), "train", 1).photo)


@pytest.mark.parametrize("task", ["Main", "Segmentation"])
def test_lists_name_every_scene_once(folder: Path, task: str) -> None:
    train, val = listed(folder, f"{task}/train.txt"), listed(folder, f"{task}/val.txt")
    assert train == [f"train_{number:04d}" for number in range(1, 6)]
    assert val == [f"val_{number:04d}" for number in range(1, 4)]
    assert listed(folder, f"{task}/trainval.txt") == train + val
    for kind, suffix in (("JPEGImages", "jpg"), ("Annotations", "xml"), ("SegmentationClass", "png")):
        assert {path.name for path in (folder / kind).iterdir()} == {f"{i}.{suffix}" for i in train + val}


def test_classes_are_listed_in_the_order_of_their_ids(folder: Path) -> None:
    assert tuple((folder / "classes.txt").read_text().split()) == CLASSES
    assert 6 <= len(CLASSES) <= 8


def test_annotations_and_masks_agree_exactly(folder: Path) -> None:
    for identifier in listed(folder, "Main/trainval.txt"):
        photo = Image.open(folder / "JPEGImages" / f"{identifier}.jpg")
        assert (photo.mode, photo.size) == ("RGB", (97, 72))
        classes = np.asarray(Image.open(folder / "SegmentationClass" / f"{identifier}.png"))
        objects = np.asarray(Image.open(folder / "SegmentationObject" / f"{identifier}.png"))
        root = ElementTree.parse(folder / "Annotations" / f"{identifier}.xml").getroot()
        assert root.findtext("filename") == f"{identifier}.jpg"
        assert (root.findtext("size/width"), root.findtext("size/height")) == ("97", "72")
        items = root.findall("object")
        assert 1 <= len(items) <= 3
        assert np.array_equal(np.unique(objects), np.arange(len(items) + 1))
        assert np.array_equal(classes > 0, objects > 0)
        for number, item in enumerate(items, start=1):
            mask = objects == number
            assert np.unique(classes[mask]).tolist() == [CLASSES.index(item.findtext("name")) + 1]
            rows, columns = np.nonzero(mask)
            # VOC counts from 1 and includes the last row and column.
            box = [int(item.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax")]
            assert box == [columns.min() + 1, rows.min() + 1, columns.max() + 1, rows.max() + 1]
            assert item.findtext("difficult") == "0"
            assert item.findtext("truncated") in {"0", "1"}


def test_masks_are_indexed_with_vocs_colours(folder: Path) -> None:
    image = Image.open(folder / "SegmentationClass" / "train_0001.png")
    assert image.mode == "P"
    # VOC: aeroplane 128 0 0, bicycle 0 128 0, ..., tv monitor (20) 0 64 128, void (255) 224 224 192.
    palette = voc_palette()
    assert palette[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
    assert palette[60:63] == [0, 64, 128]
    assert palette[765:] == [224, 224, 192]


def test_objects_are_neither_specks_nor_everything() -> None:
    shares = [(scene_of(SMALL, "train", number).objects > 0).mean() for number in range(1, 31)]
    assert min(shares) > 0.02
    assert max(shares) < 0.7
    assert 0.12 < np.mean(shares) < 0.32


def test_the_nearer_object_hides_the_farther() -> None:
    rng = np.random.default_rng(0)
    posed = [pose(rng, "vase", 400.0, 0.0), pose(rng, "vase", 400.0, 0.0)]
    far, near = np.zeros((20, 20), np.float32), np.zeros((20, 20), np.float32)
    far[2:12, 2:12], near[8:18, 8:18] = 1.0, 1.0
    hiding = np.zeros((20, 20), np.float32)
    hiding[2:4, 2:12] = 1.0  # a stick over two rows of the farther one
    scene = _label(np.zeros((20, 20, 3), np.uint8), posed, [far, near], hiding)
    assert (scene.objects == 2).sum() == 100
    assert (scene.objects == 1).sum() == 100 - 16 - 20
    assert scene.instances[0].box == (2, 4, 12, 12)
    assert [instance.occluded for instance in scene.instances] == [True, False]


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_covers_the_area_that_was_asked_for(name: str) -> None:
    item = pose(np.random.default_rng(1), name, 3000.0, 0.2)
    left, top, _, _ = item.box
    area = union_of(covers_of(item.shifted(10 - left, 10 - top), (300, 300)), (300, 300)).sum()
    assert area == pytest.approx(3000, rel=0.08)


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_are_finite_and_bounded_at_any_size(name: str) -> None:
    for shape in ((2, 2), (7, 61)):
        pattern = PATTERNS[name](np.random.default_rng(0), shape, 5.0, 0.3)
        assert pattern.shape == shape
        assert pattern.dtype == np.float32
        assert np.abs(pattern).max() <= 1.3


def test_spectral_noise_is_standardised_and_stretched_along_its_angle() -> None:
    noise = spectral(np.random.default_rng(0), (64, 96), 6.0, angle=0.0, stretch=8.0)
    assert noise.mean() == pytest.approx(0, abs=1e-4)
    assert noise.std() == pytest.approx(1, abs=1e-3)
    # Strands lie along the columns: neighbours in a row are alike, neighbours in a column are not.
    assert np.abs(np.diff(noise, axis=1)).mean() < 0.5 * np.abs(np.diff(noise, axis=0)).mean()


def test_light_falls_on_the_side_that_faces_it() -> None:
    from heap.data.scenes.objects import shade

    rows, columns = np.mgrid[:41, :41] - 20.0
    disc = (np.hypot(rows, columns) < 18).astype(np.float32)
    diffuse, _ = shade(disc, 1.0, Light(rows=-1.0, columns=0.0, height=0.7, ambient=0.3), 0.0)
    assert diffuse[8, 20] > diffuse[32, 20] + 0.2
