"""The tasks of a benchmark on the cache: which photos, which maps, which variants.

Variants, as tables name them: saliency `multi` and `single`, `+bs` after the bilateral solver, `+bs-peers` with its
output read as FOUND's code does, `-tokencut` as TokenCut's code reads its maps; discovery `largest`; instances `boxes`;
retrieval `{gallery}-{query}`; semantic `hungarian`. `+smooth` stands for every method's maps after HEAP's smoothing,
`+nonzero` for TokenCut's reading of the ground truth, and `+{split}` is added where one benchmark asks for the same
figures of several splits of a dataset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heap.data.manifest import Manifest
from heap.errors import DataError
from heap.evaluate import pairs as pairing
from heap.evaluate import protocols, saliency
from heap.evaluate.pairs import Given, Outcome, Pair, Predictions, Protocol, Run, Skip
from heap.evaluate.predictions import HEAP, SMOOTH, Clustered, Features, Maps, Methods, Parts
from heap.evaluate.truth import Photo, photos_of
from heap.segment.masks_json import annotations_of
from heap.settings.stages import DiscoveryTask, InstancesTask, RetrievalTask, SaliencyTask, SemanticTask, Task


@dataclass(frozen=True)
class Dataset:
    """What the stage was given of one dataset.

    Attributes:
        manifest: its photos and their ground truth.
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
        """Return photos left out of the manifest."""
        return [{"photo": item["path"], "reason": item["reason"]} for item in self.manifest.info["skipped"]]

    def methods(self, names: Sequence[str], smoothing: float) -> Methods:
        """Return the maps of some methods, smoothed too where there is another than HEAP.

        Raises:
            DataError: maps are missing, or the features that smoothing needs.
        """
        missing = [method for method in names if method not in self.maps]
        if missing:
            raise DataError(f"{self.name}: no maps of method {', '.join(missing)} among the receipts given")
        width = 0.0 if all(method == HEAP for method in names) else smoothing
        if width and self.features is None:
            raise DataError(
                f"{self.name}: variants {SMOOTH} need the receipt of its features, none of those given is of it"
            )
        return Methods({method: self.maps[method] for method in names}, self.features, width)

    def masks(self, task: str) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
        """Return what HEAP's masks JSON says of itself, and its annotations by photo.

        Raises:
            DataError: there is none.
        """
        if self.instances is None:
            raise DataError(f"{self.name}: {task} needs its masks JSON, none of those given is of it")
        return self.instances["info"], annotations_of(self.instances)


def run_task(task: Task, tasks: Sequence[Task], dataset: Dataset, methods: Sequence[str], run: Run) -> list[Outcome]:
    """Run one task for all methods.

    Args:
        task: what to measure.
        tasks: all tasks of the benchmark, by which the variant is named.
        dataset: its dataset.
        methods: whose maps are measured, in the order of the table.
        run: workers, progress, intervals, smoothing.

    Raises:
        DataError: maps, features, masks or ground truth that the task needs are missing or do not fit.
    """
    mark = "" if isinstance(task, RetrievalTask) else suffix(task, tasks)

    def of(where: Predictions, protocol: Protocol, pairs: list[Pair], absent: Sequence[Skip] = ()) -> list[Outcome]:
        return pairing.Task(dataset.name, where, run, mark, [*absent, *dataset.unlisted()]).score(protocol, pairs)

    if isinstance(task, SemanticTask):
        _, found = dataset.masks(task.task)
        photos = dataset.photos(task.split)
        absent = [{"photo": p.image_id, "reason": "not in the masks JSON"} for p in photos if p.image_id not in found]
        clustered = [Pair(photo, Clustered(found[photo.image_id])) for photo in photos if photo.image_id in found]
        if not clustered:
            raise DataError(f"{dataset.name}: no photo of the task is in its masks JSON")
        return of(Given([(HEAP, "")]), protocols.Semantic(len(dataset.classes) + 1), clustered, absent)
    maps = dataset.methods(methods, run.smoothing)
    if isinstance(task, RetrievalTask):
        return of(maps, *_retrieval(task, dataset))
    photos = dataset.photos(task.split)
    if isinstance(task, InstancesTask):
        info, found = dataset.masks(task.task)
        parts = Parts(maps, float(info["threshold"]), float(info["min_area"]))
        pairs = [Pair(photo, found.get(photo.image_id)) for photo in photos if photo.objects is not None]
        return of(parts, protocols.Instances(), pairs)
    if isinstance(task, DiscoveryTask):
        return of(maps, protocols.Discovery(), [Pair(photo) for photo in photos])
    refined = saliency.solver_variants(task.bilateral)
    variants = [*saliency.VARIANTS, *refined, *saliency.TOKENCUT_VARIANTS]
    on_masks = protocols.Saliency(task.truth, refined, task.bilateral == "peers", variants)
    return of(maps, on_masks, [Pair(photo) for photo in photos])


def _retrieval(task: RetrievalTask, dataset: Dataset) -> tuple[protocols.Retrieval, list[Pair]]:
    if dataset.features is None:
        raise DataError(f"{dataset.name}: retrieval needs the receipt of its features, none of those given is of it")
    subsets = {name: _class_ids(dataset, name, classes) for name, classes in task.subsets.items()}
    gallery, queries = (dataset.photos(split) for split in (task.gallery, task.query))
    every = {photo.image_id: photo for photo in [*gallery, *queries]}  # a photo may be in both
    searched, asked = ({photo.image_id for photo in part} for part in (gallery, queries))
    variant, classes = f"{task.gallery}-{task.query}", len(dataset.classes) + 1
    protocol = protocols.Retrieval(dataset.features, classes, searched, asked, subsets, variant)
    return protocol, [Pair(photo) for photo in every.values()]


def suffix(task: SaliencyTask | DiscoveryTask | InstancesTask | SemanticTask, tasks: Sequence[Task]) -> str:
    """Return what is added to a task's variants so that no two figures of the table have one name."""
    reading = "+nonzero" if isinstance(task, SaliencyTask) and task.truth == "nonzero" else ""
    splits = {other.split for other in tasks if isinstance(other, type(task)) and other.dataset == task.dataset}
    return reading + (f"+{task.split or 'all'}" if len(splits) > 1 else "")


def _class_ids(dataset: Dataset, subset: str, names: Sequence[str]) -> list[int]:
    unknown = [name for name in names if name not in dataset.classes]
    if unknown or not names:
        raise DataError(
            f"{dataset.name}: subset {subset} names {', '.join(unknown) or 'no class'}; "
            f"there are: {', '.join(dataset.classes)}"
        )
    return [1 + dataset.classes.index(name) for name in names]
