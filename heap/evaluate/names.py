"""What methods, tasks and figures are called wherever people read them; CSV files have the short names."""

from __future__ import annotations

from typing import Literal

METHODS = {
    "heap": "HEAP",
    "found": "FOUND's head",
    "found_seed": "FOUND's seed",
    "tokencut": "TokenCut",
    "lost": "LOST",
    "kmeans": "k-means and attention",
    "attention": "attention above its mean",
    "everything": "everything is foreground",
    "centred_box": "a centred box",
}
TASKS = {
    "saliency": "Saliency",
    "discovery": "Single-object discovery",
    "instances": "Multi-object discovery",
    "retrieval": "Retrieval",
    "semantic": "Semantic segmentation",
}
METRICS = {
    "iou": "IoU",
    "acc": "accuracy",
    "max_f": "max F",
    "max_f_found": "max F (as FOUND)",
    "corloc": "CorLoc",
    "nmi": "NMI",
    "ap50": "AP50",
    "ap50_95": "AP50:95",
    "ar100": "AR100",
    "miou_shuffled": "mIoU, clusters shuffled",
    "miou_objects": "mIoU without background",
    "miou_objects_shuffled": "mIoU without background, clusters shuffled",
    "nmi_shuffled": "NMI, clusters shuffled",
}


def encoder_kind(label: str) -> Literal["untrained", "hand-made", "unverified", "trained"]:
    """Return what the label of an encoder says of it."""
    low = label.lower()
    if "random" in low or "untrained" in low:
        return "untrained"
    if "descriptor" in low:
        return "hand-made"
    return "unverified" if "unverified" in low else "trained"


def method_name(method: str) -> str:
    """Return how a method is called."""
    return METHODS.get(method, method)


def task_name(task: str) -> str:
    """Return how a task is called."""
    return TASKS.get(task, task)


def metric_name(metric: str) -> str:
    """Return how a metric is called."""
    return METRICS.get(metric, metric.replace("miou", "mIoU").replace("_", " "))
