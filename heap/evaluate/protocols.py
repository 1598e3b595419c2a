"""The five protocols: what is done with one photo, and what its ground truth and a prediction must be able to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from typing import Protocol as Interface

from heap.bilateral import BilateralGrid, Parts
from heap.components import Mask
from heap.data.photos import photo_frame, read_photo
from heap.errors import DataError
from heap.evaluate import discovery, instances, levels, measures, retrieval, saliency, semantic
from heap.evaluate.measures import Measured, Resampling
from heap.evaluate.pairs import Pair, Protocol, Skip
from heap.evaluate.retrieval import Weighted
from heap.evaluate.truth import Labels, Photo, class_labels, saliency_truth
from heap.grid import PatchGrid
from heap.upsample import nearest

Kept = list[tuple[str, Any]]


@dataclass(frozen=True)
class Saliency(Protocol):
    """Maps against binary masks. A prediction has `pixels(size)`, `nearest(size)` and `smoothed`.

    Attributes:
        reading: of the masks.
        refined: variants with the bilateral solver, and what each keeps of its output; none for no solver.
        tokencut: also TokenCut's own reading of maps as the methods give them.
        variants: what the table names of all that.
    """

    reading: levels.Reading
    refined: Mapping[str, Parts] = field(default_factory=dict)
    tokencut: bool = False
    variants: Sequence[str] = saliency.VARIANTS
    name = "saliency"

    def weight(self) -> int:
        """A photo with the bilateral solver takes four times as long (benchmarks/evaluation.py, two methods)."""
        return 4 if self.refined else 1

    def truth(self, photo: Photo) -> tuple[Mask, levels.Levels, BilateralGrid | None]:
        """Return the true foreground, its file's levels, and the solver's grid where it is asked."""
        mask, saved = saliency_truth(photo, self.reading)
        return mask, saved, self.grid(photo, mask) if self.refined or self.tokencut else None

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

    def score(self, one: Any, photo: Photo, truth: Any) -> saliency.Scored:
        """Return the figures of every variant."""
        foreground, saved, grid = truth
        soft = one.pixels(foreground.shape)
        scores = saliency.score(soft, foreground)
        if grid is not None and self.refined:
            scores |= saliency.score_refined(soft > saliency.FOREGROUND_ABOVE, foreground, grid, self.refined)
        if grid is not None and self.tokencut and not one.smoothed:
            scores |= saliency.score_tokencut(one.nearest(foreground.shape), foreground, grid)
        return saliency.Scored(scores, saved, float(soft.max()))

    def measured(self, kept: Kept, mark: str, resampling: Resampling) -> Measured:
        """Return iou, acc and both readings of max F of the variants."""
        there = [variant for variant in self.variants if variant in kept[0][1].scores]
        return measures.of_saliency(kept, there, self.reading, mark, resampling)


@dataclass(frozen=True)
class Discovery(Protocol):
    """One box a photo against the true boxes. A prediction has `judged(photo)`."""

    name = "discovery"

    def scorable(self, of: str, pairs: Sequence[Pair]) -> tuple[Sequence[Pair], list[Skip]]:
        """Leave photos without a box out: the peers' code crashes there, and nothing is there for a box to hit."""
        with_box = [pair for pair in pairs if pair.photo.boxes is not None and len(pair.photo.boxes)]
        if not with_box:
            raise DataError(f"{of}: none of the photos to score has a true box, and discovery needs them")
        boxless = {pair.photo.image_id for pair in pairs} - {pair.photo.image_id for pair in with_box}
        return with_box, [{"photo": name, "reason": "no true box"} for name in sorted(boxless)]

    def score(self, one: Any, photo: Photo, truth: None) -> discovery.Judged:
        """Return the box and whether it is right."""
        judged: discovery.Judged = one.judged(photo)
        return judged

    def measured(self, kept: Kept, mark: str, resampling: Resampling) -> Measured:
        """Return CorLoc."""
        return measures.of_discovery(kept, "largest" + mark, resampling)


@dataclass(frozen=True)
class Instances(Protocol):
    """Every found object against every true one. A prediction is a list of COCO annotations with scores."""

    kind: instances.Kind = "bbox"
    name = "instances"

    def scorable(self, of: str, pairs: Sequence[Pair]) -> tuple[Sequence[Pair], list[Skip]]:
        """Refuse photos of which none has an object."""
        if not any(pair.photo.objects is not None and not all(pair.photo.objects.crowd) for pair in pairs):
            raise DataError(f"{of}: none of the photos to score has a true object, and instances need them")
        return pairs, []

    def truth(self, photo: Photo) -> instances.Objects:
        """Return the true objects."""
        if self.kind == "segm":
            assert photo.annotations is not None
            return instances.objects_of(photo.annotations, "segm", photo.size)
        assert photo.objects is not None
        return photo.objects

    def score(self, one: Any, photo: Photo, truth: instances.Objects) -> instances.Matches:
        """Return which found object hits which true one."""
        return instances.match(instances.objects_of(one, self.kind, photo.size), truth, self.kind)

    def measured(self, kept: Kept, mark: str, resampling: Resampling) -> Measured:
        """Return AP50, AP50:95 and AR100."""
        return measures.of_instances(kept, ("boxes" if self.kind == "bbox" else "masks") + mark, resampling)


class Vectors(Interface):
    """Where the features of retrieval come from."""

    def weighted(self, photo: Photo, mask: Mask, grid: PatchGrid | None) -> Weighted:
        """Return features `(N, D)` of a photo and what each counts in the mean over a mask."""


@dataclass(frozen=True)
class Retrieval(Protocol):
    """Masks, features and classes. A prediction has `pixels(size)` and `grid`, None where it is of no patches.

    Attributes:
        features: of the photos.
        classes: how many, background included.
        gallery: names of the photos that are searched.
        queries: names of the photos that are segmented; a photo may be both.
        subsets: class ids of each further figure.
        variant: name of the two lists.
        size: labels are brought to this size (nearest) and masks must have it; None takes the encoder's input
            (512 x 512 in MaskContrast), or keeps the labels' own size.
    """

    features: Vectors
    classes: int
    gallery: Collection[str]
    queries: Collection[str]
    subsets: Mapping[str, Sequence[int]]
    variant: str
    size: tuple[int, int] | None = None
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

    def measured(self, kept: Kept, mark: str, resampling: Resampling) -> Measured:
        """Return the mIoU over all classes and over each subset.

        Raises:
            DataError: no query is left, or vectors differ in length.
        """
        example = {len(one.prototype): name for name, one in kept}  # by the length of its vector
        if len(example) > 1:
            found = ", ".join(f"{length} ({name})" for length, name in sorted(example.items()))
            raise DataError(f"feature vectors of different lengths, expected one for all: {found}")
        bank, asked = ([(name, one) for name, one in kept if name in part] for part in (self.gallery, self.queries))
        if not asked:
            raise DataError("no query of the retrieval is left")
        return measures.of_retrieval(bank, asked, self.subsets, self.variant + mark, resampling)


@dataclass(frozen=True)
class Semantic(Protocol):
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

    def measured(self, kept: Kept, mark: str, resampling: Resampling) -> Measured:
        """Return mIoU with and without background and NMI, each for shuffled clusters too."""
        return measures.of_semantic(kept, "hungarian" + mark, resampling)
