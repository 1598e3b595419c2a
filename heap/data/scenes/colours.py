"""Colours of surfaces, in linear light."""

from __future__ import annotations

import colorsys

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

GAMMA = 2.2
"""Exponent between linear light and stored values; sRGB's own curve differs from it by less than the sensor's noise."""

# Ranges of hue, saturation and value (as stored, 0-1). Objects and grounds draw from the same families on purpose:
# no colour says "object".
FAMILIES: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "earth": ((0.04, 0.11), (0.25, 0.65), (0.25, 0.70)),
    "sand": ((0.07, 0.14), (0.15, 0.45), (0.55, 0.90)),
    "green": ((0.18, 0.38), (0.20, 0.62), (0.25, 0.70)),
    "blue": ((0.52, 0.66), (0.20, 0.75), (0.30, 0.90)),
    "grey": ((0.00, 1.00), (0.00, 0.12), (0.25, 0.80)),
    "pale": ((0.00, 1.00), (0.02, 0.20), (0.75, 0.97)),
    "dark": ((0.00, 1.00), (0.05, 0.40), (0.14, 0.32)),
    "red": ((-0.04, 0.04), (0.40, 0.85), (0.40, 0.90)),
    "yellow": ((0.10, 0.16), (0.40, 0.85), (0.65, 0.98)),
    "violet": ((0.68, 0.92), (0.20, 0.70), (0.35, 0.85)),
}


def linear(stored: tuple[float, float, float]) -> Floats:
    """Return a stored RGB colour (0-1) in linear light, `(3,)`."""
    return np.asarray(stored, np.float32) ** np.float32(GAMMA)


def pick(rng: np.random.Generator, families: tuple[str, ...], share: tuple[float, float] = (0.0, 1.0)) -> Floats:
    """Draw a colour from one of `families`; linear RGB `(3,)`.

    Args:
        rng: source of the draw.
        families: keys of `FAMILIES`.
        share: part of the family's saturations and values that is drawn from: (0.5, 1) are its vivid, light half.
    """
    hues, saturations, values = FAMILIES[families[int(rng.integers(len(families)))]]
    hue = rng.uniform(*hues) % 1.0
    low, high = share
    saturation, value = (a + (b - a) * rng.uniform(low, high) for a, b in (saturations, values))
    return linear(colorsys.hsv_to_rgb(hue, saturation, value))


def relative(rng: np.random.Generator, colour: Floats, contrast: float) -> Floats:
    """Return a lighter or darker relative of a linear `colour`, as a surface's second tone.

    Args:
        rng: source of the draw.
        colour: linear RGB `(3,)`.
        contrast: about how far the tones are apart, 0 to 1; light is halved or doubled at 1.
    """
    factor = 2.0 ** (contrast * rng.uniform(0.6, 1.4) * rng.choice([-1.0, 1.0], p=[0.6, 0.4]))
    tint = 1.0 + 0.25 * contrast * rng.uniform(-1.0, 1.0, 3)
    return np.clip(colour * factor * tint, 0.003, 0.98).astype(np.float32)
