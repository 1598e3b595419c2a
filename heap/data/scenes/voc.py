"""Scenes as files, in PASCAL VOC's layout: photos, boxes, class and object masks, lists."""

from __future__ import annotations

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
    counts = dict(zip(SPLITS, (settings.train_images, settings.val_images), strict=True))
    every = [(split, number, f"{split}_{number:04d}") for split in SPLITS for number in range(1, counts[split] + 1)]
    for split, number, name in track(every, len(every), "scenes", f"drawing {folder.name}", progress_file):
        _write(folder, name, scene_of(settings, split, number))
    for task in ("Main", "Segmentation"):
        for listed in (*SPLITS, "trainval"):
            names = "".join(f"{name}\n" for split, _, name in every if listed in (split, "trainval"))
            write_text(folder / "ImageSets" / task / f"{listed}.txt", names)
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in CLASSES))


def voc_palette() -> list[int]:
    """Return VOC's colours of the indices 0-255 as flat RGB: bits of the index, dealt out to the channels in turn."""
    colours = np.zeros((256, 3), np.uint8)
    index = np.arange(256)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((index >> (3 * bit + channel)) & 1).astype(np.uint8) << (7 - bit)
    return [int(value) for value in colours.ravel()]


def _write(folder: Path, name: str, scene: Scene) -> None:
    with atomic_path(folder / "JPEGImages" / f"{name}.jpg") as path:
        Image.fromarray(scene.photo).save(path, quality=JPEG_QUALITY)
    _write_mask(folder / "SegmentationClass" / f"{name}.png", scene.classes())
    _write_mask(folder / "SegmentationObject" / f"{name}.png", scene.objects)
    write_text(folder / "Annotations" / f"{name}.xml", _annotation(folder.name, name, scene))


def _write_mask(path: Path, mask: npt.NDArray[np.uint8]) -> None:
    image = Image.fromarray(mask).convert("P")
    image.putpalette(voc_palette())
    with atomic_path(path) as temporary:
        image.save(temporary)


def _annotation(folder: str, name: str, scene: Scene) -> str:
    """Return VOC's XML; its boxes are 1-based with the last row and column included."""
    height, width = scene.objects.shape
    root = ElementTree.Element("annotation")
    _fill(root, folder=folder, filename=f"{name}.jpg")
    _fill(ElementTree.SubElement(root, "size"), width=width, height=height, depth=3)
    _fill(root, segmented=1)
    for one in scene.instances:
        item = ElementTree.SubElement(root, "object")
        flags = {"truncated": int(one.truncated), "occluded": int(one.occluded), "difficult": 0}
        _fill(item, name=one.name, pose="Unspecified", **flags)
        left, top, right, bottom = one.box
        _fill(ElementTree.SubElement(item, "bndbox"), xmin=left + 1, ymin=top + 1, xmax=right, ymax=bottom)
    ElementTree.indent(root, "\t")
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _fill(parent: ElementTree.Element, **values: str | int) -> None:
    for tag, value in values.items():
        ElementTree.SubElement(parent, tag).text = str(value)
