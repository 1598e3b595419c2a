"""The scorer's tasks over whole folders: which files belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heap.errors import DataError
from heap.evaluate import instances, levels, protocols, saliency
from heap.evaluate.measures import NO_INTERVALS, Resampling
from heap.evaluate.pairs import Given, Outcome, Pair, Protocol, Run, Task
from heap.evaluate.problems import refuse
from heap.evaluate.retrieval import IGNORED
from heap.evaluate.score.files import ARRAYS, IMAGES, match, predicted_files, read_list, truth_files
from heap.evaluate.score.objects import read_boxes, read_results, read_truth
from heap.evaluate.score.predictions import Boxed, ClusterFile, FeatureFiles, MapFile
from heap.evaluate.truth import Photo

Notes = dict[str, Any]
CLUSTER_MAPS = tuple(suffix for suffix in IMAGES if suffix in (".png", ".bmp", ".gif", ".tif", ".tiff", ".pgm"))


@dataclass(frozen=True)
class Inputs:
    """What every task is given.

    Attributes:
        pred: the predictions.
        truth: the ground truth.
        listed: file with the photos to score; None scores all of the ground truth.
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

    def score(self, protocol: Protocol, pairs: Sequence[Pair], notes: Notes, mark: str = "") -> Outcome:
        """Return what a protocol gives, with further notes."""
        task = Task(str(self.truth), Given(), Run(self.workers, resampling=self.resampling), mark)
        (scored,) = task.score(protocol, pairs)
        scored.measured.notes.update(notes)
        return scored

    def matched(self, suffixes: Sequence[str] = (*IMAGES, *ARRAYS)) -> tuple[dict[str, tuple[Path, Path]], Notes]:
        """Return by name the prediction and the true mask of two folders, and counts of what was passed over."""
        true, nested = truth_files(self.truth)
        predicted, other = predicted_files(self.pred, nested, suffixes)
        pairs = match(predicted, true, self.names(nested), str(self.pred))
        files = {name: (predicted[name], true[name]) for name in pairs.names}
        return files, {"other_files": other, "not_listed": pairs.not_listed}


def score_saliency(
    inputs: Inputs, reading: levels.Reading, variants: Sequence[str], photos_folder: Path | None = None
) -> Outcome:
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
    needing = [variant for variant in chosen if variant not in saliency.VARIANTS]
    files, notes = inputs.matched()
    sources: Mapping[str, Path] = {}
    if needing:
        if photos_folder is None:
            raise DataError(f"--variant {needing[0]}: the bilateral solver needs the photos (--photos)")
        sources, _ = predicted_files(photos_folder, any("/" in name for name in files), IMAGES)
        refuse({f"photos are not in {photos_folder}": [name for name in files if name not in sources]})
    pairs = [
        Pair(Photo(name, str(predicted), mask=true, file=sources.get(name)), MapFile(predicted))
        for name, (predicted, true) in files.items()
    ]
    tokencut = any(variant in saliency.TOKENCUT_VARIANTS for variant in chosen)
    protocol = protocols.Saliency(reading, refined, tokencut, chosen)
    scored = inputs.score(protocol, pairs, notes, "+nonzero" if reading == "nonzero" else "")
    # A map as large as 1 in 255 nowhere: masks of 0 and 1 written as bytes, and every one would score as empty.
    if 0 < scored.measured.notes["highest"] <= 1 / 255 + 1e-9:
        raise DataError(f"{inputs.pred}: no value is above 1 of 255; masks must be 0 and 255, not 0 and 1")
    return scored


def score_discovery(inputs: Inputs) -> Outcome:
    """Score one box a photo, given in a JSON or taken around the largest part of a mask at image resolution.

    Raises:
        DataError: predictions that do not match or cannot be read, all of them named.
    """
    truth = read_truth(inputs.truth)
    predicted: dict[str, MapFile] | dict[str, Boxed]
    notes: Notes = {}
    if inputs.pred.is_dir():
        files, notes["other_files"] = predicted_files(inputs.pred, truth.nested)
        predicted = {name: MapFile(path) for name, path in files.items()}
    else:
        predicted = {name: Boxed(box) for name, box in read_boxes(inputs.pred, truth).items()}
    matched = match(predicted, truth.boxes, inputs.names(truth.nested), str(inputs.pred))
    notes["not_listed"] = matched.not_listed
    pairs = [Pair(Photo(n, n, truth.sizes.get(n), boxes=truth.boxes[n]), predicted[n]) for n in matched.names]
    return inputs.score(protocols.Discovery(), pairs, notes)


def score_retrieval(
    inputs: Inputs, features: Path, gallery: Path, queries: Path, classes: int, subsets: Mapping[str, Sequence[int]],
    size: tuple[int, int] | None, patch_px: int | None,
) -> Outcome:  # fmt: skip
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
    files, _ = predicted_files(features, nested, ARRAYS)
    bank, asked = read_list(gallery, nested), read_list(queries, nested)
    both = list(dict.fromkeys([*bank, *asked]))
    matched = match(predicted, true, both, str(inputs.pred))
    match(files, true, both, str(features))
    pairs = [Pair(Photo(n, str(predicted[n]), class_mask=true[n]), MapFile(predicted[n])) for n in both]
    variant = "-".join(path.name.removesuffix(".txt") for path in (gallery, queries))
    vectors = FeatureFiles(files, patch_px)
    protocol = protocols.Retrieval(vectors, classes, set(bank), set(asked), subsets, variant, size)
    return inputs.score(protocol, pairs, {"other_files": other, "not_listed": matched.not_listed})


def score_semantic(inputs: Inputs, classes: int) -> Outcome:
    """Score cluster maps (0 background, 1 to 254 clusters) against class masks or COCO's instances.

    Args:
        inputs: cluster maps and class masks.
        classes: how many, background included; COCO's JSON says its own.

    Raises:
        DataError: files that do not match or cannot be read, all of them named.
    """
    if inputs.truth.is_dir():
        files, notes = inputs.matched(CLUSTER_MAPS)
        pairs = [Pair(Photo(n, str(pred), class_mask=true), ClusterFile(pred)) for n, (pred, true) in files.items()]
    else:
        truth = read_truth(inputs.truth)
        if not truth.categories:
            raise DataError(f"{inputs.truth}: expected a folder of class masks or COCO's instances with categories")
        if len(truth.categories) >= IGNORED:
            raise DataError(f"{inputs.truth}: {len(truth.categories)} categories, but class masks hold at most 254")
        class_of = {category: number for number, category in enumerate(sorted(truth.categories), start=1)}
        classes = len(class_of) + 1
        predicted, other = predicted_files(inputs.pred, truth.nested, CLUSTER_MAPS)
        matched = match(predicted, truth.boxes, inputs.names(truth.nested), str(inputs.pred))
        pairs = []
        for name in matched.names:
            objects = [{**one, "category_id": class_of[one["category_id"]]} for one in truth.masks[name]]
            photo = Photo(name, str(predicted[name]), truth.sizes.get(name), annotations=objects)
            pairs.append(Pair(photo, ClusterFile(predicted[name])))
        notes = {"other_files": other, "not_listed": matched.not_listed, "classes": classes}
    return inputs.score(protocols.Semantic(classes), pairs, notes)


def score_instances(inputs: Inputs, kind: instances.Kind) -> Outcome:
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
    matched = match(every, truth.boxes, inputs.names(truth.nested), str(inputs.pred))
    pairs = [
        Pair(
            Photo(
                name, name, truth.sizes.get(name), objects=truth.objects[name],
                annotations=truth.masks.get(name, []) if kind == "segm" else None,
            ),
            every[name],
        )
        for name in matched.names
    ]  # fmt: skip
    return inputs.score(protocols.Instances(kind), pairs, {"not_listed": matched.not_listed})
