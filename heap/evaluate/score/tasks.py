"""The scorer's tasks over whole folders: which files belong together, and what comes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from heap.errors import DataError
from heap.evaluate import instances, measures, saliency
from heap.evaluate.instances import Box
from heap.evaluate.measures import NO_INTERVALS, Measured, Resampling
from heap.evaluate.score import jobs
from heap.evaluate.score.files import ARRAYS, IMAGES, Pairs, match, predicted_files, read_list, refuse, truth_files
from heap.evaluate.score.jobs import Photo
from heap.evaluate.score.objects import Truth, read_boxes, read_results, read_truth

CLUSTER_MAPS = tuple(suffix for suffix in IMAGES if suffix in (".png", ".bmp", ".gif", ".tif", ".tiff", ".pgm"))


@dataclass(frozen=True)
class Inputs:
    """What every task is given.

    Attributes:
        pred: the predictions.
        truth: the truth.
        listed: file with the photos to score; None scores all of the truth.
        workers: processes; None takes as many as cores and photos occupy.
        resampling: of the intervals.
    """

    pred: Path
    truth: Path
    listed: Path | None = None
    workers: int | None = None
    resampling: Resampling = NO_INTERVALS

    def names(self, nested: bool) -> list[str] | None:
        """Return the listed photos, None for all."""
        return None if self.listed is None else read_list(self.listed, nested)


@dataclass(frozen=True)
class Scored:
    """What a task gave.

    Attributes:
        task: its name in tables.
        measured: figures, intervals, rows.
        images: photos the figures are over.
        skipped: photos of the truth that are not in them, and why.
        fallbacks: photos whose prediction was empty.
        notes: counts worth knowing.
    """

    task: str
    measured: Measured
    images: int
    skipped: list[dict[str, str]] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)


def score_saliency(
    inputs: Inputs, reading: saliency.Reading, variants: Sequence[str], photos_folder: Path | None = None
) -> Scored:
    """Score maps at image resolution against masks of the same stems.

    Args:
        inputs: maps and masks.
        reading: of the masks' grey pixels.
        variants: which; none takes all, those with the bilateral solver only where there are photos.
        photos_folder: the photos, which the bilateral solver looks at.

    Raises:
        DataError: files that do not match or cannot be read, all of them named.
    """
    solver = saliency.solver_variants("peers")
    chosen = variants or [*saliency.VARIANTS, *(saliency.solver_variants(photos_folder is not None))]
    there = (*saliency.VARIANTS, *solver, *saliency.TOKENCUT_VARIANTS)
    unknown = [variant for variant in chosen if variant not in there]
    if unknown:
        raise DataError(f"--variant {unknown[0]}: unknown (there are: {', '.join(there)})")
    refined = {variant: part for variant, part in solver.items() if variant in chosen}
    tokencut = any(variant in saliency.TOKENCUT_VARIANTS for variant in chosen)
    photos, notes = _files(inputs)
    if refined or tokencut:
        if photos_folder is None:
            needs = next(variant for variant in chosen if variant not in saliency.VARIANTS)
            raise DataError(f"--variant {needs}: the bilateral solver needs the photos (--photos)")
        photos = _with_photos(photos, photos_folder)
    results = jobs.run(jobs.SaliencyJob(reading, refined, tokencut), photos, "scoring saliency", inputs.workers)
    # A map as large as 1 in 255 nowhere: masks of 0 and 1 written as bytes, and every one would score as empty.
    if 0 < max(one.highest for _, one in results) <= 1 / 255 + 1e-9:
        raise DataError(f"{inputs.pred}: no value is above 1 of 255; masks must be 0 and 255, not 0 and 1")
    mark = "+nonzero" if reading == "nonzero" else ""
    kept = [(name, one.photo) for name, one in results]
    measured = measures.of_saliency(kept, chosen, reading, mark, inputs.resampling)
    notes["empty_maps"] = sum(one.highest <= saliency.FOREGROUND_ABOVE for _, one in results)
    return Scored("saliency", measured, len(kept), notes={**notes, **measured.notes})


def score_discovery(inputs: Inputs) -> Scored:
    """Score one box a photo, given in a JSON or taken around the largest part of a mask at image resolution.

    Raises:
        DataError: predictions that do not match or cannot be read, all of them named.
    """
    truth = read_truth(inputs.truth)
    masks: Mapping[str, Path] = {}
    boxes: Mapping[str, Box | None] = {}
    notes: dict[str, Any] = {}
    if inputs.pred.is_dir():
        masks, notes["other_files"] = predicted_files(inputs.pred, truth.nested)
    else:
        boxes = read_boxes(inputs.pred, truth)
    pairs = match({**masks, **boxes}, truth.boxes, inputs.names(truth.nested), str(inputs.pred))
    # The peers' code crashes on a photo without a box; there is nothing that a box could hit.
    boxless = [name for name in pairs.names if not len(truth.boxes[name])]
    photos = [
        Photo(
            name,
            masks.get(name),
            given={"boxes": truth.boxes[name], "box": boxes.get(name), "size": truth.sizes.get(name)},
        )
        for name in pairs.names
        if len(truth.boxes[name])
    ]
    if not photos:
        raise DataError(f"{inputs.truth}: none of the photos to score has a true box")
    kept = jobs.run(jobs.DiscoveryJob(), photos, "scoring discovery", inputs.workers)
    measured = measures.of_discovery(kept, "largest", inputs.resampling)
    skipped = [{"photo": name, "reason": "no true box"} for name in boxless]
    fallbacks = [name for name, judged in kept if judged.fallback]
    return Scored("discovery", measured, len(kept), skipped, fallbacks, {**notes, "not_listed": pairs.not_listed})


def score_retrieval(
    inputs: Inputs, features: Path, gallery: Path, queries: Path, classes: int, subsets: Mapping[str, Sequence[int]],
    size: tuple[int, int] | None, patch_px: int | None,
) -> Scored:  # fmt: skip
    """Score masks with one feature vector a photo (or feature maps) by retrieval.

    Args:
        inputs: masks and class masks.
        features: folder of `.npy`.
        gallery: list of the photos that are searched.
        queries: list of the photos that are segmented.
        classes: how many, background included.
        subsets: class ids of each further figure.
        size: labels are brought to it and masks must have it.
        patch_px: side of a patch of feature maps.

    Raises:
        DataError: files that do not match or cannot be read, all of them named.
    """
    true, nested = truth_files(inputs.truth)
    predicted, other = predicted_files(inputs.pred, nested)
    vectors, _ = predicted_files(features, nested, ARRAYS)
    bank, asked = read_list(gallery, nested), read_list(queries, nested)
    both = list(dict.fromkeys([*bank, *asked]))
    pairs = match(predicted, true, both, str(inputs.pred))
    match(vectors, true, both, str(features))
    photos = [Photo(name, predicted[name], true[name], {"features": vectors[name]}) for name in pairs.names]
    job = jobs.RetrievalJob(classes, size, patch_px)
    described = dict(jobs.run(job, photos, "scoring retrieval", inputs.workers))
    example = {len(one.prototype): name for name, one in described.items()}  # by the length of its vector
    if len(example) > 1:
        found = ", ".join(f"{length} ({name})" for length, name in sorted(example.items()))
        raise DataError(f"{features}: vectors of different lengths, expected one for all: {found}")
    measured = measures.of_retrieval(
        [(name, described[name]) for name in bank], [(name, described[name]) for name in asked], subsets,
        f"{_stem(gallery)}-{_stem(queries)}", inputs.resampling,
    )  # fmt: skip
    notes = {**measured.notes, "other_files": other, "not_listed": pairs.not_listed}
    return Scored("retrieval", measured, len(asked), notes=notes)


def score_semantic(inputs: Inputs, classes: int) -> Scored:
    """Score cluster maps (0 background, 1 to 254 clusters) against class masks or COCO's instances.

    Args:
        inputs: cluster maps and class masks.
        classes: how many, background included; COCO's JSON tells its own.

    Raises:
        DataError: files that do not match or cannot be read, all of them named.
    """
    if inputs.truth.is_dir():
        photos, notes = _files(inputs, CLUSTER_MAPS)
        job = jobs.SemanticJob(classes, {})
    else:
        truth = read_truth(inputs.truth)
        if not truth.categories:
            raise DataError(f"{inputs.truth}: expected a folder of class masks or COCO's instances with categories")
        class_of = {category: number for number, category in enumerate(sorted(truth.categories), start=1)}
        predicted, other = predicted_files(inputs.pred, truth.nested, CLUSTER_MAPS)
        pairs = match(predicted, truth.boxes, inputs.names(truth.nested), str(inputs.pred))
        photos = [
            Photo(name, predicted[name], given={"size": truth.sizes.get(name), "annotations": truth.masks[name]})
            for name in pairs.names
        ]
        notes = {"other_files": other, "not_listed": pairs.not_listed, "classes": len(class_of) + 1}
        job = jobs.SemanticJob(len(class_of) + 1, class_of)
    kept = jobs.run(job, photos, "scoring semantic", inputs.workers)
    measured = measures.of_semantic(kept, "hungarian", inputs.resampling)
    return Scored("semantic", measured, len(kept), notes={**notes, **measured.notes})


def score_instances(inputs: Inputs, kind: instances.Kind) -> Scored:
    """Score objects with scores against all true ones, whatever their class.

    Raises:
        DataError: objects or photos that do not fit, all of them named.
    """
    truth = read_truth(inputs.truth)
    if kind == "segm" and not truth.masks:
        raise DataError(f"{inputs.truth}: has no masks; --compare masks needs COCO's instances")
    found = read_results(inputs.pred, truth, kind)
    # COCO's results do not tell a photo where nothing was found from one that was forgotten: both have no object.
    every: Mapping[str, Any] = {name: found.get(name, []) for name in truth.boxes}
    pairs = match(every, truth.boxes, inputs.names(truth.nested), str(inputs.pred))
    photos = [
        Photo(
            name,
            given={
                "found": every[name], "true": truth.objects[name], "size": truth.sizes.get(name),
                "annotations": truth.masks.get(name, []) if kind == "segm" else [],
            },
        )
        for name in pairs.names
    ]  # fmt: skip
    if not any(_to_be_found(truth, photo.name) for photo in photos):
        raise DataError(f"{inputs.truth}: none of the photos to score has a true object")
    kept = jobs.run(jobs.InstancesJob(kind), photos, "scoring instances", inputs.workers)
    measured = measures.of_instances(kept, "boxes" if kind == "bbox" else "masks", inputs.resampling)
    return Scored("instances", measured, len(kept), notes={**measured.notes, "not_listed": pairs.not_listed})


def _with_photos(photos: Sequence[Photo], folder: Path) -> list[Photo]:
    """Return the photos each with its own file, which only the bilateral solver looks at."""
    nested = any("/" in photo.name for photo in photos)
    files, _ = predicted_files(folder, nested, IMAGES)
    refuse({f"photos are not in {folder}": [photo.name for photo in photos if photo.name not in files]})
    return [replace(photo, given={"photo": files[photo.name]}) for photo in photos]


def _to_be_found(truth: Truth, name: str) -> bool:
    return not np.all(truth.objects[name].crowd)


def _files(inputs: Inputs, suffixes: Sequence[str] = (*IMAGES, *ARRAYS)) -> tuple[list[Photo], dict[str, Any]]:
    """Return the photos of two folders, and counts of what was passed over."""
    true, nested = truth_files(inputs.truth)
    predicted, other = predicted_files(inputs.pred, nested, suffixes)
    pairs: Pairs = match(predicted, true, inputs.names(nested), str(inputs.pred))
    photos = [Photo(name, predicted[name], true[name]) for name in pairs.names]
    return photos, {"other_files": other, "not_listed": pairs.not_listed}


def _stem(path: Path) -> str:
    return path.name.removesuffix(".txt")
