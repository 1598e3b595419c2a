"""Backgrounds: places made of several stuffs, their unlabelled clutter, and the patches that are no objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from heap.data.scenes.objects import cover, shade
from heap.data.scenes.shapes import limb, smooth
from heap.data.scenes.stuff import Draw, Floats, Light, Material, Stuff, one_of, paint, pick, places, relative, spectral

# Scales are shares of the photo's height.
STUFFS: dict[str, Stuff] = {
    "sky": Stuff("cloudy", "blue pale grey sand violet", (0.10, 0.35), (0.1, 0.5), upright=False),
    "grass": Stuff("grain rough", "green earth yellow", (0.02, 0.06), (0.6, 1.3), upright=True),
    "leaves": Stuff("cells rough", "green earth red dark", (0.03, 0.09), (0.7, 1.4)),
    "sand": Stuff("rough cloudy", "sand earth pale", (0.01, 0.04), (0.2, 0.6)),
    "water": Stuff("grain", "blue grey green dark", (0.02, 0.05), (0.3, 0.9), upright=False),
    "stones": Stuff("cells", "grey earth sand pale", (0.05, 0.14), (0.4, 1.0)),
    "bricks": Stuff("bricks", "red earth grey pale", (0.05, 0.12), (0.4, 0.9), upright=False),
    "planks": Stuff("grain bricks", "earth sand dark grey", (0.04, 0.10), (0.4, 0.9), upright=False),
    "plaster": Stuff("cloudy rough", "pale sand grey blue yellow", (0.05, 0.3), (0.05, 0.3)),
    "cloth": Stuff("weave stripes spots", "red blue violet green pale grey", (0.02, 0.06), (0.3, 0.9)),
    "paper": Stuff("stripes patches spots", "sand pale green violet yellow", (0.04, 0.12), (0.2, 0.7), upright=True),
    "asphalt": Stuff("rough", "grey dark earth", (0.01, 0.03), (0.3, 0.7)),
    "bushes": Stuff("patches rough cells", "green dark earth", (0.08, 0.2), (0.7, 1.4)),
}

# Which stuffs can lie below and stand behind (meadow, shore, street, room): a place, not a random pair.
PLACES: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("grass", "leaves", "sand"), ("bushes", "sky", "grass")),
    (("sand", "stones", "water"), ("water", "sky", "stones")),
    (("asphalt", "stones", "bricks"), ("bricks", "plaster", "bushes", "planks")),
    (("planks", "cloth", "stones"), ("plaster", "paper", "bricks", "cloth")),
)
# Things seen from above, or against a wall: one stuff fills the photo.
FILLS = ("grass", "leaves", "sand", "water", "stones", "planks", "cloth", "asphalt", "plaster", "sky")


@dataclass(frozen=True)
class Ground:
    """A background."""

    photo: Floats  # linear RGB `(H, W, 3)`
    horizon_px: float  # row where the ground meets what stands behind; negative when the ground fills the photo
    base: Floats  # linear RGB `(3,)` typical of the ground, for camouflaged objects


def _material(rng: Draw, name: str, height_px: int) -> Material:
    stuff = STUFFS[name]
    colour = pick(rng, stuff.families)
    other = relative(rng, colour, rng.uniform(*stuff.contrast))
    if rng.random() < 0.15:  # two-coloured, as tulip fields and patterned cloth are
        other = pick(rng, stuff.families)
    tilt = rng.normal(0.0, 0.15)
    return Material(
        angle=rng.uniform(0, np.pi) if stuff.upright is None else tilt + (np.pi / 2 if stuff.upright else 0.0),
        pattern=one_of(rng, stuff.patterns.split()),
        tones=(other, colour),
        scale_px=max(rng.uniform(*stuff.scale) * height_px, 2.0),
        relief=rng.uniform(0.1, 0.8),
    )


def _receding(surface: Floats, horizon_px: float, rng: Draw) -> Floats:
    """Return `surface` `(H, W, 3)` as a level floor that recedes towards the horizon."""
    height, width = surface.shape[:2]
    rows, columns = places((height, width))
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


def _blend(one: Floats, two: Floats, edge_px: Floats, softness_px: float) -> Floats:
    """Return `two` where `edge_px` is positive, else `one`; the seam is `softness_px` wide."""
    share = np.clip(0.5 + edge_px / (2 * softness_px), 0, 1)[..., None]
    return (one + (two - one) * share).astype(np.float32)


def draw_ground(rng: Draw, shape: tuple[int, int], light: Light) -> Ground:
    """Draw a place without objects and without clutter."""
    height, width = shape
    rows, columns = places(shape)
    if rng.random() < 0.3:
        material = _material(rng, one_of(rng, FILLS), height)
        photo = paint(rng, material, shape, light)
        if rng.random() < 0.5:  # a second stuff along one side: a path, a hem, a shelf
            second = paint(rng, _material(rng, one_of(rng, FILLS), height), shape, light)
            turn = rng.uniform(0, 2 * np.pi)
            side = (columns / width - 0.5) * np.cos(turn) + (rows / height - 0.5) * np.sin(turn) - rng.uniform(0.1, 0.4)
            side = side + 0.03 * spectral(rng, shape, 0.5 * height, slope=2.5)
            photo = _blend(photo, second, side * height, 0.8)
        return Ground(photo, -1.0, material.middle)

    below, behind = one_of(rng, PLACES)
    material = _material(rng, one_of(rng, below), height)
    horizon = rng.uniform(0.18, 0.68) * height
    floor = _receding(paint(rng, material, shape, light), horizon, rng)
    names = [str(name) for name in rng.permutation(list(behind))]
    back = paint(rng, _material(rng, names[0], height), shape, light)
    if rng.random() < 0.55:  # two stuffs behind: sky over bushes, a curtain and a wall
        second = paint(rng, _material(rng, names[1], height), shape, light)
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
    return Ground(_blend(back, floor, edge, 0.7), horizon, material.middle)


def scatter(rng: Draw, ground: Ground, light: Light) -> None:
    """Add what is in every photo and is no object: flat patches, stains, pebbles, sticks, in place."""
    photo = ground.photo
    height, width = photo.shape[:2]
    lowest = max(ground.horizon_px, 0.0)
    rows, columns = places((height, width))

    if rng.random() < 0.25:  # a rug, a puddle, a poster: another stuff, flush with the ground, so no object
        other = paint(rng, _material(rng, one_of(rng, list(STUFFS)), height), (height, width), light)
        x, y = rng.uniform(0.0, width), rng.uniform(lowest, height)
        wide = rng.uniform(0.12, 0.3) * width
        flat = rng.uniform(0.3, 0.6) if ground.horizon_px > 0 else rng.uniform(0.6, 1.0)
        corners = int(rng.integers(4, 9))
        turns = 2 * np.pi * (np.arange(corners) + rng.uniform(-0.2, 0.2, corners)) / corners
        reach = wide * rng.uniform(0.7, 1.2, corners)
        rounds = int(rng.integers(0, 4))
        own = cover(smooth(x + reach * np.cos(turns), y + flat * reach * np.sin(turns), rounds), (height, width))
        if own is not None:
            alpha = own.alpha * np.float32(rng.uniform(0.7, 1.0))
            photo[own.window] += (other[own.window] - photo[own.window]) * alpha[..., None]

    for _ in range(int(rng.integers(0, 4))):  # stains and worn places
        x, y, size = rng.uniform(0, width), rng.uniform(lowest, height), rng.uniform(0.03, 0.12) * width
        radius = np.hypot((columns - x) / size, (rows - y) / (size * rng.uniform(0.3, 0.8)))
        stain = np.clip((1.0 - radius) / rng.uniform(0.1, 0.7), 0, 1)
        photo *= (1.0 + stain * rng.uniform(-0.45, 0.3))[..., None]

    for _ in range(int(rng.integers(0, 14)) if rng.random() < 0.7 else 0):
        place(rng, photo, light, (rng.uniform(0, width), rng.uniform(lowest, height)), rng.uniform(0.008, 0.03) * width)


def place(rng: Draw, photo: Floats, light: Light, at_px: tuple[float, float], size_px: float) -> Floats | None:
    """Paint one pebble or stick onto `photo` in place; return its cover `(H, W)`, None when it lies outside."""
    x, y = at_px
    if rng.random() < 0.35:
        turn, reach = rng.uniform(0, 2 * np.pi), size_px * rng.uniform(3, 6)
        far_x, far_y = x + reach * np.cos(turn), y + reach * np.sin(turn)
        bent_x, bent_y = (x + far_x) / 2 + rng.normal(0, 0.1) * reach, (y + far_y) / 2 + rng.normal(0, 0.1) * reach
        outline = limb([x, bent_x, far_x], [y, bent_y, far_y], size_px * np.array([0.35, 0.5, 0.25]))
    else:
        turns = np.linspace(0, 2 * np.pi, 7, endpoint=False)
        radii = size_px * rng.uniform(0.6, 1.3, 7)
        outline = smooth(x + radii * np.cos(turns), y + 0.7 * radii * np.sin(turns), 2)
    own = cover(outline, (photo.shape[0], photo.shape[1]))
    if own is None:
        return None
    alpha, region = own.alpha, photo[own.window]
    diffuse, _ = shade(alpha, 0.8, light, 0.0)
    colour = pick(rng, "earth grey sand green dark pale red yellow")
    tone = 1.0 + 0.2 * spectral(rng, alpha.shape, 4.0, slope=1.2)
    region *= (1.0 - 0.4 * gaussian_filter(alpha, 1.5))[..., None]
    region += (colour * (diffuse * tone)[..., None] - region) * alpha[..., None]
    whole = np.zeros(photo.shape[:2], np.float32)
    whole[own.window] = alpha
    return whole
