"""A configuration with every kind of encoder, dataset and task, and another valid value for every key of the schema."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from workflow.running import REPOSITORY

from heap.settings.config import read
from heap.settings.datasets import CocoDataset, DatasetBase, SaliencyDataset

CNN = {
    "kind": "cnn", "architecture": "mobilenetv2_100", "supervision": "SUPERVISED on ImageNet", "stages": [-1],
    "patch_px": 32,
}  # fmt: skip
KEPT_DATASETS = ("voc12", "voc12_seg", "coco20k", "duts_tr", "photos", "scenes")


def every_kind() -> dict[str, Any]:
    """The shipped configuration with fewer datasets, and what it has no example of."""
    config: dict[str, Any] = read(REPOSITORY / "config/config.yaml")
    datasets = config["datasets"]
    config["datasets"] = {name: datasets[name] for name in KEPT_DATASETS}
    config["datasets"] |= {
        "others": {**datasets["duts_te"], "model": "cnn"},
        "extra": {"layout": "saliency", "images": "images", "masks": None, "model": "cnn"},
        "more": {"layout": "folder", "root": "more", "model": "photos"},
        "drawn": {"layout": "scenes", "model": "demo"},
        "again": {"layout": "scenes", "model": "demo"},
        "crowds": {"layout": "coco", "images": "images", "annotations": "crowds.json"},
    }
    config["encoders"]["cnn"] = copy.deepcopy(CNN)
    config["models"]["cnn"] = {"encoder": "cnn", "train_on": "others"}
    config["models"]["second"] = {"encoder": "descriptors", "train_on": "scenes", "train_split": "train"}
    config["models"]["photos"] |= {"encoder": "descriptors"}
    config["collections"] = {"pair": {"datasets": ["scenes", "again"]}}
    config["train"]["seeds"] = [0]
    variants = {"full": {}, "no_inter": {"loss": {"inter": 0}}}
    config["ablation"] = {"benchmark": "demo", "model": "demo", "seeds": [0], "variants": variants}
    methods = ["heap", "found", "tokencut", "lost", "kmeans"]
    config["benchmarks"] = {name: config["benchmarks"][name] for name in ("demo", "voc", "coco20k")}
    config["benchmarks"]["small"] = {"tasks": [{"task": "discovery", "dataset": "again"}], "methods": ["heap"]}
    config["benchmarks"]["others"] = {"tasks": [{"task": "saliency", "dataset": "others"}], "methods": ["heap"]}
    config["benchmarks"]["demo"]["methods"] = methods
    config["benchmarks"]["voc"] = {
        "methods": methods,
        "tasks": [
            {"task": "discovery", "dataset": "voc12"}, {"task": "instances", "dataset": "voc12"},
            {"task": "retrieval", "dataset": "voc12_seg", "gallery": "train", "query": "val"},
        ],
    }  # fmt: skip
    config["benchmarks"]["coco20k"]["methods"] = ["heap"]
    return config


class At:
    """A value for the key at a given place, where the first one with this key will not do."""

    def __init__(self, path: str, value: Any) -> None:
        self.path, self.value = path, value


class Whole:
    """The settings that hold the key, replaced as a whole but for the keys `keep`: another kind has other keys."""

    def __init__(self, path: str, value: dict[str, Any], keep: Iterable[str] = ()) -> None:
        self.path, self.value, self.keep = path, value, tuple(keep)


_BASE = tuple(DatasetBase.model_fields)
_TREE = {"images": "elsewhere", "annotations": "elsewhere.json"}
_FOLDER = {"layout": "folder", "on_bad_image": "fail"}

# Pattern, or pattern and owner: another valid value. A key of the schema without one fails the test.
VALUES: dict[str | tuple[str, str], Any] = {
    ("encoders.*.kind", "VitEncoder"): Whole("encoders.dino_vits8", {"kind": "descriptors"}),
    ("encoders.*.kind", "CnnEncoder"): Whole("encoders.cnn", {"kind": "descriptors"}),
    ("encoders.*.kind", "DescriptorEncoder"): Whole("encoders.descriptors", CNN),
    ("encoders.*.architecture", "VitEncoder"): "dino_vitb8",
    ("encoders.*.architecture", "CnnEncoder"): "resnet18",
    "encoders.*.weights": "random",
    "encoders.*.sha256": "ab" * 32,
    "encoders.*.facet": "query",
    "encoders.*.block": -2,
    ("encoders.*.patch_px", "VitEncoder"): None,
    ("encoders.*.patch_px", "CnnEncoder"): 16,
    ("encoders.*.patch_px", "DescriptorEncoder"): 16,
    "encoders.*.supervision": "otherwise",
    "encoders.*.precision": "bfloat16",
    "encoders.*.batch_size": 3,
    "encoders.*.storage": "uint8",
    "encoders.*.stages": [-2],
    "encoders.*.attention_stage": -1,
    "encoders.*.pad_type": "same",
    "encoders.*.mean": [0.1, 0.2, 0.3],
    "encoders.*.std": [0.1, 0.2, 0.3],
    "models.*.encoder": At("models.photos.encoder", "cnn"),
    "models.*.train_on": At("models.cnn.train_on", "extra"),
    "models.*.train_split": At("models.demo.train_split", "val"),
    "models.*.min_train_images": At("models.demo.min_train_images", 3),
    "models.*.overrides": At("models.demo.overrides", {"steps": 7}),
    "train.seeds": [0, 3],
    "train.head.num_groups": 8,
    "train.head.num_layers": 1,
    "train.head.num_heads": 2,
    "train.head.temperature": 0.1,
    "train.head.init": "random",
    "train.head.token_attention": True,
    "train.loss.variant": "pure",
    "train.loss.intra": 2.0,
    "train.loss.negative": 0.0,
    "train.loss.inter": 0.5,
    "train.loss.correlation_threshold": 0.2,
    "train.loss.patches": 100,
    "train.loss.negative_own": 1.0,
    "train.loss.rank_decay": 0.5,
    "train.loss.min_area": 0.02,
    "train.loss.bank": 4096,
    "train.loss.prior": 0.2,
    "train.loss.warmup_share": 0.25,
    "train.steps": 401,
    "train.batch_size": 16,
    "train.learning_rate": 1e-3,
    "train.weight_decay": 0.0,
    "train.grad_clip": 2.0,
    "train.warmup_steps": 0,
    "train.precision": "bfloat16",
    "train.checkpoint_every": 7,
    "train.resident_gb": 1.0,
    "datasets.*.root": "/elsewhere",
    ("datasets.*.files", "VocDataset"): At("datasets.voc12_seg.files", "scenes"),
    ("datasets.*.files", "CocoDataset"): Whole(
        "datasets.coco20k", {"files": "scenes", "archives": []}, CocoDataset.model_fields
    ),
    ("datasets.*.files", "SaliencyDataset"): Whole(
        "datasets.duts_tr", {"files": "scenes", "archives": []}, SaliencyDataset.model_fields
    ),
    ("datasets.*.files", "FolderDataset"): Whole(
        "datasets.photos", {"files": "scenes", "root": None}, ("layout", *_BASE)
    ),
    ("datasets.*.files", "ScenesDataset"): At("datasets.scenes.files", "voc12"),
    ("datasets.*.model", "VocDataset"): At("datasets.voc12.model", "cnn"),
    ("datasets.*.model", "CocoDataset"): "cnn",
    ("datasets.*.model", "SaliencyDataset"): At("datasets.extra.model", "second"),
    ("datasets.*.model", "FolderDataset"): At("datasets.more.model", "cnn"),
    ("datasets.*.model", "ScenesDataset"): At("datasets.drawn.model", "cnn"),
    "datasets.*.archives.*.url": "https://mirror.example/a.tar",
    "datasets.*.archives.*.sha256": "cd" * 32,
    "datasets.*.archives.*.md5": "ef" * 16,
    "datasets.*.archives.*.into": "below",
    "datasets.*.expected_images": 333,
    "datasets.*.resize_px": [160, 160],
    "datasets.*.max_px": 320,
    "datasets.*.max_patches": 9999,
    ("datasets.*.on_bad_image", "FolderDataset"): "fail",
    "datasets.*.on_bad_image": "skip",
    ("datasets.*.layout", "VocDataset"): Whole("datasets.voc12", {"layout": "coco", **_TREE}, _BASE),
    ("datasets.*.layout", "CocoDataset"): Whole(
        "datasets.coco20k",
        {"layout": "voc", "year": 2012, "splits": {"all": "Main/all"}, "class_masks": True},
        _BASE,
    ),
    ("datasets.*.layout", "SaliencyDataset"): Whole("datasets.duts_tr", _FOLDER, _BASE),
    ("datasets.*.layout", "FolderDataset"): Whole(
        "datasets.photos", {"layout": "saliency", "images": ".", "masks": None}, _BASE
    ),
    ("datasets.*.layout", "ScenesDataset"): Whole("datasets.drawn", _FOLDER, _BASE),
    "datasets.*.year": 2010,
    "datasets.*.splits": {"trainval": "Main/other"},
    "datasets.*.boxes": At("datasets.voc12_seg.boxes", True),
    "datasets.*.class_masks": True,
    ("datasets.*.class_masks", "CocoDataset"): At("datasets.crowds.class_masks", True),
    "datasets.*.class_mask_folder": "SegmentationClassAug",
    "datasets.*.annotated_on": "stored",
    "datasets.*.images": "elsewhere",
    "datasets.*.annotations": "elsewhere.json",
    "datasets.*.image_list": "elsewhere.txt",
    "datasets.*.masks": "elsewhere",
    "datasets.*.train_images": 161,
    "datasets.*.val_images": 81,
    "datasets.*.height_px": 248,
    "datasets.*.width_px": 328,
    "datasets.*.seed": 1,
    "baselines.kmeans.clusters": 5,
    "baselines.kmeans.iterations": 5,
    "baselines.kmeans.seed": 5,
    "baselines.lost.k_patches": 50,
    "baselines.lost.centre": True,
    "baselines.tokencut.tau": 0.1,
    "baselines.tokencut.eps": 1e-4,
    "baselines.tokencut.centre": True,
    "baselines.found.seed": 1,
    "baselines.found.steps": 100,
    "baselines.found.batch_size": 10,
    "baselines.found.learning_rate": 0.01,
    "baselines.found.decay": 0.9,
    "baselines.found.decay_every": 10,
    "baselines.found.weight_decay": 0.0,
    "baselines.found.standardise": False,
    "baselines.found.seed_steps": 10,
    "baselines.found.solver_weight": 1.0,
    "baselines.found.self_weight": 1.0,
    "group.min_area": 0.01,
    "group.smoothing": 0.5,
    "cluster.foreground": 10,
    "cluster.background": 10,
    "cluster.join": "none",
    "cluster.join_above": 0.5,
    "collections.*.datasets": ["again", "scenes"],
    "datasets.*.foreground_clusters": 9,
    "cluster.iterations": 10,
    "cluster.restarts": 1,
    "cluster.points_per_centroid": 256,
    "cluster.seed": 1,
    "cluster.neighbours": 3,
    "segment.threshold": 0.4,
    "segment.min_area": 0.0,
    ("benchmarks.*.tasks.*.task", "SaliencyTask"): At("benchmarks.demo.tasks.0.task", "discovery"),
    ("benchmarks.*.tasks.*.task", "DiscoveryTask"): At("benchmarks.demo.tasks.1.task", "instances"),
    ("benchmarks.*.tasks.*.task", "InstancesTask"): At("benchmarks.demo.tasks.2.task", "semantic"),
    ("benchmarks.*.tasks.*.task", "RetrievalTask"): Whole(
        "benchmarks.demo.tasks.3", {"task": "semantic", "dataset": "scenes"}
    ),
    ("benchmarks.*.tasks.*.task", "SemanticTask"): At("benchmarks.demo.tasks.4.task", "saliency"),
    "benchmarks.*.tasks.*.dataset": "drawn",
    "benchmarks.*.tasks.*.split": "train",
    "benchmarks.*.tasks.*.truth": "nonzero",
    "benchmarks.*.tasks.*.bilateral": True,
    "benchmarks.*.tasks.*.gallery": "val",
    "benchmarks.*.tasks.*.query": "train",
    "benchmarks.*.tasks.*.subsets": {"few": ["sun"]},
    "benchmarks.*.methods": ["heap"],
    "ablation.benchmark": "small",
    "ablation.model": "second",
    "ablation.seeds": [0, 1],
    "ablation.variants": {"tokens_4": {"head": {"num_groups": 4}}},
    "evaluate.bootstrap": 10,
    "evaluate.seed": 1,
    "report.photos": 9,
    "report.thumbnail_px": 128,
    "report.gallery_mb": 5,
    "pictures.longest_px": 320,
}
