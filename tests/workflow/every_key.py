"""A configuration with every kind of encoder, dataset and task."""

from __future__ import annotations

import copy
from typing import Any

from workflow.running import REPOSITORY

from heap.settings.config import read

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
