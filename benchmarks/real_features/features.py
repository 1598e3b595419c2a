"""Features of timm's mobilenetv2_100, SUPERVISED on ImageNet: a test bed of real features, never a result.

448 px in; the 96-channel map (28 x 28) and the 320-channel map upsampled to it, each unit over its channels, side by
side (416 values); "attention" is the length of the last map of 1280 channels.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from pycocotools.coco import COCO
from safetensors.torch import load_file

from benchmarks.headbed.bed import SIDE, Photos
from heap.data.voc import CLASSES as VOC_CLASSES
from heap.encoders.descriptors import Descriptors
from heap.settings.models import DescriptorEncoder

INPUT_PX = 448
# COCO's names of classes that PASCAL VOC calls otherwise.
_VOC_NAMES = {
    "airplane": "aeroplane", "motorcycle": "motorbike", "couch": "sofa", "potted plant": "pottedplant",
    "dining table": "diningtable", "tv": "tvmonitor",
}  # fmt: skip
WEIGHTS = "mobilenetv2_100_imagenet.safetensors"


def _model(weights: Path) -> torch.nn.Module:
    model = timm.create_model("mobilenetv2_100", pretrained=False, pad_type="same", num_classes=0)
    model.load_state_dict(load_file(weights))
    return model.eval()


@torch.inference_mode()
def _encode(model: torch.nn.Module, paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    features, attention = [], []
    for start in range(0, len(paths), 8):
        batch = [
            np.asarray(Image.open(p).convert("RGB").resize((INPUT_PX, INPUT_PX), Image.Resampling.BILINEAR))
            for p in paths[start : start + 8]
        ]
        x = (torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
        y = model.bn1(model.conv_stem(x))
        middle = None
        for stage in model.blocks:
            y = stage(y)
            if y.shape[1] == 96:
                middle = y
        assert middle is not None
        last = model.bn2(model.conv_head(y))
        high = F.interpolate(y, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        length = F.interpolate(last.norm(dim=1, keepdim=True), size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        both = torch.cat([F.normalize(middle, dim=1), F.normalize(high, dim=1)], 1)
        features.append(both.flatten(2).transpose(1, 2).numpy().astype(np.float16))
        attention.append(length.flatten(2).transpose(1, 2).numpy())
    return np.concatenate(features), np.concatenate(attention)


def _describe(paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """The project's hand-made descriptors of photos of 224 x 224 px."""
    encoder = Descriptors(DescriptorEncoder(kind="descriptors"))
    size = (SIDE * encoder.patch_px, SIDE * encoder.patch_px)
    found = [
        encoder.encode(np.asarray(Image.open(p).convert("RGB").resize(size, Image.Resampling.BILINEAR))[None])
        for p in paths
    ]
    return (
        np.concatenate([f.features for f in found]).astype(np.float16),
        np.concatenate([f.attention for f in found]),
    )


def parts(shared: Path, cache: Path, encoder: str) -> dict[str, Photos]:
    """Photos of ../shared: `train` (every second of ECSSD), `test` (the others) and `unlabelled` ones."""
    ecssd = sorted((shared / "data/ecssd/images").glob("*.jpg"))
    paths = {
        "train": ecssd[0::2],
        "test": ecssd[1::2],
        "unlabelled": sorted((shared / "data/photos").glob("*.jpg"))
        + sorted((shared / "data/voc_mini/VOC2012/JPEGImages").glob("*.jpg"))
        + sorted((shared / "data/coco_mini/train2014").glob("*.jpg")),
    }
    found = {}
    for part, files in paths.items():
        file = cache / f"{encoder}_{part}.npz"
        if not file.is_file():
            if encoder == "descriptors":
                features, attention = _describe(files)
            else:
                features, attention = _encode(_model(shared / f"data/weights/{WEIGHTS}"), files)
            cache.mkdir(parents=True, exist_ok=True)
            np.savez(file, features=features, attention=attention)
        stored = np.load(file)
        truth = None
        if part != "unlabelled":
            truth = np.stack([_truth(shared / "data/ecssd/ground_truth_mask" / f"{p.stem}.png") for p in files])
        known = np.stack([_classes(shared, p) for p in files]) if part == "unlabelled" else None
        found[part] = Photos(stored["features"], stored["attention"], truth, pictures(files), known)
    return found


def _classes(shared: Path, photo: Path) -> np.ndarray:
    """Class of each patch `(N,)`: PASCAL VOC's number, 100 + COCO's for its other classes, -1 for everything else."""
    if photo.parent.name == "JPEGImages":
        mask = Image.open(shared / f"data/voc_mini/VOC2012/SegmentationClass/{photo.stem}.png")
        seen = np.asarray(mask.resize((SIDE, SIDE), Image.Resampling.NEAREST), np.int16).ravel()
        return np.where((seen == 0) | (seen == 255), -1, seen).astype(np.int16)
    known = np.full((SIDE, SIDE), -1, np.int16)
    if photo.parent.name == "train2014":
        truth = _coco(shared / "data/coco_mini/instances_train2014.json")
        (image,) = (i for i in truth.dataset["images"] if i["file_name"] == photo.name)
        for found in sorted(truth.imgToAnns[image["id"]], key=lambda a: -a["area"]):
            if not found["iscrowd"]:
                mask = Image.fromarray(truth.annToMask(found) * 255).resize((SIDE, SIDE), Image.Resampling.BOX)
                name = truth.cats[found["category_id"]]["name"]
                shared_name = _VOC_NAMES.get(name, name)
                number = (
                    1 + VOC_CLASSES.index(shared_name) if shared_name in VOC_CLASSES else 100 + found["category_id"]
                )
                known[np.asarray(mask) > 127] = number
    return known.ravel()


@lru_cache(maxsize=1)
def _coco(path: Path) -> COCO:
    with contextlib.redirect_stdout(None):
        return COCO(path)


def pictures(paths: list[Path]) -> np.ndarray:
    """Photos of 8 px a patch, `(I, 224, 224, 3)` uint8."""
    size = (SIDE * 8, SIDE * 8)
    opened = (Image.open(p).convert("RGB").resize(size, Image.Resampling.BILINEAR) for p in paths)
    return np.stack([np.asarray(photo) for photo in opened])


def _truth(path: Path) -> np.ndarray:
    mask = Image.open(path).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    return (np.asarray(mask) > 127).ravel()


def reduced(photos: dict[str, Photos], dim: int) -> dict[str, Photos]:
    """The first `dim` principal components, of the photos that are trained on."""
    seen = [photos[part].features for part in ("train", "unlabelled")]
    x = np.concatenate([f.reshape(-1, f.shape[-1])[::7] for f in seen]).astype(np.float32)
    mean = x.mean(0)
    _, vectors = np.linalg.eigh(np.cov((x - mean).T))
    basis = vectors[:, ::-1][:, :dim].astype(np.float32)
    return {
        part: replace(p, features=((p.features.astype(np.float32) - mean) @ basis).astype(np.float16))
        for part, p in photos.items()
    }
