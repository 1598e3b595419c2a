"""Datasets: where the files come from, how they are laid out, how photos are read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from heap.settings.base import Count, Name, Settings, Sha256, Sides
from heap.settings.stages import ChosenK, K

AnnotatedOn = Literal["auto", "stored", "upright"]


class Archive(Settings):
    """One file to download."""

    url: Annotated[str, Field(pattern=r"^https?://")]
    """Where the publisher serves it."""
    sha256: Sha256 | None = None
    """Checksum; without one the first download's is recorded in the receipt."""
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    """Checksum as older publishers give it; guards against damage, not against malice."""
    into: str = "."
    """Folder below the dataset's, where it is unpacked (or put, when it is no archive)."""


class DatasetBase(Settings):
    """Keys every dataset has."""

    root: str | None = None
    """Folder that holds the files already; null: `resources/{files or name}`, filled by fetch."""
    files: Name | None = None
    """Another dataset whose files this one reads, so that they are fetched once."""
    model: Name = "benchmarks"
    """The model (key of `models`) whose encoder and head this dataset goes through."""
    foreground_clusters: K | None = None
    """k of its foreground objects, or a range that it is chosen from, {choose: [5, 40]}; null takes
    cluster.foreground."""
    archives: list[Archive] = []
    """What fetch downloads."""
    expected_images: Count | None = None
    """Published number of images; another number found is reported in every table."""
    resize_px: Sides | None = None
    """[height, width] every image is resized to (bicubic); null keeps each image's own size."""
    max_px: Count | None = None
    """Longest side allowed: larger photos are scaled down to it; null scales nothing."""
    max_patches: Count = 65536
    """Photos of more patches are refused: 65536 are 2048 x 2048 px at a patch of 8. Raise it, or scale with max_px."""
    on_bad_image: Literal["fail", "skip"] = "fail"
    """A photo that is unreadable, too large, or does not fit its mask: stop with its name, or leave it out, counted and
    listed."""


class AnnotatedDataset(DatasetBase):
    """Keys of datasets with boxes or masks."""

    annotated_on: AnnotatedOn = "auto"
    """Pixels that boxes and masks were drawn on where a photo has an EXIF orientation: `stored` ones, or `upright` as a
    viewer shows them. `auto` goes by the annotated size, and takes upright where that is the same either way."""


class VocDataset(AnnotatedDataset):
    """PASCAL VOC's layout: JPEGImages, Annotations, SegmentationClass, ImageSets."""

    layout: Literal["voc"]
    year: Annotated[int, Field(ge=2005, le=2012)]
    """Picks the folder VOC{year} below the root."""
    splits: dict[Name, str]
    """Name of a split: its list below ImageSets, without .txt ("Main/trainval")."""
    boxes: bool = True
    """Read Annotations/*.xml."""
    class_masks: bool = False
    """Read SegmentationClass/*.png; every image of the splits must then have one."""
    class_mask_folder: str = "SegmentationClass"
    """Folder of the class masks (`SegmentationClassAug` for train_aug)."""


class CocoDataset(AnnotatedDataset):
    """COCO's layout: a folder of images and an instances JSON."""

    layout: Literal["coco"]
    images: str
    """Folder of the images, below the root."""
    annotations: str
    """Instances JSON, below the root."""
    image_list: str | None = None
    """Text file of file names (one a line) that picks the images; null takes all of the JSON."""
    class_masks: bool = False
    """Paint class masks from the JSON's polygons, next to the manifest; crowds become 255, ignored."""


class SaliencyDataset(AnnotatedDataset):
    """A folder of photos and a folder of binary masks of the same stems."""

    layout: Literal["saliency"]
    images: str
    """Folder of the photos, below the root."""
    masks: str | None
    """Folder of the masks (8 bit, same stem, .png); null: photos only."""


class FolderDataset(DatasetBase):
    """Any folder of photos, nested or not, without labels."""

    layout: Literal["folder"]
    on_bad_image: Literal["fail", "skip"] = "skip"
    foreground_clusters: K | None = ChosenK(choose=[2, 40])
    """As of every dataset; by default chosen, because nobody knows how many kinds of things a folder shows."""


class ScenesDataset(DatasetBase):
    """The embedded scenes, drawn by `heap.data.scenes` and written in PASCAL VOC's layout."""

    layout: Literal["scenes"]
    train_images: Count = 160
    """Scenes to train on."""
    val_images: Count = 80
    """Scenes to test on; none shares its random draw with a training scene."""
    height_px: Annotated[int, Field(ge=64, le=2048)] = 240
    """Height of a scene."""
    width_px: Annotated[int, Field(ge=64, le=2048)] = 320
    """Width of a scene."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of everything drawn."""


Dataset = Annotated[
    VocDataset | CocoDataset | SaliencyDataset | FolderDataset | ScenesDataset,
    Field(discriminator="layout"),
]
