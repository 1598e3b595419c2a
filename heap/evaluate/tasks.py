"""The tasks of a benchmark over a whole dataset: which photos, which figures, what was left out.

Variants, as tables name them: saliency `multi` and `single`, `+bs` after the bilateral solver, `+bs-peers` with its
output read as FOUND's code does, `-tokencut` as TokenCut's code reads its maps; discovery `largest`; instances `boxes`;
retrieval `{gallery}-{query}`; semantic `hungarian`. `+smooth` stands for every method's maps after HEAP's smoothing,
`+nonzero` for TokenCut's reading of the truth, and `+{split}` is added where one benchmark asks for the same figures of
several splits of a dataset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heap.data.manifest import Manifest
from heap.errors import DataError
from heap.evaluate import measures, saliency
from heap.evaluate.jobs import (
    HEAP,
    SMOOTH,
    DiscoveryJob,
    Features,
    InstancesJob,
    Key,
    Maps,
    Methods,
    RetrievalJob,
    SaliencyJob,
    Segmented,
    SemanticJob,
)
from heap.evaluate.measures import NO_INTERVALS, Measured, Resampling
from heap.evaluate.truth import Photo, photos_of
from heap.progress import track
from heap.segment.masks_json import annotations_of
from heap.settings.stages import DiscoveryTask, InstancesTask, RetrievalTask, SaliencyTask, SemanticTask, Task
from heap.workers import spread, workers_for

Skip = dict[str, str]  # photo, reason
Kept = list[tuple[Photo, Any]]

# A photo with the bilateral solver takes four times as long as one without (benchmarks/evaluation.py, two methods), so
# fewer photos are worth a worker.
_SOLVER_WEIGHT = 4


@dataclass(frozen=True)
class Dataset:
    """What the stage was given of one dataset.

    Attributes:
        manifest: its photos and their truth.
        maps: of each method.
        features: its feature store, if given.
        instances: HEAP's COCO instances, if given.
    """

    manifest: Manifest
    maps: Mapping[str, Maps]
    features: Features | None
    instances: dict[str, Any] | None

    @property
    def name(self) -> str:
        """Name in the configuration."""
        return str(self.manifest.info["dataset"])

    @property
    def classes(self) -> list[str]:
        """Names of the class ids 1, 2, ..."""
        return list(self.manifest.info["classes"])

    def photos(self, split: str | None) -> list[Photo]:
        """Return the photos of a split, all for None."""
        return photos_of(self.manifest.rows(split), self.manifest.root)

    def unlisted(self) -> list[Skip]:
        """Return photos left out of the manifest; their split is not known, so they count in every task."""
        return [{"photo": item["path"], "reason": item["reason"]} for item in self.manifest.info["skipped"]]


@dataclass(frozen=True)
class Run:
    """How a task is run.

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

    def over(self, job: Any, items: Sequence[Any], doing: str, weight: int = 1) -> Iterator[Any]:
        """Yield `job(item)` in order, with progress; each takes as long as `weight` photos without a solver."""
        workers = workers_for(len(items) * weight) if self.workers is None else self.workers
        return track(spread(job, items, workers), len(items), "photos", f"evaluating {doing}", self.progress)


@dataclass(frozen=True)
class Outcome:
    """What a task gave for one method.

    Attributes:
        method: whose maps.
        mark: "" for its maps as they are, `SMOOTH` for smoothed ones.
        measured: figures, intervals, and a row for each photo.
        images: photos the figures are over.
        skipped: photos that are not in them, and why; in retrieval also those that the gallery lacks.
        fallbacks: photos where a rule of ours stepped in.
        notes: counts worth knowing, and `warning` where something needs an eye.
    """

    method: str
    mark: str
    measured: Measured
    images: int
    skipped: list[Skip]
    fallbacks: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)


def run_task(task: Task, tasks: Sequence[Task], dataset: Dataset, methods: Sequence[str], run: Run) -> list[Outcome]:
    """Run one task for all methods.

    Args:
        task: what to measure.
        tasks: all tasks of the benchmark, by which the variant is named.
        dataset: its dataset.
        methods: whose maps are measured, in the order of the table.
        run: workers and progress.

    Raises:
        DataError: maps, features, masks or truth that the task needs are missing or do not fit.
    """
    if isinstance(task, SaliencyTask):
        return _saliency(task, dataset, methods, run, suffix(task, tasks))
    if isinstance(task, DiscoveryTask):
        return _discovery(task, dataset, methods, run, suffix(task, tasks))
    if isinstance(task, InstancesTask):
        return _instances(task, dataset, methods, run, suffix(task, tasks))
    if isinstance(task, RetrievalTask):
        return _retrieval(task, dataset, methods, run)
    return [_semantic(task, dataset, run, suffix(task, tasks))]


def suffix(task: SaliencyTask | DiscoveryTask | InstancesTask | SemanticTask, tasks: Sequence[Task]) -> str:
    """Return what is added to a task's variants so that no two figures of the table have one name."""
    reading = "+nonzero" if isinstance(task, SaliencyTask) and task.truth == "nonzero" else ""
    splits = {other.split for other in tasks if isinstance(other, type(task)) and other.dataset == task.dataset}
    return reading + (f"+{task.split or 'all'}" if len(splits) > 1 else "")


def _saliency(task: SaliencyTask, dataset: Dataset, methods: Sequence[str], run: Run, mark: str) -> list[Outcome]:
    photos = dataset.photos(task.split)
    chosen = _methods(dataset, methods, run)
    refined = saliency.solver_variants(task.bilateral)
    tokencut = task.bilateral == "peers"
    job = SaliencyJob(chosen, task.truth, refined, tokencut, dataset.manifest.root)
    weight = _SOLVER_WEIGHT if refined else 1
    results = run.over(job, photos, f"saliency of {dataset.name}", weight)
    outcomes = []
    for (method, own), kept, skipped in _by_method(dataset, chosen, photos, results):
        variants = [*saliency.VARIANTS, *refined, *(saliency.TOKENCUT_VARIANTS if tokencut and not own else ())]
        measured = measures.of_saliency(_named(kept), variants, task.truth, own + mark, run.resampling)
        outcomes.append(Outcome(method, own, measured, len(kept), skipped, notes=measured.notes))
    return outcomes


def _discovery(task: DiscoveryTask, dataset: Dataset, methods: Sequence[str], run: Run, mark: str) -> list[Outcome]:
    listed = dataset.photos(task.split)
    if all(photo.boxes is None for photo in listed):
        raise DataError(f"{dataset.name}: no photo has true boxes, and discovery needs them (key boxes of the dataset)")
    # The peers' code crashes on a photo without a box; there is nothing that a box could hit.
    photos = [photo for photo in listed if photo.boxes is not None and len(photo.boxes)]
    boxless = [{"photo": p.image_id, "reason": "no true box"} for p in listed if p.boxes is None or not len(p.boxes)]
    chosen = _methods(dataset, methods, run)
    results = run.over(DiscoveryJob(chosen), photos, f"discovery of {dataset.name}")
    outcomes = []
    for (method, own), kept, skipped in _by_method(dataset, chosen, photos, results):
        measured = measures.of_discovery(_named(kept), "largest" + own + mark, run.resampling)
        fallbacks = [photo.image_id for photo, judged in kept if judged.fallback]
        outcomes.append(Outcome(method, own, measured, len(kept), skipped + boxless, fallbacks))
    return outcomes


def _instances(task: InstancesTask, dataset: Dataset, methods: Sequence[str], run: Run, mark: str) -> list[Outcome]:
    photos = [photo for photo in dataset.photos(task.split) if photo.boxes is not None]
    if not any(len(photo.boxes) for photo in photos if photo.boxes is not None):
        raise DataError(f"{dataset.name}: no photo has true boxes, and instances need them (key boxes of the dataset)")
    if dataset.instances is None:
        raise DataError(f"{dataset.name}: instances needs its masks JSON, none of those given is of it")
    info, found = dataset.instances["info"], annotations_of(dataset.instances)
    chosen = _methods(dataset, [method for method in methods if method != HEAP], run)
    job = InstancesJob(chosen, float(info["threshold"]), float(info["min_area"]))
    items = [Segmented(photo, found.get(photo.image_id)) for photo in photos]
    keys = _methods(dataset, methods, run).keys
    kept: dict[Key, list[tuple[str, Any]]] = {key: [] for key in keys}
    lacking: dict[Key, list[Skip]] = {key: [] for key in keys}
    for photo, result in zip(photos, run.over(job, items, f"instances of {dataset.name}"), strict=True):
        for key in keys:
            if key in result:
                kept[key].append((photo.image_id, result[key]))
            else:
                lacking[key].append({"photo": photo.image_id, "reason": "has no masks, or no map"})
    outcomes = []
    for (method, own), pairs in kept.items():
        if not pairs:
            raise DataError(f"{dataset.name}: none of the {len(photos)} photos of the task has instances of {method}")
        measured = measures.of_instances(pairs, "boxes" + own + mark, run.resampling)
        skipped = lacking[method, own] + dataset.unlisted()
        outcomes.append(Outcome(method, own, measured, len(pairs), skipped, notes=measured.notes))
    return outcomes


def _retrieval(task: RetrievalTask, dataset: Dataset, methods: Sequence[str], run: Run) -> list[Outcome]:
    subsets = {name: _class_ids(dataset, name, classes) for name, classes in task.subsets.items()}
    gallery, queries = dataset.photos(task.gallery), dataset.photos(task.query)
    if dataset.features is None:
        raise DataError(f"{dataset.name}: retrieval needs the receipt of its features, none of those given is of it")
    chosen, classes = _methods(dataset, methods, run), len(dataset.classes) + 1
    photos = gallery if task.gallery == task.query else gallery + queries
    job = RetrievalJob(chosen, dataset.features, classes)
    results = run.over(job, photos, f"retrieval of {dataset.name}")
    in_gallery, in_queries = ({photo.image_id for photo in part} for part in (gallery, queries))
    outcomes = []
    for (method, own), kept, skipped in _by_method(dataset, chosen, photos, results):
        bank = [(photo.image_id, described) for photo, described in kept if photo.image_id in in_gallery]
        asked = [(photo.image_id, described) for photo, described in kept if photo.image_id in in_queries]
        if not asked:
            raise DataError(f"{dataset.name}: no photo of {task.query} is left for retrieval with {method}")
        variant = f"{task.gallery}-{task.query}{own}"
        measured = measures.of_retrieval(bank, asked, subsets, variant, run.resampling)
        outcomes.append(Outcome(method, own, measured, len(asked), skipped, notes=measured.notes))
    return outcomes


def _semantic(task: SemanticTask, dataset: Dataset, run: Run, mark: str) -> Outcome:
    if dataset.instances is None:
        raise DataError(f"{dataset.name}: semantic needs its masks JSON, none of those given is of it")
    found = annotations_of(dataset.instances)
    photos = dataset.photos(task.split)
    items = [Segmented(photo, found[photo.image_id]) for photo in photos if photo.image_id in found]
    skipped = [{"photo": p.image_id, "reason": "not in the masks JSON"} for p in photos if p.image_id not in found]
    if not items:
        raise DataError(f"{dataset.name}: no photo of the task is in its masks JSON")
    job = SemanticJob(len(dataset.classes) + 1)
    described = zip(items, run.over(job, items, f"semantic of {dataset.name}"), strict=True)
    kept = [(item.photo.image_id, one) for item, one in described]
    measured = measures.of_semantic(kept, "hungarian" + mark, run.resampling)
    return Outcome(HEAP, "", measured, len(items), skipped + dataset.unlisted(), notes=measured.notes)


def _named(kept: Kept) -> list[tuple[str, Any]]:
    return [(photo.image_id, result) for photo, result in kept]


def _methods(dataset: Dataset, methods: Sequence[str], run: Run) -> Methods:
    missing = [method for method in methods if method not in dataset.maps]
    if missing:
        raise DataError(f"{dataset.name}: no maps of method {', '.join(missing)} among the receipts given")
    smoothing = 0.0 if all(method == HEAP for method in methods) else run.smoothing
    if smoothing and dataset.features is None:
        raise DataError(
            f"{dataset.name}: variants {SMOOTH} need the receipt of its features, none of those given is of it"
        )
    return Methods({method: dataset.maps[method] for method in methods}, dataset.features, smoothing)


def _by_method(
    dataset: Dataset, methods: Methods, photos: Sequence[Photo], results: Iterator[dict[Key, Any]]
) -> Iterator[tuple[Key, Kept, list[Skip]]]:
    """Yield each method with what was kept of its photos, and the photos that have no map."""
    kept: dict[Key, Kept] = {key: [] for key in methods.keys}
    for photo, result in zip(photos, results, strict=True):
        for key, value in result.items():
            kept[key].append((photo, value))
    for (method, own), pairs in kept.items():
        if not pairs:
            raise DataError(f"{dataset.name}: none of the {len(photos)} photos of the task has a map of {method}")
        reasons = {item["image_id"]: item["reason"] for item in methods.maps[method].reader.receipt["skipped"]}
        have = methods.maps[method].rows
        without = [photo.image_id for photo in photos if photo.image_id not in have]
        skipped = [{"photo": image_id, "reason": reasons.get(image_id, "has no map")} for image_id in without]
        yield (method, own), pairs, skipped + dataset.unlisted()


def _class_ids(dataset: Dataset, subset: str, names: Sequence[str]) -> list[int]:
    unknown = [name for name in names if name not in dataset.classes]
    if unknown or not names:
        raise DataError(
            f"{dataset.name}: subset {subset} names {', '.join(unknown) or 'no class'}; "
            f"there are: {', '.join(dataset.classes)}"
        )
    return [1 + dataset.classes.index(name) for name in names]
