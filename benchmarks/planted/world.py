"""The planted features of design/method.md: real masks and colours, invented features. Not DINO."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.cluster.vq import kmeans2
from scipy.ndimage import gaussian_filter

from benchmarks.headbed.bed import SIDE, Photos

DIM, HEADS = 64, 4


@dataclass(frozen=True)
class Level:
    """What makes a level hard: strengths of objectness o, stuffness u, stuff s, a photo's own offsets g; 1 / noise."""

    snr: float = 1.0
    objectness: float = 0.5
    stuffness: float = 1.1
    stuff: float = 0.7
    offset: float = 0.6


LEVELS = {
    "0.7": Level(0.7),
    "1.0": Level(1.0),
    "1.5": Level(1.5),
    # A weak shared foreground direction: the hard case.
    "W": Level(1.0, objectness=0.2, stuffness=0.6, stuff=1.0, offset=0.8),
}


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random directions of length 1."""
    v = rng.normal(size=(*shape, DIM))
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


class Directions:
    """The fixed directions of the world; the same for every level and seed."""

    def __init__(self) -> None:
        rng = np.random.default_rng(2024)
        self.common, self.objectness, self.stuffness = unit(rng, 3)
        supers = unit(rng, 5)
        self.classes = 0.75 * supers[np.arange(20) % 5] + 0.66 * unit(rng, 20)
        self.stuffs = unit(rng, 15)
        self.parts = unit(rng, 20, 3)
        y, x = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
        waves = np.stack([np.cos(np.pi * (a * x + b * y)) for a, b in
                          ((1, 0), (0, 1), (2, 0), (0, 2), (1, 1), (1, -1), (2, 1), (1, 2))], -1)  # fmt: skip
        waves = (waves - waves.mean((0, 1))) / waves.std((0, 1)) / 8**0.5
        self.position = waves.reshape(-1, 8) @ unit(rng, 8)  # (N, D), norm about 1


def masks_and_colours(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Foreground share `(I, 28, 28)` and colour `(I, 28, 28, 3)` in 0..1 of the photos of a folder like ECSSD's."""
    shares, colours = [], []
    for path in sorted((folder / "ground_truth_mask").glob("*.png")):
        mask = Image.open(path).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
        photo = Image.open(folder / "images" / f"{path.stem}.jpg").convert("RGB")
        shares.append(np.asarray(mask, np.float32) / 255)
        colours.append(np.asarray(photo.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32) / 255)
    return np.stack(shares), np.stack(colours)


def _smooth(rng: np.random.Generator, sigma: float, channels: int) -> np.ndarray:
    """Smooth noise `(28, 28, channels)` of variance 1."""
    noise = gaussian_filter(rng.normal(size=(SIDE, SIDE, channels)), (sigma, sigma, 0), mode="reflect")
    return noise / noise.std((0, 1))


def _labels(rng: np.random.Generator, points: np.ndarray, k: int) -> np.ndarray:
    """k-means labels; fewer points than k each get their own."""
    if len(points) <= k:
        return np.arange(len(points))
    return kmeans2(points.astype(np.float64), k, minit="++", seed=rng)[1]


def draw(
    level: Level,
    share: np.ndarray,
    colour: np.ndarray,
    rng: np.random.Generator,
    d: Directions,
    second: tuple[np.ndarray, np.random.Generator] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features `(N, D)`, attention `(N, heads)` and classes `(N,)` of one photo with foreground share `(28, 28)`.

    `second` is the share `(28, 28)` of an object of another class, and what draws it.
    """
    n = SIDE * SIDE
    fr = share.reshape(n, 1)
    y, x = np.mgrid[:SIDE, :SIDE] / (SIDE - 1) * 2 - 1
    place = np.stack([x.ravel(), y.ravel()], 1)
    klass = rng.integers(20)
    inside = np.flatnonzero(fr[:, 0] > 0)
    parts = np.zeros(n, int)
    number = rng.integers(2, 4)
    parts[inside] = _labels(rng, place[inside], number) % 3
    segments = _labels(rng, np.concatenate([0.6 * place, 2 * colour.reshape(n, 3)], 1), rng.integers(2, 5))
    stuff = rng.permutation(15)[:4]
    strength = rng.uniform(0.5, 1.2, 4)
    per_patch = segments % 4

    ground = 0.5 * d.common + level.stuffness * d.stuffness  # of camouflage and of the disc
    vb = (
        0.5 * d.common
        + level.stuffness * strength[per_patch, None] * d.stuffness
        + level.stuff * d.stuffs[stuff[per_patch]]
    )
    vf = (
        0.5 * d.common
        + level.objectness * rng.uniform(0.4, 1.4) * d.objectness
        + rng.uniform(0.6, 1.3) * d.classes[klass]
        + 0.6 * d.parts[klass, parts]
    )
    if rng.random() < 0.15:
        vf = 0.65 * vf + 0.35 * (ground + level.stuff * d.stuffs[stuff[0]])
    if rng.random() < 0.35:
        other = (klass + rng.integers(1, 20)) % 20
        centre, radius = rng.uniform(-0.9, 0.9, 2), rng.uniform(0.15, 0.35)
        disc = ((place - centre) ** 2).sum(1) < radius**2
        vb[disc] = (
            0.5 * d.common
            + 0.6 * level.objectness * d.objectness
            + 0.8 * d.classes[other]
            + 0.4 * level.stuffness * d.stuffness
        )
    fr2, klass2 = np.zeros_like(fr), klass
    if second is not None:
        fr2, klass2 = second[0].reshape(n, 1), int((klass + second[1].integers(1, 20)) % 20)
        vf2 = (
            0.5 * d.common
            + level.objectness * second[1].uniform(0.4, 1.4) * d.objectness
            + second[1].uniform(0.6, 1.3) * d.classes[klass2]
            + 0.6 * d.parts[klass2, 0]
        )
        vb = (1 - fr2) * vb + fr2 * vf2
    # A patch's noise has length 1 at snr 1: a supervised linear classifier then scores about what method.md states.
    own = rng.normal(size=(2, DIM)) / DIM**0.5 * level.offset
    noise = 0.5 * _smooth(rng, 2.0, DIM).reshape(n, DIM) + 0.87 * rng.normal(size=(n, DIM))
    values = fr * (vf + own[0]) + (1 - fr) * vb + own[1] + 0.3 * d.position + noise / DIM**0.5 / level.snr
    values *= rng.uniform(0.9, 1.1, (n, 1))

    part_weight = rng.uniform(0.35, 1.3, 3)[parts]
    log_attention = (
        1.35 * (fr[:, 0] * part_weight + 0.8 * fr2[:, 0])[:, None] * rng.uniform(0.5, 1.3)
        + 0.5 * _smooth(rng, 3.0, 1).reshape(n, 1)
        + 0.45 * _smooth(rng, 1.5, HEADS).reshape(n, HEADS)
        + 0.55 * rng.normal(size=(n, HEADS))
        - 0.25 * np.abs(place).max(1, keepdims=True) ** 3
    )
    attention = np.exp(log_attention)
    classes = np.where(fr[:, 0] > 0.5, klass, np.where(fr2[:, 0] > 0.5, klass2, -1)).astype(np.int16)
    return values.astype(np.float16), (attention / attention.sum(0)).astype(np.float32), classes


def side_by_side(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each photo `(I, 28, 28, ...)` at half its width on the left, and the next one likewise on the right."""
    half = (values[:, :, 0::2] + values[:, :, 1::2]) / 2
    empty = np.zeros_like(half)
    return np.concatenate([half, empty], 2), np.concatenate([empty, np.roll(half, -1, axis=0)], 2)


def photos(level: Level, share: np.ndarray, colour: np.ndarray, draws: int, seed: int, two: bool = False) -> Photos:
    """`draws` photos from each mask, every second one mirrored; `two`: with the next mask's object beside it."""
    d = Directions()
    features, attention, truth, classes = [], [], [], []
    other = np.zeros_like(share)
    if two:
        share, other = side_by_side(share)
        colour = sum(side_by_side(colour))
    for number in range(draws):
        for index in range(len(share)):
            rng = np.random.default_rng([seed, number, index])
            s, c, o = share[index], colour[index], other[index]
            if number % 2:
                s, c, o = s[:, ::-1], c[:, ::-1], o[:, ::-1]
            second = (o, np.random.default_rng([seed, number, index, 2])) if two else None
            f, a, k = draw(level, s, c, rng, d, second)
            features.append(f)
            attention.append(a)
            truth.append((s + o > 0.5).ravel())
            classes.append(k)
    return Photos(np.stack(features), np.stack(attention), np.stack(truth), classes=np.stack(classes))
