"""Procedural textures: grey patterns of any size, and materials that turn them into coloured surfaces.

Every pattern is a function of (rng, shape, scale_px, angle) that returns `(H, W)` float32 values of about -1 to 1.
Grounds and objects share all of them, so that a texture alone never says "object".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.ndimage import zoom
from scipy.spatial import cKDTree

from heap.data.scenes.colours import Floats

Shape = tuple[int, int]
Pattern = Callable[[np.random.Generator, Shape, float, float], Floats]


def spectral(
    rng: np.random.Generator,
    shape: Shape,
    scale_px: float,
    angle: float = 0.0,
    stretch: float = 1.0,
    slope: float = 1.6,
) -> Floats:
    """Return noise of a power-law spectrum, `(H, W)`, mean 0 and deviation 1.

    Args:
        rng: source of the noise.
        shape: (H, W).
        scale_px: size of the largest structures.
        angle: direction of the grain, radians.
        stretch: how much longer than wide the structures are.
        slope: fall of the amplitudes with frequency; 0 is white, natural pictures have about 1.
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
    deviation = float(noise.std()) or 1.0
    return ((noise - noise.mean()) / deviation).astype(np.float32)


def _rotated(shape: Shape, angle: float) -> tuple[Floats, Floats]:
    """Return pixel coordinates along and across `angle`, each `(H, W)`."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return columns * cos + rows * sin, rows * cos - columns * sin


def _wobble(rng: np.random.Generator, shape: Shape, scale_px: float, amount: float) -> Floats:
    return np.float32(amount) * spectral(rng, shape, 4.0 * scale_px, slope=2.5)


def cloudy(rng: np.random.Generator, shape: Shape, scale_px: float, angle: float) -> Floats:
    """Return soft clouds, as of sky, plaster or water colour."""
    return np.clip(0.45 * spectral(rng, shape, 4.0 * scale_px, angle, 1.5, 2.2), -1, 1)


def rough(rng: np.random.Generator, shape: Shape, scale_px: float, angle: float) -> Floats:
    """Return fine irregular grain, as of sand, asphalt or stone."""
    fine = spectral(rng, shape, scale_px, angle, 1.0, 1.3)
    return np.clip(0.4 * fine, -1, 1)


def grain(rng: np.random.Generator, shape: Shape, scale_px: float, angle: float) -> Floats:
    """Return long strands, as of fur, grass or wood."""
    return np.clip(0.45 * spectral(rng, shape, scale_px, angle, rng.uniform(4.0, 9.0), 1.7), -1, 1)


def stripes(rng: np.random.Generator, shape: Shape, scale_px: float, angle: float) -> Floats:
    """Return wavy bands across `angle`."""
    along, _ = _rotated(shape, angle)
    phase = along / np.float32(scale_px) + _wobble(rng, shape, scale_px, rng.uniform(0.1, 0.5))
    return np.tanh(rng.uniform(1.0, 3.0) * np.sin(np.pi * phase)).astype(np.float32)


def bricks(rng: np.random.Generator, shape: Shape, scale_px: float, angle: float) -> Floats:
    """Return courses of tiles with joints, each tile of its own tone."""
    along, across = _rotated(shape, angle)
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


def _nearest(rng: np.random.Generator, shape: Shape, scale_px: float) -> tuple[Floats, Floats, Floats]:
    """Return distances to the nearest two of scattered points, in scales, and a tone of the nearest, `(H, W)`."""
    # Half resolution: the search is the dearest step of a scene, and cells are larger than two pixels.
    low = (-(-shape[0] // 2), -(-shape[1] // 2))
    spacing = max(scale_px / 2.0, 1.0)
    count = int((low[0] / spacing + 2) * (low[1] / spacing + 2))
    points = rng.uniform(-spacing, np.asarray(low) + spacing, (max(count, 4), 2))
    grid = np.indices(low).reshape(2, -1).T
    distances, indices = cKDTree(points).query(grid, k=2)
    tones = rng.uniform(-1.0, 1.0, len(points))[indices[:, 0]]

    def enlarge(values: Floats, order: int) -> Floats:
        full = zoom(values.reshape(low).astype(np.float32), 2, order=order, grid_mode=True, mode="nearest")
        return np.asarray(full[: shape[0], : shape[1]], np.float32)

    return enlarge(distances[:, 0] / spacing, 1), enlarge(distances[:, 1] / spacing, 1), enlarge(tones, 0)


def cells(rng: np.random.Generator, shape: Shape, scale_px: float, angle: float) -> Floats:
    """Return rounded cells with dark gaps, as of pebbles, scales or leaves."""
    first, second, tone = _nearest(rng, shape, scale_px)
    return np.clip(2.2 * np.sqrt(np.clip(second - first, 0, 1)) - 1.1 + 0.4 * tone, -1, 1).astype(np.float32)


def spots(rng: np.random.Generator, shape: Shape, scale_px: float, angle: float) -> Floats:
    """Return round spots on an even ground."""
    first, _, tone = _nearest(rng, shape, 1.6 * scale_px)
    radius = 0.28 + 0.1 * tone
    return np.clip((radius - first) * 8.0, -1, 1).astype(np.float32)


def weave(rng: np.random.Generator, shape: Shape, scale_px: float, angle: float) -> Floats:
    """Return crossing threads, as of cloth or basketry."""
    along, across = _rotated(shape, angle)
    bend = _wobble(rng, shape, scale_px, 0.25)
    one = np.sin(np.pi * (along / np.float32(scale_px) + bend))
    two = np.sin(np.pi * (across / np.float32(scale_px) - bend))
    return (0.6 * one * two + 0.4 * np.maximum(one, two)).astype(np.float32)


def patches(rng: np.random.Generator, shape: Shape, scale_px: float, angle: float) -> Floats:
    """Return large two-tone patches with soft rims, as of a cow's coat or flaking paint."""
    return np.tanh(3.0 * spectral(rng, shape, 3.0 * scale_px, angle, 1.3, 2.8)).astype(np.float32)


PATTERNS: dict[str, Pattern] = {
    "cloudy": cloudy,
    "rough": rough,
    "grain": grain,
    "stripes": stripes,
    "bricks": bricks,
    "cells": cells,
    "spots": spots,
    "weave": weave,
    "patches": patches,
}


@dataclass(frozen=True)
class Material:
    """A surface.

    Attributes:
        pattern: key of `PATTERNS`.
        dark: linear RGB `(3,)` where the pattern is -1.
        bright: linear RGB `(3,)` where it is 1.
        scale_px: size of the pattern's elements.
        angle: direction of the pattern, radians.
        relief: how strongly the pattern's bumps catch the light.
        gloss: strength of the highlight, 0 to 1.
    """

    pattern: str
    dark: Floats
    bright: Floats
    scale_px: float
    angle: float
    relief: float
    gloss: float


def paint(rng: np.random.Generator, material: Material, shape: Shape, light: tuple[float, float]) -> Floats:
    """Return a flat surface of `material`, linear RGB `(H, W, 3)`.

    Args:
        rng: source of the pattern.
        material: what to paint.
        shape: (H, W).
        light: direction towards the light in the picture's plane (rows, columns), a unit vector.
    """
    pattern = PATTERNS[material.pattern](rng, shape, material.scale_px, material.angle)
    # No surface is only its pattern. Pink noise adds wear of all sizes alike, from fine grain to slow changes of tone;
    # its amount makes the gradients of the scenes about as strong as those of photos.
    pattern = pattern + rng.uniform(0.12, 0.35) * spectral(rng, shape, float(max(shape)), slope=0.9)
    share = np.clip(0.5 + 0.5 * pattern, 0, 1)[..., None]
    surface = material.dark + (material.bright - material.dark) * share
    if material.relief > 0:
        rows, columns = np.gradient(pattern)[:2]
        bumps = np.clip(1.0 - material.relief * (rows * light[0] + columns * light[1]), 0.4, 1.7)
        surface = surface * bumps[..., None]
    return np.clip(surface, 0.0, 1.2).astype(np.float32)
