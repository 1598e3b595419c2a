"""What half precision costs: the difference to float32, measured on the first photos of each extraction."""

from __future__ import annotations

import numpy as np

from heap.encoders.base import Encoded, Floats
from heap.errors import EncoderError

# Beyond it something is broken (an overflow, sums kept in half precision). Rounding alone: keys of a random ViT-S/8 at
# 224 px differ by 0.8 % in bfloat16 and by 0.1 % in float16 (autocast on the CPU, two photos).
LARGEST_ERROR = 0.05


def precision_error(found: Encoded, exact: Encoded) -> dict[str, float]:
    """Return the largest difference of features and of attention, each relative to the largest exact value.

    Args:
        found: encoded in half precision.
        exact: the same photos in float32.

    Returns:
        `features`, `attention` (infinite where a value is not finite) and `photos`, how many were compared.
    """

    def relative(one: Floats, two: Floats) -> float:
        if not np.isfinite(one).all():
            return float("inf")
        largest = float(np.abs(two).max())
        return float(np.abs(one - two).max()) / largest if largest > 0 else float(np.abs(one).max() > 0)

    return {
        "features": relative(found.features, exact.features),
        "attention": relative(found.attention, exact.attention),
        "photos": float(len(exact.features)),
    }


def check_precision(found: Encoded, exact: Encoded, precision: str, name: str) -> dict[str, float]:
    """Return `precision_error`, or refuse one that cannot be rounding.

    Raises:
        EncoderError: an error beyond `LARGEST_ERROR`, or values that are not finite.
    """
    error = precision_error(found, exact)
    # "not <=" so that a NaN is refused too.
    bad = [f"{what} by {error[what]:.1%}" for what in ("features", "attention") if not error[what] <= LARGEST_ERROR]
    if bad:
        raise EncoderError(
            f"encoder {name}: {precision} differs from float32 on the first {error['photos']:.0f} photos "
            f"({', '.join(bad)} of the largest value, at most {LARGEST_ERROR:.0%} is accepted); "
            "set `precision: float32`"
        )
    return error


def largest_error(errors: list[dict[str, float] | None]) -> dict[str, float] | None:
    """Join the errors of an extraction's parts: the largest of each, over all photos compared."""
    found = [error for error in errors if error is not None]
    if not found:
        return None
    largest = {name: max(error[name] for error in found) for name in ("features", "attention")}
    return {**largest, "photos": sum(error["photos"] for error in found)}
