"""Saliency figures of one photo and of a data set: the protocol of FOUND, SelfMask and TokenCut.

All figures of a photo come from one joint histogram of soft value and truth: how many pixels a threshold takes, and how
many of them rightly, are its cumulative sums. Two readings of the F measure stand side by side:

- `max_f_found`: a photo's best F over the thresholds, then the mean over photos. beta^2 is 0.09, because FOUND's,
  SelfMask's and PEEKABOO's code squares their 0.3 again; 1e-7 in every denominator.
- `max_f`: the best value of the data set's mean F curve, true beta^2 = 0.3, no epsilon (TokenCut). Precision is 1 where
  nothing is predicted, recall is 1 where the truth is empty, and F is 0 where both are 0.

After the bilateral solver (`+bs`) a photo has a binary mask and no soft one: all figures are of the mask, as of the
largest component's in `single`. `-peers` marks the parts that FOUND's code takes of the solver's output, inverted where
the object is larger than the background; without it they are taken as meant, see `heap.bilateral.Parts`. Both fall back
to the whole binary map where the solver's output is refused.

TokenCut reads its own maps otherwise (`-tokencut`): patches become pixels by nearest neighbour, and of the solver's
output the soft values are scored, whatever they resemble. (It also resizes photos to whole patches where we pad them:
that is decided when features are computed, and no variant of a table.)

IoU has FOUND's epsilon, so an empty prediction of an empty truth scores 0 (TokenCut's code gives NaN there, and with it
a mean of NaN).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from heap.bilateral import BilateralGrid, Parts, refine
from heap.components import Mask, largest_component
from heap.evaluate.levels import Levels, Reading

Floats = npt.NDArray[np.float32]
Curve = npt.NDArray[np.float64]

# FOUND's and TokenCut's thresholds: k / 255 in float32, k = 0..254, and a value must be above.
THRESHOLDS = 255
FOREGROUND_ABOVE = 0.5

EPS = 1e-7
BETA2_FOUND = 0.3**2
BETA2 = 0.3

# By name in the tables, and what each keeps of the solver's output.
VARIANTS = ("multi", "single")
SOLVER_VARIANTS: dict[str, Parts] = {"multi+bs": "all", "single+bs": "largest"}
PEERS_VARIANTS: dict[str, Parts] = {"multi+bs-peers": "all_peers", "single+bs-peers": "largest_peers"}


# TokenCut's own reading, without and with the solver, see `score_tokencut`.
TOKENCUT_VARIANTS = ("multi-tokencut", "multi+bs-tokencut")


@dataclass(frozen=True, slots=True)
class Scored:
    """What is kept of one photo: its figures by variant, the levels of its true mask, the map's highest value."""

    scores: Mapping[str, Scores]
    truth: Levels
    highest: float


@dataclass(frozen=True)
class Counts:
    """What each threshold takes of one photo.

    Attributes:
        hits: `(255,)` int64, foreground pixels above the threshold; `(1,)` of a mask, which all thresholds take alike.
        predicted: like `hits`, all pixels above it.
        truth: foreground pixels.
    """

    hits: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    truth: int


@dataclass(frozen=True, slots=True)
class Scores:
    """Figures of one photo, fractions 0..1.

    Attributes:
        iou: of the binary map.
        acc: share of pixels whose binary value is right.
        max_f_found: best F over the thresholds, FOUND's reading.
        f_curve: `(255,)` F at each threshold, TokenCut's reading, for the data set's curve; `(1,)` of a mask.
        accepted: the bilateral solver's output was taken; None where it was not asked.
    """

    iou: float
    acc: float
    max_f_found: float
    f_curve: Curve
    accepted: bool | None = None


def solver_variants(asked: bool | Literal["peers"]) -> dict[str, Parts]:
    """Return the variants with the bilateral solver: none, as meant, or (`peers`) also as the peers' code has them."""
    return {**(SOLVER_VARIANTS if asked else {}), **(PEERS_VARIANTS if asked == "peers" else {})}


def truth_of(values: npt.NDArray[np.uint8], reading: Reading) -> Mask:
    """Return the foreground of an 8-bit truth: FOUND's reading (== 255) or TokenCut's (any non-zero)."""
    foreground: Mask = values == 255 if reading == "255" else values > 0
    return foreground


def score(soft: Floats, truth: Mask) -> dict[str, Scores]:
    """Score one photo.

    Args:
        soft: `(H, W)` float32 in [0, 1].
        truth: `(H, W)` bool.

    Returns:
        `multi`: every component counts, F over the thresholds of the soft map. `single`: only the largest component of
        the binary map counts (of equals the last in raster order), all figures on that binary mask; an empty map is
        scored as it is.

    Raises:
        ValueError: shapes differ, or a value lies outside [0, 1].
    """
    binary: Mask = soft > FOREGROUND_ABOVE
    counts = count(soft, truth)
    every = count_binary(binary, truth)
    component = largest_component(binary, ties_to_last=True)
    largest = every if component is binary else count_binary(component, truth)
    return {"multi": _scores(every, counts, truth.size), "single": _scores(largest, largest, truth.size)}


def score_refined(binary: Mask, truth: Mask, grid: BilateralGrid, variants: Mapping[str, Parts]) -> dict[str, Scores]:
    """Score one photo after the bilateral solver, which is run once for all variants.

    Args:
        binary: `(H, W)` bool, the whole thresholded map, in the single variants too (FOUND).
        truth: `(H, W)` bool.
        grid: of the photo at that size.
        variants: by name what is kept of the solver's output.

    Raises:
        ValueError: the sizes of map, truth and photo differ.
    """
    _check_size(binary, truth)
    refined = refine(grid, binary, list(variants.values()))
    scores = {}
    for name, part in variants.items():
        counts = count_binary(refined[part].mask, truth)
        scores[name] = replace(_scores(counts, counts, truth.size), accepted=refined[part].accepted)
    return scores


def score_tokencut(mask: Mask, truth: Mask, grid: BilateralGrid) -> dict[str, Scores]:
    """Score one photo as TokenCut's code does: the mask, and the solver's soft output as it is, never refused.

    Args:
        mask: `(H, W)` bool; TokenCut's is brought from patches to pixels by nearest neighbour.
        truth: `(H, W)` bool.
        grid: of the photo at that size.

    Raises:
        ValueError: the sizes of mask, truth and photo differ.
    """
    _check_size(mask, truth)
    counts = count_binary(mask, truth)
    # 25 iterations leave values a little below 0 and above 1: below and above every threshold, as 0 and 1 are.
    soft = grid.solve(mask).clip(0, 1).astype(np.float32)
    before, after = TOKENCUT_VARIANTS
    return {before: _scores(counts, counts, truth.size), after: score(soft, truth)["multi"]}


def count(soft: Floats, truth: Mask) -> Counts:
    """Count in one histogram pass what each threshold takes.

    Raises:
        ValueError: shapes differ, or a value lies outside [0, 1] or is NaN.
    """
    _check_size(soft, truth)
    if not (soft.min() >= 0 and soft.max() <= 1):
        raise ValueError(f"a map with values from {soft.min()} to {soft.max()}, expected 0 to 1")
    # The number of thresholds below a value. The float32 product is never below k for a value above threshold k, so
    # the guess is right or one too low, and one comparison with k / 255 mends it. (A binary search takes 10 times as
    # long.) A value of 1 is above all 255 thresholds and no more, since it is not above 255 / 255.
    guess = soft * np.float32(THRESHOLDS)
    np.floor(guess, out=guess)
    index = guess.astype(np.uint16)
    guess /= THRESHOLDS
    index += soft > guess
    index += truth * np.uint16(THRESHOLDS + 1)
    joint = np.bincount(index.ravel(), minlength=2 * (THRESHOLDS + 1)).reshape(2, -1)  # truth, thresholds below
    # A value above j thresholds is above thresholds 0..j-1: threshold k takes the values of columns k+1 and on.
    taken = joint[:, :0:-1].cumsum(axis=1)[:, ::-1]  # (2, 255)
    return Counts(hits=taken[1], predicted=taken.sum(axis=0), truth=int(joint[1].sum()))


def count_binary(mask: Mask, truth: Mask) -> Counts:
    """Count for a mask of 0 and 1, which every threshold takes alike: once for all."""
    hits, predicted = np.count_nonzero(mask & truth), np.count_nonzero(mask)
    return Counts(np.array([hits]), np.array([predicted]), int(np.count_nonzero(truth)))


def f_found(counts: Counts) -> Curve:
    """Return FOUND's F at each threshold: beta^2 0.09, epsilon in every denominator."""
    precision = counts.hits / (counts.predicted + EPS)
    recall = counts.hits / (counts.truth + EPS)
    curve: Curve = (1 + BETA2_FOUND) * precision * recall / (BETA2_FOUND * precision + recall + EPS)
    return curve


def f_tokencut(counts: Counts) -> Curve:
    """Return TokenCut's F at each threshold: beta^2 0.3, no epsilon, see the module's head."""
    precision = np.ones(len(counts.hits))
    np.divide(counts.hits, counts.predicted, out=precision, where=counts.predicted > 0)
    recall = counts.hits / counts.truth if counts.truth else np.ones(len(counts.hits))
    below = BETA2 * precision + recall
    curve: Curve = np.zeros(len(counts.hits))
    np.divide((1 + BETA2) * precision * recall, below, out=curve, where=below > 0)
    return curve


def summary(photos: Sequence[Scores]) -> dict[str, float]:
    """Return iou, acc, max_f_found and max_f of a data set: means over photos, `max_f` of the mean curve.

    Sums are exact (`math.fsum`), so that neither the order of the photos nor who scored them shows in a figure.

    Raises:
        ValueError: there are no photos.
    """
    if not photos:
        raise ValueError("no photo was scored")
    curves = np.stack([photo.f_curve for photo in photos])
    return {
        "iou": _mean([photo.iou for photo in photos]),
        "acc": _mean([photo.acc for photo in photos]),
        "max_f_found": _mean([photo.max_f_found for photo in photos]),
        "max_f": max(_mean(curves[:, k].tolist()) for k in range(curves.shape[1])),
    }


def _check_size(predicted: npt.NDArray[Any], truth: Mask) -> None:
    if predicted.shape != truth.shape:
        raise ValueError(f"a map of {predicted.shape} for a truth of {truth.shape}")


def _scores(binary: Counts, curve: Counts, pixels: int) -> Scores:
    """Return IoU and accuracy of the binary map's counts, and the F measures of the curve's."""
    hits = int(binary.hits[0])
    union = int(binary.predicted[0]) + binary.truth - hits
    return Scores(
        iou=hits / (union + EPS),
        acc=1 - (union - hits) / pixels,
        max_f_found=float(f_found(curve).max()),
        f_curve=f_tokencut(curve),
    )


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
