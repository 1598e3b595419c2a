"""Backgrounds: places made of several stuffs, their unlabelled clutter, and the patches that are no objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from heap.data.scenes.colours import Floats, pick, relative
from heap.data.scenes.objects import Light, cover, shade, window_of
from heap.data.scenes.shapes import limb, smooth
from heap.data.scenes.textures import Material, paint, spectral

Shape = tuple[int, int]


@dataclass(frozen=True)
class Stuff:
    """What a ground is made of: patterns, colour families, scale (share of the photo's height), tones, direction."""

    patterns: tuple[str, ...]
    families: tuple[str, ...]
    scale: tuple[float, float]
    contrast: tuple[float, float]
    upright: bool | None = None
    """Whether the pattern stands (grass), lies (water, planks) or has no direction of its own."""


STUFFS: dict[str, Stuff] = {
    "sky": Stuff(("cloudy",), ("blue", "pale", "grey", "sand", "violet"), (0.10, 0.35), (0.1, 0.5), False),
    "grass": Stuff(("grain", "rough"), ("green", "earth", "yellow"), (0.02, 0.06), (0.6, 1.3), True),
    "leaves": Stuff(("cells", "rough"), ("green", "earth", "red", "dark"), (0.03, 0.09), (0.7, 1.4)),
    "sand": Stuff(("rough", "cloudy"), ("sand", "earth", "pale"), (0.01, 0.04), (0.2, 0.6)),
    "water": Stuff(("grain",), ("blue", "grey", "green", "dark"), (0.02, 0.05), (0.3, 0.9), False),
    "stones": Stuff(("cells",), ("grey", "earth", "sand", "pale"), (0.05, 0.14), (0.4, 1.0)),
    "bricks": Stuff(("bricks",), ("red", "earth", "grey", "pale"), (0.05, 0.12), (0.4, 0.9), False),
    "planks": Stuff(("grain", "bricks"), ("earth", "sand", "dark", "grey"), (0.04, 0.10), (0.4, 0.9), False),
    "plaster": Stuff(("cloudy", "rough"), ("pale", "sand", "grey", "blue", "yellow"), (0.05, 0.3), (0.05, 0.3)),
    "cloth": Stuff(
        ("weave", "stripes", "spots"), ("red", "blue", "violet", "green", "pale", "grey"), (0.02, 0.06), (0.3, 0.9)
    ),
    "paper": Stuff(
        ("stripes", "patches", "spots"), ("sand", "pale", "green", "violet", "yellow"), (0.04, 0.12), (0.2, 0.7), True
    ),
    "asphalt": Stuff(("rough",), ("grey", "dark", "earth"), (0.01, 0.03), (0.3, 0.7)),
    "bushes": Stuff(("patches", "rough", "cells"), ("green", "dark", "earth"), (0.08, 0.2), (0.7, 1.4)),
}

# Which stuffs can lie below and stand behind: a place, not a random pair.
PLACES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "meadow": (("grass", "leaves", "sand"), ("bushes", "sky", "grass")),
    "shore": (("sand", "stones", "water"), ("water", "sky", "stones")),
    "street": (("asphalt", "stones", "bricks"), ("bricks", "plaster", "bushes", "planks")),
    "room": (("planks", "cloth", "stones"), ("plaster", "paper", "bricks", "cloth")),
}
# Things seen from above, or against a wall: one stuff fills the photo.
FILLS = ("grass", "leaves", "sand", "water", "stones", "planks", "cloth", "asphalt", "plaster", "sky")


@dataclass(frozen=True)
class Ground:
    """A background.

    Attributes:
        photo: linear RGB `(H, W, 3)`.
        horizon_px: row where the ground meets what stands behind; negative when the ground fills the photo.
        base: linear RGB `(3,)` typical of the ground, for camouflaged objects.
    """

    photo: Floats
    horizon_px: float
    base: Floats


def _material(rng: np.random.Generator, stuff: Stuff, height_px: int) -> Material:
    colour = pick(rng, stuff.families)
    other = relative(rng, colour, rng.uniform(*stuff.contrast))
    if rng.random() < 0.15:  # two-coloured, as tulip fields and patterned cloth are
        other = pick(rng, stuff.families)
    tones = (colour, other) if colour.sum() < other.sum() else (other, colour)
    tilt = float(rng.normal(0.0, 0.15))
    angle = float(rng.uniform(0, np.pi)) if stuff.upright is None else tilt + (np.pi / 2 if stuff.upright else 0.0)
    return Material(
        pattern=stuff.patterns[int(rng.integers(len(stuff.patterns)))],
        dark=tones[0],
        bright=tones[1],
        scale_px=max(float(rng.uniform(*stuff.scale)) * height_px, 2.0),
        angle=angle,
        relief=float(rng.uniform(0.1, 0.8)),
        gloss=0.0,
    )


def _receding(surface: Floats, horizon_px: float, rng: np.random.Generator) -> Floats:
    """Return `surface` `(H, W, 3)` as a level floor that recedes towards the horizon."""
    height, width = surface.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    # Distance of a row from a pinhole camera: inverse to its height below the (slightly raised) vanishing line.
    below = np.clip(rows - horizon_px, 0, None) + 0.12 * height
    nearness = below / (height - horizon_px + 0.12 * height)
    across = (columns - width / 2) / nearness
    along = height * rng.uniform(0.6, 1.0) / nearness
    where = np.stack([along, across + width / 2])
    bent = [map_coordinates(surface[..., c], where, order=1, mode="grid-wrap") for c in range(3)]
    floor = np.stack(bent, axis=-1).astype(np.float32)
    # Far away the elements are finer than a pixel: their mean is what a camera sees.
    fade = np.clip(2.2 * nearness - 0.1, 0, 1)[..., None]
    return floor * fade + surface.mean(axis=(0, 1)) * (1 - fade)


def draw_ground(rng: np.random.Generator, shape: Shape, light: Light) -> Ground:
    """Draw a place without objects and without clutter."""
    height, width = shape
    towards = (light.rows, light.columns)
    if rng.random() < 0.3:
        name = FILLS[int(rng.integers(len(FILLS)))]
        material = _material(rng, STUFFS[name], height)
        photo = paint(rng, material, shape, towards)
        if rng.random() < 0.5:  # a second stuff along one side: a path, a hem, a shelf
            second = paint(rng, _material(rng, STUFFS[FILLS[int(rng.integers(len(FILLS)))]], height), shape, towards)
            rows, columns = np.mgrid[:height, :width].astype(np.float32)
            turn = rng.uniform(0, 2 * np.pi)
            side = (columns / width - 0.5) * np.cos(turn) + (rows / height - 0.5) * np.sin(turn) - rng.uniform(0.1, 0.4)
            side = side + 0.03 * spectral(rng, shape, 0.5 * height, slope=2.5)
            photo = _blend(photo, second, side * height, 0.8)
        return Ground(photo, -1.0, 0.5 * (material.dark + material.bright))

    below, behind = PLACES[list(PLACES)[int(rng.integers(len(PLACES)))]]
    floor_material = _material(rng, STUFFS[below[int(rng.integers(len(below)))]], height)
    horizon = float(rng.uniform(0.18, 0.68)) * height
    floor = _receding(paint(rng, floor_material, shape, towards), horizon, rng)
    back_names = rng.permutation(list(behind))[:2]
    back = paint(rng, _material(rng, STUFFS[str(back_names[0])], height), shape, towards)
    columns = np.arange(width, dtype=np.float32)[None, :]
    rows = np.arange(height, dtype=np.float32)[:, None]
    if rng.random() < 0.55:  # two stuffs behind: sky over bushes, a curtain beside a wall
        second = paint(rng, _material(rng, STUFFS[str(back_names[1])], height), shape, towards)
        ragged = 0.05 * height * spectral(rng, shape, 0.3 * width, slope=2.0) * rng.uniform(0, 1)
        if rng.random() < 0.6:
            edge = rows - horizon * rng.uniform(0.3, 0.8) + ragged
        else:
            edge = columns - width * rng.uniform(0.2, 0.8) + 0.3 * ragged
        back = _blend(back, second, edge, 0.8)
    # Air and focus soften what is far.
    back = gaussian_filter(back, (rng.uniform(0.0, 1.0),) * 2 + (0,))
    uneven = 0.02 * height * spectral(rng, shape, 0.4 * width, slope=2.5) * rng.uniform(0, 1)
    edge = rows - horizon - (columns - width / 2) * rng.uniform(-0.06, 0.06) + uneven
    return Ground(_blend(back, floor, edge, 0.7), horizon, 0.5 * (floor_material.dark + floor_material.bright))


def _blend(one: Floats, two: Floats, edge_px: Floats, softness_px: float) -> Floats:
    """Return `two` where `edge_px` is positive, else `one`; the seam is `softness_px` wide."""
    share = np.clip(0.5 + edge_px / (2 * softness_px), 0, 1)[..., None]
    return (one + (two - one) * share).astype(np.float32)


def scatter(rng: np.random.Generator, ground: Ground, light: Light) -> None:
    """Add what is in every photo and is no object: flat patches, stains, pebbles, sticks, in place."""
    photo = ground.photo
    height, width = photo.shape[:2]
    lowest = max(ground.horizon_px, 0.0)
    towards = (light.rows, light.columns)
    rows = np.arange(height, dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)[None, :]

    if rng.random() < 0.25:  # a rug, a puddle, a poster: another stuff, flush with the ground, so no object
        names = list(STUFFS)
        other = paint(
            rng, _material(rng, STUFFS[names[int(rng.integers(len(names)))]], height), (height, width), towards
        )
        x, y = rng.uniform(0.0, width), rng.uniform(lowest, height)
        wide = rng.uniform(0.12, 0.3) * width
        flat = rng.uniform(0.3, 0.6) if ground.horizon_px > 0 else rng.uniform(0.6, 1.0)
        corners = int(rng.integers(4, 9))
        turns = 2 * np.pi * (np.arange(corners) + rng.uniform(-0.2, 0.2, corners)) / corners
        reach = wide * rng.uniform(0.7, 1.2, corners)
        outline = smooth(
            [(x + r * np.cos(t), y + flat * r * np.sin(t)) for t, r in zip(turns, reach, strict=True)],
            int(rng.integers(0, 4)),
        )
        window = window_of(outline, (height, width))
        if window is not None:
            alpha = cover(outline, window) * np.float32(rng.uniform(0.7, 1.0))
            inside = (slice(window[0], window[2]), slice(window[1], window[3]))
            photo[inside] += (other[inside] - photo[inside]) * alpha[..., None]

    for _ in range(int(rng.integers(0, 4))):  # stains and worn places
        x, y, size = rng.uniform(0, width), rng.uniform(lowest, height), rng.uniform(0.03, 0.12) * width
        radius = np.hypot((columns - x) / size, (rows - y) / (size * rng.uniform(0.3, 0.8)))
        stain = np.clip((1.0 - radius) / rng.uniform(0.1, 0.7), 0, 1)
        photo *= (1.0 + stain * rng.uniform(-0.45, 0.3))[..., None]

    for _ in range(int(rng.integers(0, 14)) if rng.random() < 0.7 else 0):
        place(rng, photo, light, (rng.uniform(0, width), rng.uniform(lowest, height)), rng.uniform(0.008, 0.03) * width)


def place(
    rng: np.random.Generator, photo: Floats, light: Light, at_px: tuple[float, float], size_px: float
) -> Floats | None:
    """Paint one pebble or stick onto `photo` in place; return its cover `(H, W)`, None when it lies outside."""
    x, y = at_px
    if rng.random() < 0.35:
        turn, reach = rng.uniform(0, 2 * np.pi), size_px * rng.uniform(3, 6)
        end = (x + reach * np.cos(turn), y + reach * np.sin(turn))
        middle = ((x + end[0]) / 2 + rng.normal(0, 0.1) * reach, (y + end[1]) / 2 + rng.normal(0, 0.1) * reach)
        outline = limb([(x, y), middle, end], [0.35 * size_px, 0.5 * size_px, 0.25 * size_px])
    else:
        turns = np.linspace(0, 2 * np.pi, 7, endpoint=False)
        reach_each = size_px * rng.uniform(0.6, 1.3, 7)
        outline = smooth(
            [(x + r * np.cos(t), y + 0.7 * r * np.sin(t)) for t, r in zip(turns, reach_each, strict=True)], 2
        )
    window = window_of(outline, (photo.shape[0], photo.shape[1]))
    if window is None:
        return None
    top, left, bottom, right = window
    alpha = cover(outline, window)
    diffuse, _ = shade(alpha, 0.8, light, 0.0)
    colour = pick(rng, ("earth", "grey", "sand", "green", "dark", "pale", "red", "yellow"))
    region = photo[top:bottom, left:right]
    tone = 1.0 + 0.2 * spectral(rng, alpha.shape, 4.0, slope=1.2)
    region *= (1.0 - 0.4 * gaussian_filter(alpha, 1.5))[..., None]
    region += (colour * (diffuse * tone)[..., None] - region) * alpha[..., None]
    whole = np.zeros(photo.shape[:2], np.float32)
    whole[top:bottom, left:right] = alpha
    return whole
