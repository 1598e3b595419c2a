"""How far a figure would move with other photos: intervals by resampling photos.

Photos are drawn with replacement, as many as there are, and the figure is made from the draw: of the drawn photos'
F curves, pixel counts or detections, not of finished averages. Every method of a table is resampled by the same draws,
so a difference between two methods is read with less noise than their intervals suggest. What is fixed stays fixed:
weights, clusters, the gallery of a retrieval. An interval tells of the choice of photos and of nothing else.
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, sections 10.2 and 13.3.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from heap.evaluate import retrieval, saliency, semantic

Values = npt.NDArray[np.float64]
Interval = tuple[float, float]
# Times each photo was drawn `(b, photos)` -> every figure of each draw `(b,)`.
Statistic = Callable[[Values], Mapping[str, Values]]

LEVEL = 0.95
# Draws looked at together: 2 million numbers are 16 MB, whatever the number of photos.
_BLOCK_VALUES = 2_000_000


def draws(photos: int, resamples: int, seed: int) -> Iterator[Values]:
    """Yield blocks `(b, photos)` of how often each photo was drawn; each row sums to `photos`.

    The draws hang on nothing but the arguments, also not on the size of the blocks.
    """
    random = np.random.default_rng(seed)
    rows = max(1, _BLOCK_VALUES // photos)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        yield np.stack(
            [np.bincount(random.integers(photos, size=photos), minlength=photos) for _ in range(count)]
        ).astype(np.float64)


def intervals(statistic: Statistic, photos: int, resamples: int, seed: int) -> dict[str, Interval]:
    """Return the 95 % interval of each figure; none for no resamples.

    The percentiles of the draws, less what the draws' mean is off the figure itself. A draw has fewer different photos,
    so a figure that is biased upwards on few photos (mutual information, the best matching of clusters) is more so on
    draws: without the correction the NMI of 80 photos stood near the lower end of its interval.

    Args:
        statistic: gives the figures of draws.
        photos: how many there are, in an order that does not hang on how they were read (sorted ids).
        resamples: how many draws; 0 switches intervals off.
        seed: of the draws.
    """
    if not resamples:
        return {}
    found: dict[str, list[Values]] = {}
    for block in draws(photos, resamples, seed):
        for metric, values in statistic(block).items():
            found.setdefault(metric, []).append(np.asarray(values))
    itself = statistic(np.ones((1, photos)))
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    edges: dict[str, Interval] = {}
    for metric, parts in found.items():
        drawn = np.concatenate(parts)
        # No figure is below 0, so neither is an interval that its bias moves down.
        low, high = (np.quantile(drawn, tails) - (drawn.mean() - itself[metric][0])).clip(0)
        edges[metric] = (float(low), float(high))
    return edges


def of_means(columns: Mapping[str, Sequence[float]], scale: float = 1.0) -> Statistic:
    """Return the statistic of plain means over photos.

    Args:
        columns: by metric, one value a photo.
        scale: of every mean; 100 for percent.
    """
    names, table = list(columns), np.array([list(column) for column in columns.values()], dtype=np.float64)

    def statistic(drawn: Values) -> dict[str, Values]:
        means = scale * (drawn @ table.T) / drawn.shape[1]  # (b, metrics)
        return {name: means[:, i] for i, name in enumerate(names)}

    return statistic


def of_saliency(photos: Sequence[saliency.Scores]) -> Statistic:
    """Return the statistic of `saliency.summary`: `max_f` is the maximum of the drawn photos' mean curve."""
    means = of_means({name: [getattr(photo, name) for photo in photos] for name in ("iou", "acc", "max_f_found")})
    curves = np.stack([photo.f_curve for photo in photos])  # (photos, thresholds)

    def statistic(drawn: Values) -> dict[str, Values]:
        return {**means(drawn), "max_f": (drawn @ curves).max(axis=1) / len(curves)}

    return statistic


def of_queries(
    gallery: Sequence[retrieval.Described], queries: Sequence[retrieval.Described], metric: str,
    subset: Sequence[int] | None = None,
) -> Statistic:  # fmt: skip
    """Return the statistic of `retrieval.miou`: queries are drawn, the gallery stays."""
    gallery = [retrieval.restricted(photo, subset) for photo in gallery]
    queries = [retrieval.restricted(photo, subset) for photo in queries]
    predicted = retrieval.retrieve(gallery, queries).classes
    tallies = [retrieval.tally([q], predicted[i : i + 1]) for i, q in enumerate(queries)]
    counts = np.array(tallies, dtype=np.float64)  # (queries, 3, classes)
    classes = counts.shape[2]
    averaged = list(range(classes)) if subset is None else list(subset)

    def statistic(drawn: Values) -> dict[str, Values]:
        right, wrong, missed = (drawn @ counts[:, i] for i in range(3))  # (b, classes) each
        ious = right / np.maximum(right + wrong + missed, 1)
        return {metric: ious[:, averaged].mean(axis=1)}

    return statistic


def of_semantic(photos: Sequence[semantic.Described]) -> Statistic:
    """Return the statistic of `semantic.summary`, matching included; not of the shuffled figures, means of deals."""
    classes = len(photos[0].outside)
    k = 1 + max((int(photo.clusters.max()) for photo in photos if len(photo.clusters)), default=-1)
    # A photo shows few clusters and classes, so its counts are mostly zeros: dense, COCO's would be gigabytes.
    pixels = sparse.csr_array(
        sparse.vstack([sparse.csr_array(_pixels(photo, k).reshape(1, -1).astype(np.float64)) for photo in photos])
    )
    votes = sparse.csr_array(
        sparse.vstack([sparse.csr_array(_votes(photo, k).reshape(1, -1).astype(np.float64)) for photo in photos])
    )

    def statistic(drawn: Values) -> dict[str, Values]:
        # A row at a time: (b, (1 + k) x classes) at once would not be small for 80 classes.
        mious, objects, nmis = np.empty(len(drawn)), np.empty(len(drawn)), np.empty(len(drawn))
        for i, row in enumerate(drawn):
            by_class = semantic.ious((row @ pixels).reshape(1 + k, classes).astype(np.int64))
            mious[i], objects[i] = by_class.mean(), by_class[1:].mean()
            nmis[i] = semantic.nmi_of((row @ votes).reshape(k, classes).astype(np.int64)) if k else 0.0
        return {f"miou_{classes}": mious, "miou_objects": objects, "nmi": nmis}

    return statistic


def _pixels(photo: semantic.Described, k: int) -> npt.NDArray[np.int64]:
    return semantic.confusion_of([photo], photo.clusters, k)


def _votes(photo: semantic.Described, k: int) -> npt.NDArray[np.int64]:
    return semantic.votes_of([photo], photo.clusters, k)
