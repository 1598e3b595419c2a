"""Unsupervised semantic segmentation: what HEAP's clusters have to do with classes.

Our reading, as there is no one protocol:

- Each pixel belongs to the instance drawn over it (of several the later in the file) and so to a cluster, or to none,
  which is background. Pixels labelled 255 count nowhere.
- Foreground clusters and foreground classes are matched one to one so that the sum of their IoUs is the largest
  (Hungarian algorithm). A pair without a common pixel is no match, else the numbering of clusters would decide. A
  cluster left over has no class and its pixels count as background; a class left over has an IoU of 0.
- `miou_{n + 1}` is the mean IoU over background and the n classes from pixel counts over all photos; a class that never
  occurs enters as 0, as in MaskContrast's retrieval.
- `miou_objects` is the mean over the n classes without background. Background is most pixels and its IoU hangs on the
  masks, hardly on the clusters: it lifts `miou_{n + 1}` of found and of shuffled clusters alike.
- `miou_shuffled`, `miou_objects_shuffled` and `nmi_shuffled` are the same figures for clusters dealt out again to the
  instances, matching included, mean of ten deals: what the number of clusters, their sizes and the masks alone are
  worth. NMI needs it most: with few instances and many clusters it is far above 0 by chance (20 clusters dealt at
  random to 100 instances of 7 classes: 0.26), so only its distance from `nmi_shuffled` says that they mean something.
- `nmi` is the normalised mutual information of cluster and true class over instances, one vote each, normalised by the
  arithmetic mean of the entropies. An instance's class is the majority label within it (of equals the larger index);
  instances mostly on background are left out, since they are not of any class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from heap.data.masks import pixels_of, rle_of
from heap.evaluate.retrieval import BACKGROUND, IGNORED, Counts, class_ious

SHUFFLES = 10
SHUFFLE_SEED = 0


@dataclass(frozen=True)
class Described:
    """What is kept of one photo.

    Attributes:
        clusters: `(instances,)` cluster of each instance, 0..k-1.
        inside: `(instances, classes)` int64, true labels within each instance; 255 counts nowhere.
        outside: `(classes,)` int64, true labels that no instance covers.
    """

    clusters: npt.NDArray[np.int64]
    inside: Counts
    outside: Counts


def describe(annotations: Sequence[dict[str, Any]], labels: npt.NDArray[np.uint8], classes: int) -> Described:
    """Return what is kept of one photo.

    Args:
        annotations: its COCO annotations: `category_id` (cluster + 1) and `segmentation` (RLE).
        labels: `(H, W)` true classes, 255 ignored.
        classes: number of classes, background included.

    Raises:
        ValueError: a segmentation is no RLE or of another size, or a label is neither a class nor 255.
    """
    instance = np.zeros(labels.shape, dtype=np.uint32)  # 0: none, else position in annotations + 1
    for number, annotation in enumerate(annotations, start=1):
        instance[pixels_of(rle_of(annotation["segmentation"], labels.shape))] = number
    joint = _joint(instance, labels, len(annotations) + 1, classes)
    clusters = np.array([int(annotation["category_id"]) - 1 for annotation in annotations], dtype=np.int64)
    return Described(clusters, joint[1:], joint[0])


def describe_map(clusters: npt.NDArray[np.uint8], labels: npt.NDArray[np.integer], classes: int) -> Described:
    """Return what is kept of one photo of which every pixel has a cluster: what one cluster covers is one instance.

    Args:
        clusters: `(H, W)`, 0 background, 1.. clusters.
        labels: `(H, W)` true classes, 255 ignored.
        classes: number of classes, background included.

    Raises:
        ValueError: the shapes differ, or a label is neither a class nor 255.
    """
    if clusters.shape != labels.shape:
        raise ValueError(f"a map of {clusters.shape[0]} x {clusters.shape[1]} px for a truth of {labels.shape}")
    there, instance = np.unique(clusters, return_inverse=True)
    joint = _joint(instance.reshape(labels.shape), labels, len(there), classes)
    outside = joint[0] if there[0] == BACKGROUND else np.zeros(classes, dtype=np.int64)
    objects = there != BACKGROUND
    return Described(there[objects].astype(np.int64) - 1, joint[objects], outside)


def check_clusters(clusters: npt.NDArray[np.uint8]) -> None:
    """Refuse a map of clusters that holds 255.

    Raises:
        ValueError: it does.
    """
    if (clusters == IGNORED).any():
        raise ValueError("holds 255, expected 0 (background) and clusters 1 to 254")


def _joint(instance: npt.NDArray[np.integer], labels: npt.NDArray[np.integer], count: int, classes: int) -> Counts:
    """Return pixels by instance and class, `(count, classes)`; 255 counts nowhere."""
    joint = np.bincount((instance.astype(np.uint32) * 256 + labels).ravel(), minlength=256 * count).reshape(count, 256)
    unknown = np.flatnonzero(joint[:, classes:IGNORED].any(axis=0))
    if len(unknown):
        raise ValueError(f"label {classes + unknown[0]}, expected 0 to {classes - 1} or {IGNORED}")
    return joint[:, :classes]


def confusion_of(photos: Sequence[Described], clusters: npt.NDArray[np.int64], k: int) -> Counts:
    """Return pixels by cluster and class, `(1 + k, classes)`; row 0 are the pixels of no instance.

    Args:
        photos: whose pixels.
        clusters: `(all instances,)` their clusters, in the order of the photos.
        k: number of clusters.
    """
    confusion = np.zeros((1 + k, len(photos[0].outside)), dtype=np.int64)
    confusion[0] = sum(photo.outside for photo in photos)
    np.add.at(confusion, 1 + clusters, np.concatenate([photo.inside for photo in photos]))
    return confusion


def match(confusion: Counts) -> npt.NDArray[np.intp]:
    """Return the class of each row of a confusion `(1 + k, classes)`; background for row 0 and clusters left over."""
    shared = confusion[1:, 1:]
    union = confusion[1:].sum(axis=1)[:, None] + confusion[:, 1:].sum(axis=0) - shared
    rows, columns = linear_sum_assignment(shared / np.maximum(union, 1), maximize=True)
    matched = np.full(len(confusion), BACKGROUND, dtype=np.intp)
    matched[1 + rows] = np.where(shared[rows, columns] > 0, 1 + columns, BACKGROUND)
    return matched


def accuracies(photos: Sequence[Described]) -> npt.NDArray[np.float64]:
    """Return the share of each photo's labelled pixels that are right, `(photos,)`, clusters matched over all photos.

    0 where every pixel is ignored.
    """
    clusters = np.concatenate([photo.clusters for photo in photos])
    k = int(clusters.max()) + 1 if len(clusters) else 0
    matched = match(confusion_of(photos, clusters, k))
    right = [
        photo.outside[BACKGROUND] + photo.inside[np.arange(len(photo.inside)), matched[1 + photo.clusters]].sum()
        for photo in photos
    ]
    labelled = [photo.outside.sum() + photo.inside.sum() for photo in photos]
    shares: npt.NDArray[np.float64] = np.array(right) / np.maximum(labelled, 1)
    return shares


def ious(confusion: Counts) -> npt.NDArray[np.float64]:
    """Return the IoU of background and each class, `(classes,)`, after matching."""
    by_class = np.zeros((confusion.shape[1], confusion.shape[1]), dtype=np.int64)  # predicted, true
    np.add.at(by_class, match(confusion), confusion)
    right = by_class.diagonal()
    return class_ious(right, by_class.sum(axis=1) - right, by_class.sum(axis=0) - right)


def miou(confusion: Counts) -> float:
    """Return the mean IoU over background and all classes, after matching."""
    return float(ious(confusion).mean())


def nmi_of(table: Counts) -> float:
    """Return the normalised mutual information of a contingency table `(clusters, classes)`.

    0 where nothing is known (also for an empty table), 1 where each determines the other; 1 also where both
    have a single value.
    """
    if not table.any():
        return 0.0
    apart = _entropy(table.sum(axis=0)) + _entropy(table.sum(axis=1))
    if apart == 0:
        return 1.0
    return float(np.clip(2 * (apart - _entropy(table)) / apart, 0.0, 1.0))


def votes_of(photos: Sequence[Described], clusters: npt.NDArray[np.int64], k: int) -> Counts:
    """Return how many instances of each cluster are of each class, `(k, classes)`: one vote each, see the head.

    Args:
        photos: whose instances.
        clusters: `(all instances,)` their clusters, in the order of the photos.
        k: number of clusters.
    """
    votes = np.zeros((k, len(photos[0].outside)), dtype=np.int64)
    inside = np.concatenate([photo.inside for photo in photos])
    majority = votes.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
    objects = (majority != BACKGROUND) & inside.any(axis=1)
    np.add.at(votes, (clusters[objects], majority[objects]), 1)
    return votes


def summary(photos: Sequence[Described]) -> dict[str, float]:
    """Return the figures of a data set.

    Args:
        photos: in an order that does not hang on how they were read (sorted ids), so that the deals of
            `miou_shuffled` are the same in every run.

    Raises:
        ValueError: there are no photos.
    """
    if not photos:
        raise ValueError("no photo was scored")
    classes = len(photos[0].outside)
    clusters = np.concatenate([photo.clusters for photo in photos])
    k = int(clusters.max()) + 1 if len(clusters) else 0
    random = np.random.default_rng(SHUFFLE_SEED)
    found = _figures(photos, clusters, k)
    deals = [_figures(photos, random.permutation(clusters), k) for _ in range(SHUFFLES)]
    shuffled = {name: sum(deal[name] for deal in deals) / SHUFFLES for name in found}
    return {
        f"miou_{classes}": found["miou"],
        "miou_shuffled": shuffled["miou"],
        "miou_objects": found["miou_objects"],
        "miou_objects_shuffled": shuffled["miou_objects"],
        "nmi": found["nmi"],
        "nmi_shuffled": shuffled["nmi"],
    }


def _figures(photos: Sequence[Described], clusters: npt.NDArray[np.int64], k: int) -> dict[str, float]:
    """Return what `clusters` `(all instances,)` are worth: the one code for the found clusters and for dealt ones."""
    by_class = ious(confusion_of(photos, clusters, k))
    return {
        "miou": float(by_class.mean()),
        "miou_objects": float(by_class[1:].mean()),
        "nmi": nmi_of(votes_of(photos, clusters, k)),
    }


def _entropy(counts: npt.NDArray[Any]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
