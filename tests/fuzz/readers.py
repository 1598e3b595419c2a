"""Every reader of files that may come damaged or from strangers: a valid file, and what is done with it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from discover.small import REPOSITORY, Trained

from heap import paths
from heap.cache.extract import gather
from heap.cache.maps import MapReader
from heap.cache.notes import stamp
from heap.cache.reader import FeatureReader
from heap.cache.verify import verify_files
from heap.cluster import table as cluster_table
from heap.data import coco, manifest
from heap.data.fetch import read_receipt
from heap.data.masks import paint, read_class_mask, read_mask
from heap.data.photos import photo_size, read_photo
from heap.data.unpack import is_archive, unpack
from heap.data.voc import read_annotation
from heap.discover.find import find
from heap.encoders.weights import check_receipt, read_state, read_weights
from heap.errors import DataError
from heap.evaluate import semantic
from heap.evaluate.comparison import Source, compare
from heap.files import write_json
from heap.group import regions
from heap.head import folder as heads
from heap.head.checkpoint import Checkpoint
from heap.report.figures import read_history
from heap.segment.masks_json import annotations_of, read_masks
from heap.settings import load
from heap.settings.config import read
from heap.settings.freeze import read_frozen
from heap.settings.resolved import STAGE_VERSION


@dataclass(frozen=True)
class Reader:
    """One kind of file.

    Attributes:
        name: of the test.
        file: a valid one.
        read: reads it and uses what it read.
        named: the name that a damaged copy must bear, in a folder of its own.
        beside: files and folders that it speaks of, linked beside the copy.
    """

    name: str
    file: Path
    read: Callable[[Path], object]
    beside: tuple[Path, ...] = ()

    def place(self, folder: Path, content: bytes) -> Path:
        """Write a damaged copy, with what belongs beside it, and return it."""
        copy = folder / self.file.name
        copy.write_bytes(content)
        for other in self.beside:
            if not (folder / other.name).exists():
                (folder / other.name).symlink_to(other)
        return copy


def checkpoint(content: bytes) -> bytes:
    """Return the bytes of a training's checkpoint: a checksum, then what torch writes."""
    return hashlib.sha256(content).digest() + content


def features(receipt: Path) -> None:
    reader = FeatureReader(receipt)
    for i in range(len(reader)):
        reader.features(i), reader.attention(i), reader.cls(i)
    for shard in range(reader.receipt.shards):
        reader.shard(shard)
    reader.rows_of(["train_0001"])


def patch_maps(receipt: Path) -> None:
    reader = MapReader(receipt)
    for i in range(len(reader)):
        reader.foreground(i), reader.region(i)


def in_coco(path: Path) -> None:
    found = coco.read_instances(path)
    classes = {category: number for number, category in enumerate(sorted(found.categories), start=1)}
    for image in found.images:
        painted(path, found.annotations[image["id"]], classes)


def ours(path: Path) -> None:
    """The masks JSON of `segment`, as evaluate reads it."""
    found = read_masks(path)
    for listed in annotations_of(found).values():
        try:
            semantic.describe(listed, np.zeros((96, 128), np.uint8), 3)
        except ValueError as error:  # the job, which describes, names the photo in the same way
            raise DataError(f"{path}: {error}") from error


def painted(path: Path, annotations: list[dict[str, Any]], classes: dict[int, int]) -> None:
    try:
        paint(annotations, classes, (48, 64))
    except ValueError as error:  # the manifest, which paints, names the photo in the same way
        raise DataError(f"{path}: {error}") from error


def weights_receipt(path: Path) -> None:
    receipt = read_weights(path)
    if receipt.source not in ("random", "none"):
        check_receipt(receipt)


def archive(path: Path) -> None:
    if is_archive(path):
        unpack(path, path.parent / "out", path.parent / "work")


def verified(path: Path) -> None:
    list(verify_files(path.parent, "scenes", None))


def clusters(path: Path) -> None:
    assert cluster_table.read(path).foreground_clusters >= 0


def parts_of(path: Path) -> None:
    gather([path], path.parent / "scenes", path.parent / "scenes.parquet", path.parent / "again.json")


def frozen(stage: str) -> Callable[[Path], object]:
    return lambda path: read_frozen(path, stage)


COCO: dict[str, Any] = {
    "images": [{"id": n, "file_name": f"{n}.jpg", "height": 48, "width": 64} for n in (1, 2)],
    "categories": [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 7, "bbox": [4, 4, 20, 10], "iscrowd": 0,
         "segmentation": [[4.0, 4.0, 24.0, 4.0, 24.0, 14.0, 4.0, 14.0]]},
        {"id": 2, "image_id": 1, "category_id": 9, "bbox": [0, 0, 5, 5], "iscrowd": 1,
         "segmentation": {"size": [48, 64], "counts": [100, 50, 2922]}},
        {"id": 3, "image_id": 2, "category_id": 9, "bbox": [1.5, 2, 3, 4], "iscrowd": 0,
         "segmentation": {"size": [48, 64], "counts": "SV1"}},
    ],
}  # fmt: skip


def readers(trained: Trained, folder: Path) -> list[Reader]:
    """Return all readers; files that the small dataset lacks are written to `folder`."""

    def made(name: str, content: bytes) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    def of(path: str) -> Path:
        return trained.path(path)

    features_receipt, maps_receipt = of(paths.features("scenes")), of(paths.maps("heap", "scenes"))
    head_receipt = of(paths.head("demo"))
    store = next(paths.folder_of(features_receipt).glob("*.zarr"))
    maps_store = next(paths.folder_of(maps_receipt).glob("*.zarr"))
    head = paths.folder_of(head_receipt) / "head.safetensors"
    scenes = of("resources/scenes")
    model = of(paths.model("demo")).with_suffix("")
    state = {"teacher": {"backbone.a": torch.arange(6.0), "backbone.b": torch.ones(2, 2)}}
    torch.save(state, folder / "weights.pth")
    saved = io.BytesIO()
    torch.save({"identity": "x", "iteration": 3, "head": {"a": torch.ones(3)}, "history": []}, saved)
    made("checkpoint.pt", checkpoint(saved.getvalue()))
    zip_ = folder / "a.zip"
    with zipfile.ZipFile(zip_, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("d/a.txt", b"alpha" * 50)
        packed.writestr("b.txt", b"beta")
    tar = folder / "a.tar.gz"
    with tarfile.open(tar, "w:gz") as packed_tar:
        packed_tar.add(scenes / "Annotations", "Annotations")
    rest = [
        Reader("manifest", of(paths.manifest("scenes")), lambda path: manifest.read(path).rows("val")),
        Reader("voc", next(iter(sorted((scenes / "Annotations").glob("*.xml")))), read_annotation),
        Reader("coco", made("coco.json", json.dumps(COCO).encode()), in_coco),
        Reader("config", made("config.yaml", yaml.safe_dump(read(SHIPPED)).encode()), load),
        Reader("checkpoint of an encoder (pth)", folder / "weights.pth", read_state),
        Reader("checkpoint of an encoder (safetensors)", head, read_state),
        Reader("head", head, lambda path: heads.load(path, "cpu")),
        Reader("checkpoint of a training", folder / "checkpoint.pt", lambda path: Checkpoint(path, "x").read()),
        Reader("receipt of a training", head_receipt, heads.weights_of, (paths.folder_of(head_receipt),)),
        Reader("receipt of fetching", of(paths.fetch_receipt("scenes")), read_receipt),
        Reader("receipt of weights", made("random.json", WEIGHTS), weights_receipt),
        Reader("receipt of features", features_receipt, features, (paths.folder_of(features_receipt),)),
        Reader("receipt of a part", of(paths.features_part("scenes", "1-of-1")), parts_of,
               (paths.folder_of(features_receipt), of(paths.manifest("scenes")))),
        Reader("plan of a store", store / "images.parquet", verified,
               tuple(one for one in store.iterdir() if one.name != "images.parquet")),
        Reader("description of a store", store / "store.json",
               verified,
               tuple(one for one in store.iterdir() if one.name != "store.json")),
        Reader("receipt of maps", maps_receipt, patch_maps, (paths.folder_of(maps_receipt),)),
        Reader("plan of maps", maps_store / "images.parquet", map_store,
               tuple(one for one in maps_store.iterdir() if one.name != "images.parquet")),
        Reader("table of regions", of(paths.regions("heap", "scenes")), regions.read),
        Reader("table of clusters", of(paths.clusters("scenes")), clusters),
        Reader("masks as COCO", of(paths.masks("scenes")), ours),
        Reader("mask", next(iter(sorted(paths.folder_of(of(paths.masks("scenes"))).glob("*.png")))), read_mask),
        Reader("class mask", next(iter(sorted((scenes / "SegmentationClass").glob("*.png")))), read_class_mask),
        Reader("photo", next(iter(sorted((scenes / "JPEGImages").glob("*.jpg")))), photo),
        Reader("model", model / "model.json", lambda path: find(path.parent).identity,
               (model / "head.safetensors", model / "clusters.safetensors")),
        Reader("zip", zip_, archive),
        Reader("tar", tar, archive),
        Reader("history", of(paths.history("demo")), read_history),
        Reader("metrics", made("metrics.csv", METRICS), lambda path: compare([Source.read(path)])),
    ]  # fmt: skip
    for stage in STAGE_VERSION:
        for path in sorted(of(f"results/settings/{stage}").glob("*.json")):
            rest.append(Reader(f"frozen settings of {stage}", path, frozen(stage)))
    return rest


SHIPPED = REPOSITORY / "config/config.yaml"
WEIGHTS = json.dumps({"source": "file", "file": "weights.pth", "sha256": "a" * 64}).encode()
METRICS = (
    b"dataset,task,method,variant,metric,value,images,low,high\n"
    b"scenes,saliency,heap,multi,iou,0.5,4,0.4,0.6\nscenes,saliency,everything,multi,iou,0.2,4,0.1,0.3\n"
)


def photo(path: Path) -> None:
    photo_size(path)
    read_photo(path, max_px=64)


def map_store(path: Path) -> None:
    """The plan of a method's maps, by way of a receipt that is whole."""
    receipt = path.parent.with_name("receipt.json")
    receipt.with_suffix("").mkdir(exist_ok=True)
    link = receipt.with_suffix("") / "x.zarr"
    if not link.exists():
        link.symlink_to(path.parent)
    files = {name: stamp(link / name) for name in ("images.parquet", "foreground/zarr.json", "region/zarr.json")}
    write_json(receipt, {"store": "x.zarr", "regions": True, "method": "heap", "dataset": "scenes", "patch_px": 8,
                         "encoder": "x", "fingerprint": "x", "skipped": [], "images": 12, "files": files})  # fmt: skip
    patch_maps(receipt)
