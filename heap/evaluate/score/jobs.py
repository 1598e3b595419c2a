"""One photo's work in each of the scorer's tasks. Jobs travel to worker processes and read there what they score."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from heap.bilateral import BilateralGrid, Parts
from heap.components import Mask
from heap.data.coco_masks import paint
from heap.data.masks import read_class_mask, read_mask
from heap.data.photos import photo_frame, read_photo
from heap.errors import DataError
from heap.evaluate import discovery, instances, retrieval, saliency, semantic
from heap.evaluate.score.files import refuse
from heap.evaluate.score.objects import Boxes, objects_of
from heap.evaluate.score.read import read_array, read_soft
from heap.evaluate.truth import Labels
from heap.progress import track
from heap.upsample import nearest
from heap.workers import spread


@dataclass(frozen=True)
class Photo:
    """What is known of one photo before its files are read.

    Attributes:
        name: of the photo.
        prediction: file of the mask, map, or cluster map; None where the prediction is no file.
        truth: file of its truth; None where the truth is no file.
        given: what else the task knows of it.
    """

    name: str
    prediction: Path | None = None
    truth: Path | None = None
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """How errors call its prediction."""
        return self.name if self.prediction is None else str(self.prediction)


@dataclass(frozen=True)
class Problem:
    """Why a photo cannot be scored."""

    text: str


@dataclass(frozen=True)
class Collected:
    """A job whose errors of the user's are kept, so that all of them can be told at once."""

    job: Callable[[Photo], Any]

    def __call__(self, photo: Photo) -> Any:
        """Return what the job does, or the problem."""
        try:
            return self.job(photo)
        except DataError as error:  # names its file itself
            return Problem(str(error))
        except ValueError as error:
            return Problem(f"{photo.label}: {error}")


def run(job: Callable[[Photo], Any], photos: Sequence[Photo], doing: str, workers: int | None) -> list[tuple[str, Any]]:
    """Return what the job gives of every photo, by name.

    Raises:
        DataError: some cannot be scored; names them.
    """
    results: Iterator[Any] = track(spread(Collected(job), photos, workers), len(photos), "photos", doing)
    return checked(zip(photos, results, strict=True))


def checked(results: Iterable[tuple[Photo, Any]]) -> list[tuple[str, Any]]:
    """Return the results by name.

    Raises:
        DataError: there are problems among them; names them.
    """
    kept: list[tuple[str, Any]] = []
    problems: list[str] = []
    for photo, result in results:
        if isinstance(result, Problem):
            problems.append(result.text)
        else:
            kept.append((photo.name, result))
    refuse({"photos cannot be scored": problems})
    return kept


@dataclass(frozen=True)
class SaliencyPhoto:
    """Figures of one map, and its highest value, which tells a mask of 0 and 1 from one of 0 and 255."""

    photo: saliency.Photo
    highest: float


@dataclass(frozen=True)
class SaliencyJob:
    """Gives `SaliencyPhoto`.

    Attributes:
        reading: of the truth.
        refined: variants with the bilateral solver, which looks at the photo; none for no solver.
        tokencut: also TokenCut's own reading, which looks at it too.
    """

    reading: saliency.Reading
    refined: Mapping[str, Parts]
    tokencut: bool = False

    def __call__(self, photo: Photo) -> SaliencyPhoto:
        """Score one map."""
        assert photo.prediction is not None
        assert photo.truth is not None
        soft = read_soft(photo.prediction)
        values = read_mask(photo.truth)
        truth = saliency.truth_of(values, self.reading)
        _fit(soft.shape, truth.shape, photo.truth)
        scores = saliency.score(soft, truth)
        if self.refined or self.tokencut:
            source: Path = photo.given["photo"]
            pixels = read_photo(source)
            if pixels.shape[:2] != truth.shape:
                exif = " once turned by its EXIF orientation" if photo_frame(source).orientation > 1 else ""
                raise DataError(f"{source}: {pixels.shape[:2]} px{exif}, but {photo.truth} has {truth.shape}")
            binary = soft > saliency.FOREGROUND_ABOVE
            grid = BilateralGrid.of(pixels)
            scores |= saliency.score_refined(binary, truth, grid, self.refined)
            scores |= saliency.score_tokencut(binary, truth, grid) if self.tokencut else {}
        levels = saliency.levels_of(photo.truth, values)
        return SaliencyPhoto(saliency.Photo(scores, levels), float(soft.max()))


@dataclass(frozen=True)
class DiscoveryJob:
    """Gives `discovery.Judged`: of the given box, or of the largest part of a mask at image resolution."""

    def __call__(self, photo: Photo) -> discovery.Judged:
        """Judge one photo."""
        truth: Boxes = photo.given["boxes"]
        if photo.prediction is None:
            return discovery.judge(photo.given["box"], truth)
        soft = read_soft(photo.prediction)
        height, width = soft.shape
        size = photo.given["size"]
        if size is not None:
            _fit(soft.shape, size, None)
        box = discovery.box_of_mask(soft > saliency.FOREGROUND_ABOVE, 1, (height, width))
        return discovery.judge(box, truth)


@dataclass(frozen=True)
class RetrievalJob:
    """Gives `retrieval.Described`.

    Attributes:
        classes: how many, background included.
        size: labels are brought to this size (nearest) and masks must have it; None keeps the labels' own.
        patch_px: side of a patch of feature maps; None finds it by the mask's size.
    """

    classes: int
    size: tuple[int, int] | None
    patch_px: int | None

    def __call__(self, photo: Photo) -> retrieval.Described:
        """Describe one photo by its mask, its features and its labels."""
        assert photo.prediction is not None
        assert photo.truth is not None
        labels = read_class_mask(photo.truth)
        if self.size is not None:
            labels = nearest(labels, self.size)
        mask: Mask = read_soft(photo.prediction) > saliency.FOREGROUND_ABOVE
        _fit(mask.shape, labels.shape, photo.truth)
        source: Path = photo.given["features"]
        try:
            features, weights = self.weighted(read_array(source), mask)
        except ValueError as error:
            raise DataError(f"{source}: {error}") from error
        with _named(photo.truth):
            return retrieval.describe(features, weights, mask, labels, self.classes)

    def weighted(self, values: Any, mask: Mask) -> tuple[Any, Any]:
        """Return features `(N, D)` and what each counts in the mean over the mask."""
        if not np.issubdtype(values.dtype, np.floating) or not np.isfinite(values).all():
            raise ValueError(f"features of {values.dtype}, expected finite floats")
        if values.ndim == 1:  # one vector a photo, averaged already; an empty mask still has none
            return values[None].astype(np.float32), np.array([[float(mask.any())]])
        if values.ndim != 3:
            raise ValueError(f"features of shape {values.shape}, expected (D,) or (grid_h, grid_w, D)")
        patch_px = self.patch_px or _patch_of(values.shape[:2], mask.shape)
        weights = retrieval.patch_weights(mask, patch_px)
        if weights.shape != values.shape[:2]:
            raise ValueError(
                f"a grid of {values.shape[0]} x {values.shape[1]}, but a mask of {mask.shape[0]} x {mask.shape[1]} px "
                f"has {weights.shape[0]} x {weights.shape[1]} patches of {patch_px} px"
            )
        return values.reshape(-1, values.shape[2]).astype(np.float32), weights


@dataclass(frozen=True)
class SemanticJob:
    """Gives `semantic.Described`.

    Attributes:
        classes: how many, background included.
        class_of: class of each COCO category; empty where the truth is class masks.
    """

    classes: int
    class_of: Mapping[int, int]

    def __call__(self, photo: Photo) -> semantic.Described:
        """Describe one cluster map."""
        assert photo.prediction is not None
        clusters = read_class_mask(photo.prediction)
        labels: Labels
        if photo.truth is not None:
            labels = read_class_mask(photo.truth)
        else:
            size = photo.given["size"]
            if size is None:
                raise ValueError("the truth does not tell this photo's size")
            _fit(clusters.shape, size, None)
            labels = paint(photo.given["annotations"], self.class_of, size)
        _fit(clusters.shape, labels.shape, photo.truth)
        semantic.check_clusters(clusters)
        with _named(photo.truth):
            return semantic.describe_map(clusters, labels, self.classes)


@dataclass(frozen=True)
class InstancesJob:
    """Gives `instances.Matches`."""

    kind: instances.Kind

    def __call__(self, photo: Photo) -> instances.Matches:
        """Match the objects of one photo."""
        found = objects_of(photo.given["found"], self.kind, photo.given["size"])
        true = photo.given["true"]
        if self.kind == "segm":
            true = objects_of(photo.given["annotations"], "segm", photo.given["size"])
        return instances.match(found, true, self.kind)


@contextmanager
def _named(truth: Path | None) -> Iterator[None]:
    """Give an error about labels the name of the file that they are in."""
    try:
        yield
    except ValueError as error:
        if truth is None:
            raise
        raise DataError(f"{truth}: {error}") from error


def _fit(found: tuple[int, ...], expected: tuple[int, ...], truth: Path | None) -> None:
    if found != expected:
        which = "its photo" if truth is None else str(truth)
        raise ValueError(f"{found[0]} x {found[1]} px (height x width), but {which} has {expected[0]} x {expected[1]}")


def _patch_of(grid: tuple[int, ...], mask: tuple[int, ...]) -> int:
    sides = {mask[0] / grid[0], mask[1] / grid[1]}
    if len(sides) > 1 or not next(iter(sides)).is_integer():
        raise ValueError(
            f"a grid of {grid[0]} x {grid[1]} does not divide a mask of {mask[0]} x {mask[1]} px into square patches; "
            "say the patch's side (--patch)"
        )
    return int(next(iter(sides)))
