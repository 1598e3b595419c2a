"""Which of several trained heads to use, chosen without a label by their signs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# Mean foreground outside it is no partition into objects and ground, whatever its edge says: measured heads that found
# the objects cover .20 to .45 of a photo.
_AREA = (0.05, 0.6)
# Larger than any difference of `framing`, which is between -2 and 2.
_NO_PARTITION = 4.0


def figure_of_merit(final: Mapping[str, float]) -> float:
    """Return how much more the photos' edge is like their background than like their foreground; more is better.

    `framing`, less 4 where the area is that of no partition (our choice). Photos frame their objects: a partition of
    objects against ground leaves the edge to the ground, a wrong one (texture against flat, one ground against another)
    runs through it. The correlation with the attention, which the prototype used, goes with a biased attention to the
    wrong partition (docs/explanation/recipe.md has the rank correlation with IoU of each sign).

    Args:
        final: a head's final diagnostics; `framing` and `area` are read.
    """
    low, high = _AREA
    collapsed = not low <= final["area"] <= high
    return round(final["framing"] - _NO_PARTITION * collapsed, 6)


def best_of(candidates: Sequence[Mapping[str, float]]) -> int:
    """Return the index of the head with the highest `figure_of_merit`, the first of equals."""
    merits = [figure_of_merit(final) for final in candidates]
    return merits.index(max(merits))
