"""Several seeds: their signs side by side, the choice between them in words, mean and deviation over them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heap.head.choose import best_of, figure_of_merit

Signs = Mapping[str, float]


@dataclass(frozen=True)
class Choice:
    """Which head is used.

    Attributes:
        seed: the chosen one.
        why: in words.
        merit: figure of merit of each seed, in their order.
    """

    seed: int
    why: str
    merit: list[float]


def choose(seeds: Sequence[int], signs: Sequence[Signs]) -> Choice:
    """Choose one of several heads by signs that need no label.

    Args:
        seeds: of the heads.
        signs: final diagnostics of each.
    """
    finals = [dict(final) for final in signs]
    if len(seeds) == 1:
        return Choice(seeds[0], "the only seed", [figure_of_merit(finals[0])])
    merit = [figure_of_merit(final) for final in finals]
    best = best_of(finals)
    others = ", ".join(
        f"{value:.4g} of seed {seed}" for seed, value in zip(seeds, merit, strict=True) if seed != seeds[best]
    )
    why = f"highest figure of merit without labels: {merit[best]:.4g}, against {others}"
    return Choice(seeds[best], why, merit)


def summary(signs: Sequence[Signs]) -> dict[str, dict[str, float | None]]:
    """Return mean and deviation (n - 1) of each sign over the seeds; one seed has no deviation."""
    found: dict[str, dict[str, float | None]] = {}
    for name in signs[0]:
        values = [final[name] for final in signs]
        deviation = round(statistics.stdev(values), 6) if len(values) > 1 else None
        found[name] = {"mean": round(statistics.fmean(values), 6), "deviation": deviation}
    return found


def record(
    hashes: Sequence[str], descriptions: Sequence[Mapping[str, Any]], signs: Sequence[Signs], choice: Choice
) -> dict[str, Any]:
    """Return what the receipt says of the seeds (weights' checksum, description, signs of each) and of the choice."""
    rows = [
        {
            "seed": description["seed"],
            "head_sha256": sha256,
            "merit": merit,
            "diagnostics": dict(final),
            "warnings": description["warnings"],
            "polarity_flipped": description["polarity_flipped"],
        }
        for sha256, description, final, merit in zip(hashes, descriptions, signs, choice.merit, strict=True)
    ]
    return {"seed": choice.seed, "why": choice.why, "seeds": rows, "over_seeds": summary(signs)}
