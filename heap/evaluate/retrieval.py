"""Semantic segmentation retrieval: MaskContrast's protocol.

A photo becomes one vector, the mean feature over its predicted mask. The whole mask of a query takes the class of the
nearest gallery photo, the rest of the query is background. What a photo contributes is two small histograms of its true
labels, inside and outside of the mask; gallery labels, subsets of classes and all pixel counts follow from them, so no
mask stays in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from heap.components import Mask
from heap.upsample import bilinear_matrix

Counts = npt.NDArray[np.int64]
# Features `(N, D)` of a photo's patches, and what each counts in a mean.
Weighted = tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]
IGNORED = 255
BACKGROUND = 0
# Queries a block of similarities: 256 against VOC's 10,582 gallery photos are 22 MB.
_BLOCK = 256


@dataclass(frozen=True)
class Described:
    """What is kept of one photo.

    Attributes:
        inside: `(classes,)` int64, true labels within the predicted mask; ignored pixels (255) count nowhere.
        outside: `(classes,)` int64, true labels elsewhere.
        prototype: `(D,)` float32 of length 1, or zeros where the mask is empty.
    """

    inside: Counts
    outside: Counts
    prototype: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """What the retrieval gave.

    Attributes:
        kept: positions of the gallery photos that have a class.
        labels: `(kept,)` their classes.
        neighbours: `(queries,)` positions in `kept`.
        similarity: `(queries,)` cosines of the neighbours.
        classes: `(queries,)` the class each query's mask takes; background where the gallery is empty.
    """

    kept: npt.NDArray[np.intp]
    labels: npt.NDArray[np.intp]
    neighbours: npt.NDArray[np.intp]
    similarity: npt.NDArray[np.float64]
    classes: npt.NDArray[np.intp]


def patch_weights(
    weights: npt.NDArray[np.generic], patch_px: int, upsampling: Literal["nearest", "bilinear"] = "nearest"
) -> npt.NDArray[np.float64]:
    """Return what each patch's feature counts in the mean over a mask's pixels, up to a common factor.

    Instead of upsampling features to pixels and weighting them there, the pixels' weights are brought to the patches:
    the mean is the same, without `(H, W, D)` values.

    Args:
        weights: `(H, W)`, the mask or any weight of each pixel.
        patch_px: side of a patch.
        upsampling: of the features that is meant: `nearest` (a pixel has its patch's feature) or `bilinear`.

    Returns:
        `(grid_h, grid_w)` float64.
    """
    height, width = weights.shape
    pixels = weights.astype(np.float64)
    if upsampling == "nearest":
        rows = np.add.reduceat(pixels, np.arange(0, height, patch_px), axis=0)
        summed: npt.NDArray[np.float64] = np.add.reduceat(rows, np.arange(0, width, patch_px), axis=1)
        return summed
    vertical = bilinear_matrix(-(-height // patch_px), patch_px, height)
    horizontal = bilinear_matrix(-(-width // patch_px), patch_px, width)
    return vertical.T @ pixels @ horizontal


def prototype(features: npt.NDArray[np.float32], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return the weighted mean of features `(N, D)`, of length 1; zeros where all weights `(N,)` are 0."""
    # float64: the sum then rounds the same whatever the number of BLAS threads, as far as float32 shows it.
    total = weights @ features.astype(np.float64)
    length = np.linalg.norm(total)
    unit: npt.NDArray[np.float32] = (total / length if length > 0 else total).astype(np.float32)
    return unit


def describe(
    features: npt.NDArray[np.float32], weights: npt.NDArray[np.float64], mask: Mask, labels: npt.NDArray[np.uint8],
    classes: int,
) -> Described:  # fmt: skip
    """Return what is kept of one photo.

    Args:
        features: `(N, D)` of its patches, row-major.
        weights: `(grid_h, grid_w)` from `patch_weights`.
        mask: `(H, W)` the predicted mask.
        labels: `(H, W)` the true classes, 255 ignored.
        classes: number of classes, background included.

    Raises:
        ValueError: a label is neither a class nor 255.
    """
    # (mask, label) as one number below 512: one pass gives both histograms.
    joint = np.bincount((labels + mask * np.uint16(256)).ravel(), minlength=512).reshape(2, 256)
    unknown = np.flatnonzero(joint[:, classes:IGNORED].any(axis=0))
    if len(unknown):
        raise ValueError(f"label {classes + unknown[0]}, expected 0 to {classes - 1} or {IGNORED}")
    return Described(joint[1, :classes], joint[0, :classes], prototype(features, weights.ravel()))


def restricted(photo: Described, subset: Sequence[int] | None) -> Described:
    """Return a photo whose foreground labels outside of `subset` are ignored like 255; None ignores none."""
    if subset is None:
        return photo
    keep = np.zeros(len(photo.inside), dtype=bool)
    keep[[BACKGROUND, *subset]] = True
    return Described(photo.inside * keep, photo.outside * keep, photo.prototype)


def gallery_label(inside: Counts) -> int | None:
    """Return the majority class inside a mask, or None where only background and ignored pixels are.

    Of equals the larger class index wins (MaskContrast).
    """
    foreground = inside[1:]
    if not foreground.any():
        return None
    return len(inside) - 1 - int(foreground[::-1].argmax())


def retrieve(gallery: Sequence[Described], queries: Sequence[Described]) -> Answer:
    """Find each query's nearest gallery photo (k = 1, cosine; the first of equals).

    Gallery photos with an empty mask, or with nothing but background and ignored pixels in it, are dropped; queries
    never are. A query with an empty mask is equally far from everything and gets gallery photo 0, but paints nothing.
    """
    label_of = [gallery_label(photo.inside) for photo in gallery]
    kept = np.array([i for i, label in enumerate(label_of) if label is not None], dtype=np.intp)
    labels = np.array([label for label in label_of if label is not None], dtype=np.intp)
    neighbours = np.zeros(len(queries), dtype=np.intp)
    similarity = np.zeros(len(queries))
    if not len(kept):
        # Nothing to retrieve: every query stays background (the peers' code would crash).
        return Answer(kept, labels, neighbours, similarity, np.full(len(queries), BACKGROUND))
    bank = np.stack([gallery[i].prototype for i in kept]).astype(np.float64)  # (kept, D)
    for start in range(0, len(queries), _BLOCK):
        block = np.stack([query.prototype for query in queries[start : start + _BLOCK]]).astype(np.float64)
        cosines = block @ bank.T  # (block, kept)
        best = cosines.argmax(axis=1)
        neighbours[start : start + _BLOCK] = best
        similarity[start : start + _BLOCK] = cosines[np.arange(len(best)), best]
    return Answer(kept, labels, neighbours, similarity, labels[neighbours])


def tally(queries: Sequence[Described], predicted: npt.NDArray[np.intp]) -> tuple[Counts, Counts, Counts]:
    """Return true positives, false positives and false negatives of each class, over the pixels of all queries.

    Args:
        queries: the photos.
        predicted: `(queries,)` the class that each mask takes.
    """
    classes = len(queries[0].inside)
    confusion = np.zeros((classes, classes), dtype=np.int64)  # predicted, true
    for query, label in zip(queries, predicted, strict=True):
        confusion[label] += query.inside
        confusion[BACKGROUND] += query.outside
    right = confusion.diagonal()
    return right.copy(), confusion.sum(axis=1) - right, confusion.sum(axis=0) - right


def class_ious(right: Counts, wrong: Counts, missed: Counts) -> npt.NDArray[np.float64]:
    """Return the IoU of each class; 0 for a class that neither occurs nor is predicted (MaskContrast)."""
    ious: npt.NDArray[np.float64] = right / np.maximum(right + wrong + missed, 1)
    return ious


def miou(gallery: Sequence[Described], queries: Sequence[Described], subset: Sequence[int] | None = None) -> float:
    """Return the mean IoU over all classes and background, or over the classes of `subset` only.

    With a subset the other classes are ignored in gallery and queries, and background is not averaged.
    """
    gallery = [restricted(photo, subset) for photo in gallery]
    queries = [restricted(photo, subset) for photo in queries]
    ious = class_ious(*tally(queries, retrieve(gallery, queries).classes))
    return float(ious.mean() if subset is None else ious[list(subset)].mean())
