"""From what is kept of each photo to figures, intervals and rows. Benchmarks and `heap score` both end here.

Every function takes the kept photos by name and sorts them first, so that neither figures, nor draws, nor rows depend
on the order in which photos were read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from heap.data.items import some
from heap.errors import DataError
from heap.evaluate import bootstrap, discovery, instances, levels, retrieval, saliency, semantic
from heap.evaluate.bootstrap import Interval, Statistic

T = TypeVar("T")
Kept = Iterable[tuple[str, T]]  # name of the photo, what is kept of it
Key = tuple[str, str]  # variant, metric


@dataclass(frozen=True)
class Resampling:
    """How intervals are made.

    Attributes:
        resamples: draws of photos; 0 makes no intervals.
        seed: of the draws.
    """

    resamples: int = 0
    seed: int = 0

    def of(self, statistic: Statistic, photos: int, variant: str) -> dict[Key, Interval]:
        """Return the intervals of a statistic under its variant."""
        found = bootstrap.intervals(statistic, photos, self.resamples, self.seed)
        return {(variant, metric): interval for metric, interval in found.items()}


NO_INTERVALS = Resampling()


@dataclass(frozen=True)
class Measured:
    """The figures of one method in one task.

    Attributes:
        figures: value by (variant, metric).
        intervals: low and high by (variant, metric), where asked for and where there is one.
        rows: one a photo and variant: `photo`, `variant` and the photo's own figures.
        images: photos the figures are over.
        notes: counts worth knowing, and warnings (`warnings_of`).
        fallbacks: photos where a rule of ours stepped in for an empty prediction.
    """

    figures: dict[Key, float]
    intervals: dict[Key, Interval]
    rows: list[dict[str, Any]]
    images: int
    notes: dict[str, Any] = field(default_factory=dict)
    fallbacks: list[str] = field(default_factory=list)


# Keys of the notes: what is odd about one method's photos, and about the ground truth, which all methods share.
WARNINGS = ("warnings", "truth_warnings")


def warnings_of(notes: Mapping[str, Any]) -> list[str]:
    """Return what of the notes needs an eye."""
    return [str(warning) for key in WARNINGS for warning in notes.get(key, [])]


def of_saliency(
    kept: Kept[saliency.Scored], variants: Sequence[str], reading: levels.Reading, mark: str, resampling: Resampling
) -> Measured:
    """Return iou, acc, max_f_found and max_f of each variant; `mark` is added to the variants' names.

    The notes tell how many outputs of the bilateral solver were taken and how many refused, by variant, and what is odd
    about the true masks.

    Raises:
        DataError: the true masks cannot be meant as they are, see `levels.check_levels`.
    """
    photos = _sorted(kept)
    notes = levels.check_levels([one.truth for _, one in photos], reading)
    notes["highest"] = max(one.highest for _, one in photos)
    notes["empty_maps"] = sum(one.highest <= saliency.FOREGROUND_ABOVE for _, one in photos)
    figures: dict[Key, float] = {}
    intervals: dict[Key, Interval] = {}
    rows = []
    solver: dict[str, dict[str, int]] = {}
    for variant in variants:
        scores = [one.scores[variant] for _, one in photos]
        name = variant + mark
        figures |= {(name, metric): value for metric, value in saliency.summary(scores).items()}
        if resampling.resamples:
            intervals |= resampling.of(bootstrap.of_saliency(scores), len(scores), name)
        taken = [one.accepted for one in scores if one.accepted is not None]
        if taken:
            solver[name] = {"accepted": sum(taken), "refused": len(taken) - sum(taken)}
        rows += [
            {
                "photo": photo, "variant": name, "iou": one.iou, "acc": one.acc, "max_f_found": one.max_f_found,
                "max_f": float(one.f_curve.max()),
            }
            for (photo, _), one in zip(photos, scores, strict=True)
        ]  # fmt: skip
    return Measured(
        figures, intervals, rows, len(photos), {**notes, **({"bilateral_solver": solver} if solver else {})}
    )


def of_discovery(kept: Kept[discovery.Judged], variant: str, resampling: Resampling) -> Measured:
    """Return corloc, in percent."""
    photos = _sorted(kept)
    right = [judged.correct for _, judged in photos]
    figures = {(variant, "corloc"): discovery.corloc(sum(right), len(right))}
    intervals = resampling.of(bootstrap.of_means({"corloc": right}, scale=100.0), len(right), variant)
    rows = []
    for photo, judged in photos:
        sides = judged.box or (None,) * 4
        box = dict(zip(("x1", "y1", "x2", "y2"), sides, strict=True))
        judgement = {"iou": judged.iou, "correct": int(judged.correct), "fallback": int(judged.fallback)}
        rows.append({"photo": photo, "variant": variant, **box, **judgement})
    fallbacks = [photo for photo, judged in photos if judged.fallback]
    return Measured(figures, intervals, rows, len(photos), fallbacks=fallbacks)


def of_retrieval(
    gallery: Kept[retrieval.Described], queries: Kept[retrieval.Described], subsets: Mapping[str, Sequence[int]],
    variant: str, resampling: Resampling,
) -> Measured:  # fmt: skip
    """Return the mIoU over all classes and over each subset (name: class ids)."""
    listed, asked = _sorted(gallery), _sorted(queries)
    bank, wanted = [one for _, one in listed], [one for _, one in asked]
    every = f"miou_{len(wanted[0].inside)}"
    figures = {(variant, every): retrieval.miou(bank, wanted)}
    figures |= {(variant, name): retrieval.miou(bank, wanted, subset) for name, subset in subsets.items()}
    intervals: dict[Key, Interval] = {}
    if resampling.resamples:
        for name, subset in {every: None, **subsets}.items():
            statistic = bootstrap.of_queries(bank, wanted, name, subset)
            intervals |= resampling.of(statistic, len(wanted), variant)
    truth = _check_labelled({photo: one.inside.sum() + one.outside.sum() for photo, one in asked})
    answer = retrieval.retrieve(bank, wanted)
    rows = [
        {
            "photo": photo, "variant": variant, "class": int(answer.classes[i]),
            "nearest": listed[answer.kept[answer.neighbours[i]]][0] if len(answer.kept) else None,
            "similarity": float(answer.similarity[i]),
        }
        for i, (photo, _) in enumerate(asked)
    ]  # fmt: skip
    notes: dict[str, Any] = {
        "gallery": len(bank),
        "gallery_with_a_class": len(answer.kept),
        "queries_without_a_mask": sum(not one.prototype.any() for one in wanted),
        **truth,
    }
    if not len(answer.kept):
        notes["warnings"] = ["no gallery photo has a mask with a class in it, so every query stayed background"]
    return Measured(figures, intervals, rows, len(asked), notes)


def of_semantic(kept: Kept[semantic.Described], variant: str, resampling: Resampling) -> Measured:
    """Return the mIoU after matching, with and without background, and the NMI; each for shuffled clusters too."""
    photos = _sorted(kept)
    truth = _check_labelled({photo: one.inside.sum() + one.outside.sum() for photo, one in photos})
    described = [one for _, one in photos]
    figures = {(variant, metric): value for metric, value in semantic.summary(described).items()}
    intervals: dict[Key, Interval] = {}
    if resampling.resamples:
        intervals = resampling.of(bootstrap.of_semantic(described), len(described), variant)
    accuracies = semantic.accuracies(described)
    rows = [
        {"photo": photo, "variant": variant, "acc": float(accuracies[i]), "found": len(one.clusters)}
        for i, (photo, one) in enumerate(photos)
    ]
    return Measured(
        figures, intervals, rows, len(photos), {"instances": sum(len(one.clusters) for one in described), **truth}
    )


def of_instances(kept: Kept[instances.Matches], variant: str, resampling: Resampling) -> Measured:
    """Return ap50, ap50_95 and ar100."""
    photos = _sorted(kept)
    matches = [one for _, one in photos]
    figures = {(variant, metric): value for metric, value in instances.summary(matches).items()}
    intervals: dict[Key, Interval] = {}
    if resampling.resamples:
        intervals = resampling.of(instances.resampled(matches), len(matches), variant)
    rows = [
        {
            "photo": photo, "variant": variant, "found": len(one.scores), "true": one.truths,
            # At an IoU of .5, the first threshold.
            "right": int(np.count_nonzero(one.hit[0] & ~one.ignored[0])),
        }
        for photo, one in photos
    ]  # fmt: skip
    notes = {
        "instances": sum(len(one.scores) for one in matches),
        "true_objects": sum(one.truths for one in matches),
        "photos_without_instances": sum(not len(one.scores) for one in matches),
    }
    return Measured(figures, intervals, rows, len(photos), notes)


def _check_labelled(pixels: Mapping[str, int]) -> dict[str, Any]:
    """Return a warning of photos without a labelled pixel, if there are any.

    Args:
        pixels: by photo, how many have a true class that is not ignored.

    Raises:
        DataError: no photo has any.
    """
    ignored = [photo for photo, count in pixels.items() if not count]
    if not ignored:
        return {}
    finding = f"{len(ignored)} of {len(pixels)} photos have true class masks ignored (255) everywhere: {some(ignored)}"
    if len(ignored) == len(pixels):
        raise DataError(f"{finding}. There is nothing to score")
    return {"truth_warnings": [f"{finding}. They count in no figure"]}


def _sorted(kept: Kept[T]) -> list[tuple[str, T]]:
    return sorted(kept, key=lambda pair: pair[0])
