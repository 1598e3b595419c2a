"""Figures of patch maps at 28 x 28 against the known foreground."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from benchmarks.headbed.bed import SIDE
from heap.evaluate.discovery import box_of_mask, is_correct


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two masks; 0 where both are empty."""
    return float((found & truth).sum() / max(1, (found | truth).sum()))


def true_boxes(truth: np.ndarray) -> np.ndarray:
    """Boxes of the 4-connected parts of the truth, `(n, 4)`; parts of fewer than 4 patches are no objects."""
    labels, _ = ndimage.label(truth.reshape(SIDE, SIDE))
    sizes = np.bincount(labels.ravel())[1:]
    boxes = [
        (b[1].start, b[0].start, b[1].stop, b[0].stop)
        for b, size in zip(ndimage.find_objects(labels), sizes, strict=True)
        if size >= min(4, sizes.max())
    ]
    return np.array(boxes, np.int64).reshape(-1, 4)


def figures(maps: list[np.ndarray], truths: list[np.ndarray]) -> dict[str, float]:
    """IoU of the maps above 0.5, CorLoc (percent) and area, means over photos."""
    ious, correct, areas = [], [], []
    for soft, truth in zip(maps, truths, strict=True):
        found = soft > 0.5
        ious.append(iou(found, truth))
        areas.append(found.mean())
        box = box_of_mask(found.reshape(SIDE, SIDE))
        correct.append(box is not None and is_correct(box, true_boxes(truth)))
    return {"iou": float(np.mean(ious)), "corloc": 100 * float(np.mean(correct)), "area": float(np.mean(areas))}


def oracle(assignments: list[np.ndarray], truths: list[np.ndarray]) -> float:
    """IoU of the best union of a photo's groups: groups `(N,)` by the share that is foreground, best cut."""
    best = []
    for groups, truth in zip(assignments, truths, strict=True):
        size = np.bincount(groups)
        hits = np.bincount(groups, weights=truth, minlength=len(size))
        order = np.argsort(-hits / np.maximum(size, 1))
        inter, union = np.cumsum(hits[order]), np.cumsum(size[order]) - np.cumsum(hits[order]) + truth.sum()
        best.append(float((inter / np.maximum(union, 1)).max()))
    return float(np.mean(best))
