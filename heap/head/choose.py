"""Which of several trained heads to use, told without a label from their signs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def figure_of_merit(final: Mapping[str, float]) -> float:
    """Return the number that the chosen head has the most of.

    First version (our choice, to be replaced by one that was measured on real features): how far foreground and
    background stand apart, less what the signs of failure exceed.

    Args:
        final: a head's final diagnostics.
    """
    outside = max(0.0, 0.1 - final["area"], final["area"] - 0.45)
    blurred = max(0.0, final["undecided"] - 0.3) + max(0.0, final["entropy"] - 0.5)
    return round(-final["negative"] - outside - blurred, 6)


def best_of(candidates: Sequence[Mapping[str, float]]) -> int:
    """Return the index of the head with the highest `figure_of_merit`, the first of equals."""
    merits = [figure_of_merit(final) for final in candidates]
    return merits.index(max(merits))
