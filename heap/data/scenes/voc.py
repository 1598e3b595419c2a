"""Scenes as files, in PASCAL VOC's layout: photos, boxes, class and object masks, lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from PIL import Image

from heap.data.scenes.objects import CLASSES
from heap.data.scenes.scene import Scene, draw_scene
from heap.files import atomic_path, write_text
from heap.progress import track
from heap.settings.datasets import ScenesDataset

JPEG_QUALITY = 92
"""As cameras store; visible artefacts would be a texture of their own."""
SPLITS = ("train", "val")
"""Order matters: a split's place is part of its scenes' seeds."""


def scene_of(settings: ScenesDataset, split: str, number: int) -> Scene:
    """Draw scene `number` (from 1) of a split.

    Each scene has its own seed, made of the dataset's seed, the split and the number: it is the same whatever is drawn
    before it and however many scenes there are.
    """
    rng = np.random.default_rng([settings.seed, SPLITS.index(split), number])
    return draw_scene(rng, settings.height_px, settings.width_px)


def generate(folder: Path, settings: ScenesDataset, progress_file: Path | None = None) -> None:
    """Draw the scenes and write them to `folder` in PASCAL VOC's layout.

    Running it again writes the same bytes again, so an interrupted run is simply repeated.

    Args:
        folder: gets JPEGImages, Annotations, SegmentationClass, SegmentationObject, ImageSets and classes.txt.
        settings: how many scenes of which size, and the seed.
        progress_file: where the progress is kept for `heap status`; None keeps none.
    """
    names = {
        split: [f"{split}_{number:04d}" for number in range(1, count + 1)]
        for split, count in zip(SPLITS, (settings.train_images, settings.val_images), strict=True)
    }
    total = sum(len(ids) for ids in names.values())
    for identifier, scene in track(_all(settings, names), total, "scenes", f"drawing {folder.name}", progress_file):
        _write(folder, identifier, scene)
    lists = {**names, "trainval": names["train"] + names["val"]}
    for task in ("Main", "Segmentation"):
        for split, ids in lists.items():
            write_text(folder / "ImageSets" / task / f"{split}.txt", "".join(f"{i}\n" for i in ids))
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in CLASSES))


def _all(settings: ScenesDataset, names: dict[str, list[str]]) -> Iterator[tuple[str, Scene]]:
    for split, ids in names.items():
        for number, identifier in enumerate(ids, start=1):
            yield identifier, scene_of(settings, split, number)


def voc_palette() -> list[int]:
    """Return VOC's colours of the indices 0-255 as flat RGB: bits of the index, dealt out to the channels in turn."""
    colours = np.zeros((256, 3), np.uint8)
    index = np.arange(256)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((index >> (3 * bit + channel)) & 1).astype(np.uint8) << (7 - bit)
    return [int(value) for value in colours.ravel()]


def _write(folder: Path, identifier: str, scene: Scene) -> None:
    with atomic_path(folder / "JPEGImages" / f"{identifier}.jpg") as path:
        Image.fromarray(scene.photo).save(path, quality=JPEG_QUALITY)
    _write_mask(folder / "SegmentationClass" / f"{identifier}.png", scene.classes())
    _write_mask(folder / "SegmentationObject" / f"{identifier}.png", scene.objects)
    write_text(folder / "Annotations" / f"{identifier}.xml", _annotation(folder.name, identifier, scene))


def _write_mask(path: Path, mask: npt.NDArray[np.uint8]) -> None:
    image = Image.fromarray(mask).convert("P")
    image.putpalette(voc_palette())
    with atomic_path(path) as temporary:
        image.save(temporary)


def _annotation(folder: str, identifier: str, scene: Scene) -> str:
    """Return VOC's XML; its boxes are 1-based with the last row and column included."""
    height, width = scene.objects.shape
    root = ElementTree.Element("annotation")
    _child(root, "folder", folder)
    _child(root, "filename", f"{identifier}.jpg")
    size = ElementTree.SubElement(root, "size")
    for key, value in (("width", width), ("height", height), ("depth", 3)):
        _child(size, key, value)
    _child(root, "segmented", 1)
    for instance in scene.instances:
        item = ElementTree.SubElement(root, "object")
        _child(item, "name", instance.name)
        _child(item, "pose", "Unspecified")
        _child(item, "truncated", int(instance.truncated))
        _child(item, "occluded", int(instance.occluded))
        _child(item, "difficult", 0)
        box = ElementTree.SubElement(item, "bndbox")
        left, top, right, bottom = instance.box
        for key, value in (("xmin", left + 1), ("ymin", top + 1), ("xmax", right), ("ymax", bottom)):
            _child(box, key, value)
    ElementTree.indent(root, "\t")
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _child(parent: ElementTree.Element, tag: str, value: str | int) -> None:
    ElementTree.SubElement(parent, tag).text = str(value)
