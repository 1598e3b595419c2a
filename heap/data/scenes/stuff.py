"""What grounds and objects are made of: colours, grey patterns, and materials that are both, lit and flat.

Grounds and objects share all of them, so that neither a colour nor a texture alone says "object". Colours are linear
light. A pattern is a function of (rng, shape, scale_px, angle) that returns `(H, W)` float32 of about -1 to 1.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.ndimage import zoom
from scipy.spatial import cKDTree

Floats = npt.NDArray[np.float32]
Shape = tuple[int, int]
Span = tuple[float, float]
Draw = np.random.Generator
Pattern = Callable[[Draw, Shape, float, float], Floats]
T = TypeVar("T")

GAMMA = 2.2
"""Exponent between linear light and stored values; sRGB's own curve differs from it by less than the sensor's noise."""

# Ranges of hue, saturation and value (as stored, 0-1). Objects and grounds draw from the same families on purpose.
FAMILIES: dict[str, tuple[Span, Span, Span]] = {
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


@dataclass(frozen=True)
class Light:
    """Where the light comes from and how hard it is."""

    rows: float  # towards the light in the picture's plane, positive down; (rows, columns) is a unit vector
    columns: float
    height: float  # above the picture's plane; larger is more frontal
    ambient: float  # share of the light that comes from everywhere


@dataclass(frozen=True)
class Stuff:
    """What surfaces of a kind are made of: one of the patterns, one of the families (names apart by spaces), ranges."""

    patterns: str
    families: str = " ".join(FAMILIES)
    scale: Span = (0.03, 0.08)  # of the pattern's elements: share of the size of the object or photo
    contrast: Span = (0.3, 0.9)
    gloss: float = 0.1
    share: Span = (0.0, 1.0)  # part of the families' saturations and values: (0.5, 1) are their vivid, light half
    upright: bool | None = None  # whether the pattern stands (grass), lies (water) or has no direction of its own


@dataclass(frozen=True)
class Material:
    """One surface."""

    pattern: str
    tones: tuple[Floats, Floats]  # linear RGB (3,): the darker is where the pattern is -1, the brighter where it is 1
    scale_px: float
    angle: float  # of the pattern, radians
    relief: float  # how strongly the pattern's bumps catch the light
    gloss: float = 0.0  # strength of the highlight, 0 to 1

    @property
    def middle(self) -> Floats:
        """Linear RGB `(3,)` between the tones."""
        return 0.5 * (self.tones[0] + self.tones[1])


def one_of(rng: Draw, options: Sequence[T]) -> T:
    """Draw one of `options`."""
    return options[int(rng.integers(len(options)))]


def places(shape: Shape) -> Floats:
    """Return the row and the column of each pixel, `(2, H, W)`."""
    return np.mgrid[: shape[0], : shape[1]].astype(np.float32)


def pick(rng: Draw, families: str, share: Span = (0.0, 1.0)) -> Floats:
    """Draw a colour from one of `families`, linear RGB `(3,)`; for `share` see `Stuff`."""
    hues, *others = FAMILIES[one_of(rng, families.split())]
    hue = rng.uniform(*hues) % 1.0
    saturation, value = (low + (high - low) * rng.uniform(*share) for low, high in others)
    return np.asarray(colorsys.hsv_to_rgb(hue, saturation, value), np.float32) ** np.float32(GAMMA)


def relative(rng: Draw, colour: Floats, contrast: float) -> Floats:
    """Return a lighter or darker relative of a linear `colour` `(3,)`; a contrast of 1 halves or doubles light."""
    factor = 2.0 ** (contrast * rng.uniform(0.6, 1.4) * rng.choice([-1.0, 1.0], p=[0.6, 0.4]))
    tint = 1.0 + 0.25 * contrast * rng.uniform(-1.0, 1.0, 3)
    return np.clip(colour * factor * tint, 0.003, 0.98).astype(np.float32)


def spectral(
    rng: Draw, shape: Shape, scale_px: float, angle: float = 0.0, stretch: float = 1.0, slope: float = 1.6
) -> Floats:
    """Return noise of a power-law spectrum, `(H, W)`, mean 0 and deviation 1.

    `scale_px` is the size of the largest structures, `stretch` how much longer than wide they are along `angle`, and
    `slope` the fall of the amplitudes with frequency: 0 is white, natural pictures have about 1.
    """
    height, width = shape
    # Even sizes with small factors: the transform of a prime-sized crop would take many times as long.
    full_h, full_w = fft.next_fast_len(height, real=True), fft.next_fast_len(width, real=True)
    spectrum = fft.rfft2(rng.standard_normal((full_h, full_w), dtype=np.float32))
    rows = fft.fftfreq(full_h).astype(np.float32)[:, None]
    columns = fft.rfftfreq(full_w).astype(np.float32)[None, :]
    along = columns * np.cos(angle) + rows * np.sin(angle)
    across = rows * np.cos(angle) - columns * np.sin(angle)
    frequency = np.sqrt((along * stretch) ** 2 + across**2) * scale_px
    # Below one cycle a structure the spectrum is level; the mean is taken out.
    gain = (1.0 + frequency**2) ** np.float32(-slope / 2)
    gain[0, 0] = 0.0
    noise = fft.irfft2(spectrum * gain, s=(full_h, full_w))[:height, :width]
    return ((noise - noise.mean()) / (float(noise.std()) or 1.0)).astype(np.float32)


def _turned(shape: Shape, angle: float) -> tuple[Floats, Floats]:
    """Return pixel coordinates along and across `angle`, each `(H, W)`."""
    rows, columns = places(shape)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return columns * cos + rows * sin, rows * cos - columns * sin


def _wobble(rng: Draw, shape: Shape, scale_px: float, amount: float) -> Floats:
    return np.float32(amount) * spectral(rng, shape, 4.0 * scale_px, slope=2.5)


def _stripes(rng: Draw, shape: Shape, scale_px: float, angle: float) -> Floats:
    along, _ = _turned(shape, angle)
    phase = along / np.float32(scale_px) + _wobble(rng, shape, scale_px, rng.uniform(0.1, 0.5))
    return np.tanh(rng.uniform(1.0, 3.0) * np.sin(np.pi * phase)).astype(np.float32)


def _bricks(rng: Draw, shape: Shape, scale_px: float, angle: float) -> Floats:
    along, across = _turned(shape, angle)
    bend = _wobble(rng, shape, scale_px, 0.04)
    course = across / np.float32(scale_px) + bend
    row = np.floor(course)
    place = along / np.float32(scale_px * rng.uniform(1.5, 3.0)) + 0.5 * (row % 2) + bend
    column = np.floor(place)
    # A fixed table of tones, looked up by the tile's indices: neighbours differ, and a tile is one tone.
    tones = rng.uniform(-0.2, 0.8, 1021).astype(np.float32)
    tone = tones[(row * 31 + column * 17).astype(np.int64) % 1021]
    joint = np.minimum(0.5 - np.abs(course - row - 0.5), 2.0 * (0.5 - np.abs(place - column - 0.5)))
    return np.where(joint < 0.07, np.float32(-0.9), tone).astype(np.float32)


def _nearest(rng: Draw, shape: Shape, scale_px: float) -> tuple[Floats, Floats, Floats]:
    """Return distances to the nearest two of scattered points, in scales, and a tone of the nearest, `(H, W)`."""
    # Half resolution: the search is the dearest step of a scene, and cells are larger than two pixels.
    low = (-(-shape[0] // 2), -(-shape[1] // 2))
    spacing = max(scale_px / 2.0, 1.0)
    count = int((low[0] / spacing + 2) * (low[1] / spacing + 2))
    points = rng.uniform(-spacing, np.asarray(low) + spacing, (max(count, 4), 2))
    distances, indices = cKDTree(points).query(np.indices(low).reshape(2, -1).T, k=2)
    tones = rng.uniform(-1.0, 1.0, len(points))[indices[:, 0]]

    def enlarge(values: Floats, order: int) -> Floats:
        full = zoom(values.reshape(low).astype(np.float32), 2, order=order, grid_mode=True, mode="nearest")
        return np.asarray(full[: shape[0], : shape[1]], np.float32)

    return enlarge(distances[:, 0] / spacing, 1), enlarge(distances[:, 1] / spacing, 1), enlarge(tones, 0)


def _cells(rng: Draw, shape: Shape, scale_px: float, angle: float) -> Floats:
    first, second, tone = _nearest(rng, shape, scale_px)
    return np.clip(2.2 * np.sqrt(np.clip(second - first, 0, 1)) - 1.1 + 0.4 * tone, -1, 1).astype(np.float32)


def _spots(rng: Draw, shape: Shape, scale_px: float, angle: float) -> Floats:
    first, _, tone = _nearest(rng, shape, 1.6 * scale_px)
    return np.clip((0.28 + 0.1 * tone - first) * 8.0, -1, 1).astype(np.float32)


def _weave(rng: Draw, shape: Shape, scale_px: float, angle: float) -> Floats:
    along, across = _turned(shape, angle)
    bend = _wobble(rng, shape, scale_px, 0.25)
    one = np.sin(np.pi * (along / np.float32(scale_px) + bend))
    two = np.sin(np.pi * (across / np.float32(scale_px) - bend))
    return (0.6 * one * two + 0.4 * np.maximum(one, two)).astype(np.float32)


PATTERNS: dict[str, Pattern] = {
    # Soft clouds, as of sky, plaster or water colour.
    "cloudy": lambda rng, shape, px, angle: np.clip(0.45 * spectral(rng, shape, 4.0 * px, angle, 1.5, 2.2), -1, 1),
    # Fine irregular grain, as of sand, asphalt or stone.
    "rough": lambda rng, shape, px, angle: np.clip(0.4 * spectral(rng, shape, px, angle, 1.0, 1.3), -1, 1),
    # Long strands, as of fur, grass or wood.
    "grain": lambda rng, shape, px, angle: np.clip(
        0.45 * spectral(rng, shape, px, angle, rng.uniform(4.0, 9.0), 1.7), -1, 1
    ),
    "stripes": _stripes,  # wavy bands across the angle
    "bricks": _bricks,  # courses of tiles with joints, each tile of its own tone
    "cells": _cells,  # rounded cells with dark gaps, as of pebbles, scales or leaves
    "spots": _spots,  # round, on an even ground
    "weave": _weave,  # crossing threads, as of cloth or basketry
    # Large two-tone patches with soft rims, as of a cow's coat or flaking paint.
    "patches": lambda rng, shape, px, angle: np.tanh(3.0 * spectral(rng, shape, 3.0 * px, angle, 1.3, 2.8)),
}


def paint(rng: Draw, material: Material, shape: Shape, light: Light) -> Floats:
    """Return a flat surface of `material`, linear RGB `(H, W, 3)`."""
    pattern = PATTERNS[material.pattern](rng, shape, material.scale_px, material.angle)
    # No surface is only its pattern. Pink noise adds wear of all sizes alike, from fine grain to slow changes of tone;
    # its amount makes the gradients of the scenes about as strong as those of photos.
    pattern = pattern + rng.uniform(0.12, 0.35) * spectral(rng, shape, float(max(shape)), slope=0.9)
    share = np.clip(0.5 + 0.5 * pattern, 0, 1)[..., None]
    dark, bright = sorted(material.tones, key=lambda tone: float(tone.sum()))
    surface = dark + (bright - dark) * share
    rows, columns = np.gradient(pattern)[:2]
    bumps = np.clip(1.0 - material.relief * (rows * light.rows + columns * light.columns), 0.4, 1.7)
    return np.clip(surface * bumps[..., None], 0.0, 1.2).astype(np.float32)
