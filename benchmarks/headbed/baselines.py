"""Other methods on the same features: the project's baselines, the weak priors, and a supervised linear reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.headbed import reference
from benchmarks.headbed.bed import SIDE, Bed
from benchmarks.headbed.recipes import smoothing
from heap.baselines.kmeans import kmeans
from heap.baselines.lost import lost
from heap.baselines.patches import Patches
from heap.baselines.refine import Refine, Targets
from heap.baselines.tokencut import tokencut
from heap.baselines.train_found import fit
from heap.group.smooth import smooth
from heap.head import priors
from heap.settings.baselines import FoundSettings, KmeansSettings, LostSettings, TokenCutSettings
from heap.workers import Crew

_y, _x = np.mgrid[:SIDE, :SIDE]
BORDER = ((_y == 0) | (_x == 0) | (_y == SIDE - 1) | (_x == SIDE - 1)).ravel()


def centred_box() -> np.ndarray:
    """The middle half of each side."""
    return ((np.abs(_y - 13.5) < 7) & (np.abs(_x - 13.5) < 7)).astype(np.float32).ravel()


def _prior(p: Patches) -> np.ndarray:
    """The prior of the variant `contrast`, its unsure patches taken for foreground: the best it does alone."""
    return (priors.contrast_seed(p.features, p.attention, BORDER) >= 0.5).astype(np.float32)


def _top_quarter(p: Patches) -> np.ndarray:
    mean = p.attention.mean(1)
    return (mean > np.quantile(mean, 0.75)).astype(np.float32)


METHODS: dict[str, Callable[[Patches], np.ndarray]] = {
    "everything": lambda p: np.ones(len(p.features), np.float32),
    "centred_box": lambda p: centred_box(),
    "attention > mean": lambda p: priors.attention_above_mean(p.attention),
    "attention, top quarter": _top_quarter,
    "kmeans(8) and attention": lambda p: kmeans(p, KmeansSettings()).foreground,
    "LOST": lambda p: lost(p, LostSettings()).foreground,
    "LOST, centred": lambda p: lost(p, LostSettings(centre=True)).foreground,
    "TokenCut": lambda p: tokencut(p, TokenCutSettings()).foreground,
    "FOUND's seed": lambda p: priors.found_seed(p.features, p.attention),
    "contrast prior alone": _prior,
    "contrast prior, sure part": lambda p: (priors.contrast_seed(p.features, p.attention, BORDER) > 0.5).astype(
        np.float32
    ),
}
# Which of them are also measured after the smoothing of the head's maps: what is due to the head, what to smoothing.
SMOOTHED = ("attention > mean", "kmeans(8) and attention", "FOUND's seed", "contrast prior alone")


def maps(bed: Bed, photos: list[int], found_seeds: list[int]) -> dict[str, list[np.ndarray]]:
    """Maps of every method of the photos at these positions; the supervised reference learns from the `val` truth.

    Args:
        bed: the test bed.
        photos: positions in its store.
        found_seeds: FOUND's head is trained (minutes) with its seed kept for each of these numbers of iterations.
    """
    seen = [Patches.read(bed.reader, i) for i in photos]
    found = {name: [method(photo) for photo in seen] for name, method in METHODS.items()}
    for kept in found_seeds:
        found[f"FOUND's head, seed kept {kept} of 500"] = _found(bed, seen, kept)
    for name in [*SMOOTHED, *list(found)[len(METHODS) :]]:
        found[f"{name}, smoothed"] = [
            smooth(m, photo.features, smoothing()) for m, photo in zip(found[name], seen, strict=True)
        ]
    learned = bed.scored["val"]
    model = reference.linear([bed.reader.features(i) for i in learned], [bed.truth[i] for i in learned])
    found["supervised linear (reference)"] = [reference.apply(model, photo.features) for photo in seen]
    return found


def _found(bed: Bed, seen: list[Patches], seed_steps: int) -> list[np.ndarray]:
    """Train FOUND's head on the bed's photos, as the stage does, and run it."""
    settings = FoundSettings(seed_steps=seed_steps)
    with Crew(Refine(bed.pictures), 1) as crew:
        targets = Targets(bed.reader, crew)
        head, _ = fit(bed.reader, bed.train, targets, settings)
    return [head(photo).foreground for photo in seen]
