"""The five protocols over pairs of a prediction and its ground truth: one photo's work, and what comes of all photos.

Where pairs come from is not known here. `heap.evaluate.tasks` makes them of the cache's patch maps, several methods a
photo; `heap.evaluate.score.tasks` makes them of files, one method. What a prediction must be able to do is said by each
protocol; pairs and predictions travel to worker processes and open there what they read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from heap.bilateral import BilateralGrid, Parts
from heap.components import Mask
from heap.data.photos import photo_frame, read_photo
from heap.errors import DataError
from heap.evaluate import discovery, instances, measures, retrieval, saliency, semantic
from heap.evaluate.measures import NO_INTERVALS, Measured, Resampling
from heap.evaluate.retrieval import Weighted
from heap.evaluate.score.files import refuse
from heap.evaluate.score.objects import objects_of
from heap.evaluate.tables import Figure
from heap.evaluate.truth import Labels, Photo, class_labels, saliency_truth
from heap.grid import PatchGrid
from heap.progress import track
from heap.upsample import nearest
from heap.workers import spread, workers_for

# A method, and what was done to its maps ("" for nothing); both "" where files of one method are scored.
Key = tuple[str, str]
Skip = dict[str, str]  # photo, reason
Size = tuple[int, int]

# A photo with the bilateral solver takes four times as long as one without (benchmarks/evaluation.py, two methods), so
# fewer photos are worth a worker.
_SOLVER_WEIGHT = 4


@dataclass(frozen=True)
class Pair:
    """A photo with its ground truth, and what is known of its prediction before `Predictions` looks it up."""

    photo: Photo
    given: Any = None


class Predictions(Protocol):
    """Where the predictions of a pair come from."""

    @property
    def keys(self) -> Sequence[Key]:
        """Every key that `of` may give, in the order of a table."""

    def of(self, pair: Pair) -> Mapping[Key, Any]:
        """Return the predictions of a photo; methods that have none are left out."""

    def why_missing(self, key: Key, photo: Photo) -> str:
        """Say why a photo has no prediction."""


@dataclass(frozen=True)
class Given:
    """The predictions that the pairs hold: one method, every photo."""

    keys: Sequence[Key] = (("", ""),)

    def of(self, pair: Pair) -> Mapping[Key, Any]:
        """Return the pair's prediction."""
        return {self.keys[0]: pair.given}

    def why_missing(self, key: Key, photo: Photo) -> str:
        """Say why a photo has no prediction; there is no such photo."""
        return "has no prediction"


@dataclass(frozen=True)
class Run:
    """How tasks are run.

    Attributes:
        workers: processes; None chooses.
        progress: file for `heap status`.
        resampling: of the intervals.
        smoothing: width of HEAP's smoothing, which makes the variants `+smooth`; 0 makes none.
    """

    workers: int | None = None
    progress: Path | None = None
    resampling: Resampling = NO_INTERVALS
    smoothing: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a task gave for one method.

    Attributes:
        key: whose predictions.
        measured: figures, intervals, and a row for each photo.
        images: photos the figures are over.
        skipped: photos that are not in them, and why; in retrieval also those that the gallery lacks.
        fallbacks: photos where a rule of ours stepped in for an empty prediction.
        notes: counts worth knowing, and warnings (`measures.warnings_of`).
    """

    key: Key
    measured: Measured
    images: int
    skipped: list[Skip]
    fallbacks: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def figures(self, dataset: str, task: str, method: str) -> list[Figure]:
        """Return the rows of the metrics CSV."""
        counts = self.images, len(self.skipped), len(self.fallbacks)
        ends = {key: self.measured.intervals.get(key, (None, None)) for key in self.measured.figures}
        return [
            Figure(dataset, task, method, variant, metric, value, *counts, *ends[variant, metric])
            for (variant, metric), value in self.measured.figures.items()
        ]

    def photos(self, dataset: str, task: str, method: str) -> pd.DataFrame:
        """Return the figures of each photo."""
        names = {"dataset": dataset, "task": task, "method": method}
        return pd.DataFrame([{**names, **row} for row in self.measured.rows])


@dataclass(frozen=True)
class Task:
    """What every protocol is run on.

    Attributes:
        of: the dataset, or where the files lie; for messages and progress.
        predictions: where they come from.
        run: how.
        mark: added to the names of variants.
        unlisted: photos of the dataset that are in no pair; their split is not known, so they count in every task.
    """

    of: str
    predictions: Predictions
    run: Run = Run()
    mark: str = ""
    unlisted: Sequence[Skip] = ()

    def kept(
        self, protocol: Any, pairs: Sequence[Pair], weight: int = 1
    ) -> Iterator[tuple[Key, list[tuple[str, Any]], list[Skip]]]:
        """Yield each method with what is kept of its photos, by name, and the photos it has no prediction of.

        Args:
            protocol: one of this module.
            pairs: whose photos.
            weight: each takes as long as so many photos without a solver.

        Raises:
            DataError: photos cannot be scored, or a method has a prediction of none of them; names them.
        """
        kept: dict[Key, list[tuple[str, Any]]] = {key: [] for key in self.predictions.keys}
        skipped: dict[Key, list[Skip]] = {key: [] for key in self.predictions.keys}
        problems = []
        workers = workers_for(len(pairs) * weight) if self.run.workers is None else self.run.workers
        results = spread(Job(protocol, self.predictions), pairs, workers)
        doing = f"scoring {protocol.name} of {self.of}"
        for pair, result in zip(pairs, track(results, len(pairs), "photos", doing, self.run.progress), strict=True):
            name = pair.photo.image_id
            if isinstance(result, _Problem):
                problems.append(result.text)
                continue
            for key in kept:
                if key in result:
                    kept[key].append((name, result[key]))
                else:
                    skipped[key].append({"photo": name, "reason": self.predictions.why_missing(key, pair.photo)})
        refuse({"photos cannot be scored": problems})
        for key, of_method in kept.items():
            if not of_method:
                raise DataError(f"{self.of}: none of the {len(pairs)} photos of the task has a prediction of {key[0]}")
            yield key, of_method, [*skipped[key], *self.unlisted]


@dataclass(frozen=True)
class _Problem:
    """Why a photo cannot be scored."""

    text: str


@dataclass(frozen=True)
class Job:
    """One photo's work for all methods, so that its ground truth is read once. Errors are kept, to be told together."""

    protocol: Any
    predictions: Predictions

    def __call__(self, pair: Pair) -> dict[Key, Any] | _Problem:
        """Return by method what is kept of the photo, or why it cannot be scored."""
        try:
            there = self.predictions.of(pair)
            truth = self.protocol.truth(pair.photo) if there else None
            return {key: self.protocol.score(one, pair.photo, truth) for key, one in there.items()}
        except DataError as error:  # names its file itself
            return _Problem(str(error))
        except (KeyError, ValueError) as error:
            return _Problem(f"{pair.photo.path}: {error}")


@dataclass(frozen=True)
class Saliency:
    """Maps against binary masks. A prediction has `pixels(size)`, `nearest(size)` and `smoothed`.

    Attributes:
        reading: of the masks.
        refined: variants with the bilateral solver, and what each keeps of its output; none for no solver.
        tokencut: also TokenCut's own reading of maps as the methods give them.
    """

    reading: saliency.Reading
    refined: Mapping[str, Parts] = field(default_factory=dict)
    tokencut: bool = False
    name = "saliency"

    def truth(self, photo: Photo) -> tuple[Mask, saliency.Levels, BilateralGrid | None]:
        """Return the true foreground, its file's levels, and the solver's grid where it is asked."""
        mask, levels = saliency_truth(photo, self.reading)
        return mask, levels, self.grid(photo, mask) if self.refined or self.tokencut else None

    def grid(self, photo: Photo, mask: Mask) -> BilateralGrid:
        """Return the bilateral grid of a photo.

        Raises:
            PhotoError: it cannot be read.
            DataError: its size is not the mask's.
        """
        assert photo.file is not None
        pixels = read_photo(photo.file)
        if pixels.shape[:2] != mask.shape:
            exif = " once turned by its EXIF orientation" if photo_frame(photo.file).orientation > 1 else ""
            raise DataError(f"{photo.file}: {pixels.shape[:2]} px{exif}, but its ground truth has {mask.shape}")
        return BilateralGrid.of(pixels)

    def score(self, one: Any, photo: Photo, truth: Any) -> saliency.Photo:
        """Return the figures of every variant."""
        foreground, levels, grid = truth
        soft = one.pixels(foreground.shape)
        scores = saliency.score(soft, foreground)
        if grid is not None and self.refined:
            scores |= saliency.score_refined(soft > saliency.FOREGROUND_ABOVE, foreground, grid, self.refined)
        if grid is not None and self.tokencut and not one.smoothed:
            scores |= saliency.score_tokencut(one.nearest(foreground.shape), foreground, grid)
        return saliency.Photo(scores, levels, float(soft.max()))


def score_saliency(task: Task, protocol: Saliency, pairs: Sequence[Pair], variants: Sequence[str]) -> list[Outcome]:
    """Return iou, acc and both readings of max F of some variants."""
    weight = _SOLVER_WEIGHT if protocol.refined else 1
    outcomes = []
    for key, kept, skipped in task.kept(protocol, pairs, weight):
        there = [name for name in variants if name in kept[0][1].scores]
        measured = measures.of_saliency(kept, there, protocol.reading, key[1] + task.mark, task.run.resampling)
        outcomes.append(Outcome(key, measured, len(kept), skipped, notes=measured.notes))
    return outcomes


@dataclass(frozen=True)
class Discovery:
    """One box a photo against the true boxes. A prediction has `judged(photo)`."""

    name = "discovery"

    def truth(self, photo: Photo) -> None:
        """Return nothing: boxes come with the photo."""

    def score(self, one: Any, photo: Photo, truth: None) -> discovery.Judged:
        """Return the box and whether it is right."""
        judged: discovery.Judged = one.judged(photo)
        return judged


def score_discovery(task: Task, pairs: Sequence[Pair]) -> list[Outcome]:
    """Return CorLoc.

    Raises:
        DataError: no photo has a true box, or as `Task.kept`.
    """
    # The peers' code crashes on a photo without a box; there is nothing that a box could hit.
    with_box = [pair for pair in pairs if pair.photo.boxes is not None and len(pair.photo.boxes)]
    if not with_box:
        raise DataError(f"{task.of}: none of the photos to score has a true box, and discovery needs them")
    boxless = {pair.photo.image_id for pair in pairs} - {pair.photo.image_id for pair in with_box}
    left_out = [{"photo": name, "reason": "no true box"} for name in sorted(boxless)]
    outcomes = []
    for key, kept, skipped in task.kept(Discovery(), with_box):
        measured = measures.of_discovery(kept, "largest" + key[1] + task.mark, task.run.resampling)
        fallbacks = [name for name, judged in kept if judged.fallback]
        outcomes.append(Outcome(key, measured, len(kept), skipped + left_out, fallbacks))
    return outcomes


@dataclass(frozen=True)
class Instances:
    """Every found object against every true one. A prediction is a list of COCO annotations with scores."""

    kind: instances.Kind = "bbox"
    name = "instances"

    def truth(self, photo: Photo) -> instances.Objects:
        """Return the true objects."""
        if self.kind == "segm":
            assert photo.annotations is not None
            return objects_of(photo.annotations, "segm", photo.size)
        assert photo.objects is not None
        return photo.objects

    def score(self, one: Any, photo: Photo, truth: instances.Objects) -> instances.Matches:
        """Return which found object hits which true one."""
        return instances.match(objects_of(one, self.kind, photo.size), truth, self.kind)


def score_instances(task: Task, protocol: Instances, pairs: Sequence[Pair]) -> list[Outcome]:
    """Return AP50, AP50:95 and AR100.

    Raises:
        DataError: no photo has a true object, or as `Task.kept`.
    """
    if not any(pair.photo.objects is not None and not all(pair.photo.objects.crowd) for pair in pairs):
        raise DataError(f"{task.of}: none of the photos to score has a true object, and instances need them")
    variant = "boxes" if protocol.kind == "bbox" else "masks"
    outcomes = []
    for key, kept, skipped in task.kept(protocol, pairs):
        measured = measures.of_instances(kept, variant + key[1] + task.mark, task.run.resampling)
        outcomes.append(Outcome(key, measured, len(kept), skipped, notes=measured.notes))
    return outcomes


class Vectors(Protocol):
    """Where the features of retrieval come from."""

    def weighted(self, photo: Photo, mask: Mask, grid: PatchGrid | None) -> Weighted:
        """Return features `(N, D)` of a photo and what each counts in the mean over a mask."""


@dataclass(frozen=True)
class Retrieval:
    """Masks, features and classes. A prediction has `pixels(size)` and `grid`, None where it is of no patches.

    Attributes:
        features: of the photos.
        classes: how many, background included.
        size: labels are brought to this size (nearest) and masks must have it; None takes the encoder's input
            (512 x 512 in MaskContrast), or keeps the labels' own size.
    """

    features: Vectors
    classes: int
    size: Size | None = None
    name = "retrieval"

    def truth(self, photo: Photo) -> Labels:
        """Return the true labels."""
        return class_labels(photo)

    def score(self, one: Any, photo: Photo, truth: Labels) -> retrieval.Described:
        """Return histograms of the labels and the prototype."""
        labels = nearest(truth, self.size or (one.grid and one.grid.input_hw) or truth.shape)
        mask: Mask = one.pixels(labels.shape) > saliency.FOREGROUND_ABOVE
        features, weights = self.features.weighted(photo, mask, one.grid)
        try:
            return retrieval.describe(features, weights, mask, labels, self.classes)
        except ValueError as error:  # about the labels
            raise DataError(f"{photo.class_mask}: {error}") from error


def score_retrieval(
    task: Task, protocol: Retrieval, gallery: Sequence[Pair], queries: Sequence[Pair],
    subsets: Mapping[str, Sequence[int]], variant: str,
) -> list[Outcome]:  # fmt: skip
    """Return the mIoU over all classes and over each subset (name: class ids).

    Raises:
        DataError: no query is left, vectors differ in length, or as `Task.kept`.
    """
    in_gallery, in_queries = ({pair.photo.image_id for pair in part} for part in (gallery, queries))
    every = {pair.photo.image_id: pair for pair in [*gallery, *queries]}  # one photo may be in both
    outcomes = []
    for key, kept, skipped in task.kept(protocol, list(every.values())):
        example = {len(one.prototype): name for name, one in kept}  # by the length of its vector
        if len(example) > 1:
            found = ", ".join(f"{length} ({name})" for length, name in sorted(example.items()))
            raise DataError(f"{task.of}: vectors of different lengths, expected one for all: {found}")
        bank = [(name, one) for name, one in kept if name in in_gallery]
        asked = [(name, one) for name, one in kept if name in in_queries]
        if not asked:
            raise DataError(f"{task.of}: no query is left for retrieval with {key[0]}")
        measured = measures.of_retrieval(bank, asked, subsets, variant + key[1], task.run.resampling)
        outcomes.append(Outcome(key, measured, len(asked), skipped, notes=measured.notes))
    return outcomes


@dataclass(frozen=True)
class Semantic:
    """Clusters against classes. A prediction has `described(labels, classes)`.

    Attributes:
        classes: how many, background included.
    """

    classes: int
    name = "semantic"

    def truth(self, photo: Photo) -> Labels:
        """Return the true labels."""
        return class_labels(photo)

    def score(self, one: Any, photo: Photo, truth: Labels) -> semantic.Described:
        """Return histograms of the labels by instance."""
        described: semantic.Described = one.described(truth, self.classes, photo)
        return described


def score_semantic(task: Task, protocol: Semantic, pairs: Sequence[Pair]) -> list[Outcome]:
    """Return mIoU with and without background and NMI, each for shuffled clusters too."""
    outcomes = []
    for key, kept, skipped in task.kept(protocol, pairs):
        measured = measures.of_semantic(kept, "hungarian" + key[1] + task.mark, task.run.resampling)
        outcomes.append(Outcome(key, measured, len(kept), skipped, notes=measured.notes))
    return outcomes
