"""Outlines of the scenes' objects: for each class, the parts it is made of, varied from one instance to the next.

Unit coordinates: x to the right, y down, an object about 2 across; the size in pixels comes later. All objects stand
upright; `objects.py` turns, flips and scales them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from heap.data.scenes.stuff import Draw, Floats

Role = Literal["body", "trim", "detail"]
Numbers = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Part:
    """A piece of an object."""

    outline: Floats  # `(n, 2)` corners (x, y) of a closed polygon
    role: Role  # which of the object's three materials it is made of
    bulge: float = 0.8  # how round it appears when lit, 0 flat to 1 ball


def smooth(x: Numbers, y: Numbers, rounds: int = 3) -> Floats:
    """Return a closed polygon with its corners cut `rounds` times (Chaikin), `(n * 2**rounds, 2)`."""
    outline = np.stack([x, y], axis=1).astype(np.float32)
    for _ in range(rounds):
        following = np.roll(outline, -1, axis=0)
        cut = np.stack([0.75 * outline + 0.25 * following, 0.25 * outline + 0.75 * following], axis=1)
        outline = cut.reshape(-1, 2)
    return outline


def oval(x: float, y: float, half_x: float, half_y: float, angle: float = 0.0) -> Floats:
    """Return an ellipse of 48 corners, turned by `angle` radians."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    along, across = half_x * np.cos(turn), half_y * np.sin(turn)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([x + along * cos - across * sin, y + along * sin + across * cos], axis=1).astype(np.float32)


def limb(x: Numbers, y: Numbers, widths: Numbers) -> Floats:
    """Return a tapering limb along a path with a full width at each of its points."""
    centre, half = np.stack([x, y], axis=1).astype(float), np.asarray(widths)[:, None] / 2
    direction = np.gradient(centre, axis=0)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1)
    sides = np.concatenate([centre + half * normal, (centre - half * normal)[::-1]])
    return smooth(sides[:, 0], sides[:, 1], 2)


def quadruped(rng: Draw) -> list[Part]:
    """Draw an animal on four legs: far legs, tail, near legs, body, neck, ear, head, muzzle, eye."""
    long, deep, legs = rng.uniform(0.65, 0.95), rng.uniform(0.26, 0.42), rng.uniform(0.35, 0.7)
    thick = rng.uniform(0.11, 0.2)
    body_x = long * np.array([-1, -0.4, 0.4, 1, 1.05, 0.5, -0.4, -1.05])
    body_y = deep * np.array([-0.5, -1, -0.9, -1, 0.2, 0.9, rng.uniform(0.7, 1.1), 0.5])
    neck_x, neck_y = long + rng.uniform(0.1, 0.35), -deep - rng.uniform(0.0, 0.5)
    size = rng.uniform(0.18, 0.28)
    tail_x, tail_y = -long - rng.uniform(0.15, 0.45), rng.uniform(-0.8, 0.4)
    ear = size * rng.uniform(0.5, 1.1)

    def leg(x: float) -> Floats:
        swing = rng.uniform(-0.22, 0.22)
        y = [0.2 * deep, deep + 0.45 * legs, deep + legs]
        return limb([x, x + 0.5 * swing, x + swing], y, [1.6 * thick, thick, 0.9 * thick])

    return [
        Part(leg(0.6 * long), "trim", 0.4),
        Part(leg(-0.75 * long), "trim", 0.4),
        Part(limb([-0.95 * long, -1.1 * long, tail_x], [-0.4 * deep, -0.2, tail_y], [0.14, 0.1, 0.05]), "trim"),
        Part(leg(0.8 * long), "body", 0.6),
        Part(leg(-0.6 * long), "body", 0.6),
        Part(smooth(body_x, body_y), "body", 0.9),
        Part(limb([0.75 * long, long, neck_x], [-0.3 * deep, -deep, neck_y], [1.1 * deep, 0.8 * deep, 0.24]), "body"),
        Part(oval(neck_x - 0.3 * size, neck_y - 0.9 * size, 0.3 * ear, 0.8 * ear, -0.4), "trim"),
        Part(oval(neck_x, neck_y, 1.1 * size, 0.85 * size, 0.35), "body", 1.0),
        Part(oval(neck_x + 0.95 * size, neck_y + 0.35 * size, 0.55 * size, 0.42 * size, 0.35), "trim", 1.0),
        Part(oval(neck_x + 0.3 * size, neck_y - 0.25 * size, 0.11 * size, 0.11 * size), "detail", 0.2),
    ]


def bird(rng: Draw) -> list[Part]:
    """Draw a standing bird: tail, legs, body, neck, beak, head, wing, eye."""
    long, deep = rng.uniform(0.6, 0.8), rng.uniform(0.32, 0.48)
    lift = rng.uniform(0.1, 0.6)
    head_x, head_y, size = 0.75 * long, -deep * 0.7 - lift * 0.6, rng.uniform(0.2, 0.3)
    tail_y = rng.uniform(-0.3, 0.4)
    beak = rng.uniform(0.2, 0.5)
    wing_y = rng.uniform(-0.15, 0.1)
    wing_tip = rng.uniform(-0.2, 0.4)
    foot = deep + rng.uniform(0.2, 0.55)
    tail = smooth([-0.6 * long, -long - 0.5, -long - 0.55, -0.5 * long], [-0.15, tail_y - 0.12, tail_y + 0.14, 0.2], 1)
    body_x = [-long, -0.3, 0.5 * long, long, 0.45 * long, -0.4]
    wing_x = long * np.array([0.5, 0.3, -0.6, -1.15, -0.4])
    wing = wing_y + np.array([-0.6 * deep, 0.5 * deep, 0.6 * deep, wing_tip, -0.5 * deep])
    neck_x, neck_y = [0.45 * long, 0.65 * long, head_x], [-0.2 * deep, -0.6 * deep, head_y]
    beak_y = [head_y - 0.5 * size, head_y + 0.15, head_y + 0.6 * size]
    leg_y, leg = [0.6 * deep, 0.8 * foot, foot], [0.1, 0.06, 0.06]
    return [
        Part(tail, "trim", 0.3),
        Part(limb([0.05, 0.0, 0.08], leg_y, leg), "detail", 0.3),
        Part(limb([0.22, 0.2, 0.28], leg_y, leg), "detail", 0.3),
        Part(smooth(body_x, [0.1, -deep, -deep * 0.9, -0.1, deep, 0.8 * deep]), "body", 1.0),
        Part(limb(neck_x, neck_y, [deep, 0.7 * deep, size]), "body"),
        Part(smooth([head_x, head_x + size + beak, head_x], beak_y, 1), "detail", 0.3),
        Part(oval(head_x, head_y, size, 0.9 * size), "body", 1.0),
        Part(smooth(wing_x, wing), "trim", 0.6),
        Part(oval(head_x + 0.35 * size, head_y - 0.2 * size, 0.13 * size, 0.13 * size), "detail", 0.2),
    ]


def fish(rng: Draw) -> list[Part]:
    """Draw a fish from its side: tail, fins, body, gill cover, side fin, eye."""
    long, deep = rng.uniform(0.75, 0.95), rng.uniform(0.3, 0.6)
    fork = rng.uniform(0.25, 0.5)
    tail = [-0.75 * long, -long - 0.35, -long - rng.uniform(0.05, 0.25), -long - 0.35]
    fin = rng.uniform(0.15, 0.4)
    body_x = [long, 0.55 * long, -0.2, -long, -long, -0.2, 0.6 * long]
    back_y = [-0.6 * deep, -deep - fin, -0.8 * deep - 0.3 * fin, -0.4 * deep]
    gill_x = long * np.array([1, 0.62, 0.45, 0.62])
    return [
        Part(smooth(tail, [0, -fork, 0, fork], 1), "trim", 0.3),
        Part(smooth([0.4, 0.1, -0.5, -0.6], back_y, 2), "trim", 0.2),
        Part(smooth([0.2, -0.15, -0.45], [0.6 * deep, deep + 0.7 * fin, 0.5 * deep], 2), "trim", 0.2),
        Part(smooth(body_x, [0.0, -deep, -deep, -0.12, 0.12, deep, 0.9 * deep]), "body", 1.0),
        Part(smooth(gill_x, [0.0, -0.7 * deep, 0.0, 0.7 * deep], 2), "trim", 0.5),
        Part(smooth([0.35, -0.1, -0.2, 0.1], [0.0, -0.1, 0.3 * deep, 0.3 * deep], 2), "trim", 0.3),
        Part(oval(0.7 * long, -0.15 * deep, 0.07, 0.07), "detail", 0.3),
    ]


def vase(rng: Draw) -> list[Part]:
    """Draw a turned vessel: handles, body of a random profile, band, dark mouth."""
    heights = np.linspace(-1.0, 1.0, 6)
    spans = ((0.2, 0.5), (0.15, 0.45), (0.4, 0.75), (0.45, 0.85), (0.35, 0.7), (0.25, 0.5))
    radii = np.array([rng.uniform(*span) for span in spans])
    y, band = rng.uniform(-0.1, 0.4), rng.uniform(0.1, 0.3)
    half = float(np.interp(y, heights, radii)) * 0.93
    parts = []
    for side in (-1.0, 1.0)[: int(rng.integers(0, 3))]:
        x = side * np.array([radii[1] * 0.8, radii[2] + 0.3, radii[2] + 0.2, radii[3] * 0.8])
        parts.append(Part(limb(x, [-0.75, -0.55, -0.1, 0.15], [0.14, 0.13, 0.12, 0.12]), "trim"))
    body = smooth([*radii, *-radii[::-1]], [*heights, *heights[::-1]], 2)
    band_y = [y, y + 0.1, y, y + band, y + band + 0.1, y + band]
    return [
        *parts,
        Part(body, "body", 1.0),
        Part(smooth([-half, 0, half, half, 0, -half], band_y, 1), "trim", 0.7),
        Part(oval(0, -0.9, 0.85 * radii[0], 0.09), "detail", 0.0),
    ]


def cart(rng: Draw) -> list[Part]:
    """Draw a vehicle from its side: cabin, windows, body, band, wheels with hubs."""
    long, high = rng.uniform(0.9, 1.1), rng.uniform(0.2, 0.34)
    roof, front, rear = -high - rng.uniform(0.28, 0.6), rng.uniform(0.1, 0.6), -rng.uniform(0.3, 0.95)
    top, foot = roof + 0.1, -high - 0.02
    post = rear + (front - rear) * rng.uniform(0.35, 0.65)
    wheel, axle = rng.uniform(0.2, 0.3), high * 0.95
    cabin_x = [rear - 0.1, rear + 0.1, front - 0.15, front + 0.25]
    body_x = [-long, 0.2, 0.75 * long, long, long, -long]
    band_y = high * np.array([0.45, 0.45, 0.7, 0.7])
    window = [foot, top, top, foot]
    parts = [
        Part(smooth(cabin_x, [-0.5 * high, roof, roof, -0.5 * high], 1), "body", 0.5),
        Part(smooth([rear + 0.05, rear + 0.17, post - 0.04, post - 0.04], window, 1), "trim", 0.2),
        Part(smooth([post + 0.04, post + 0.04, front - 0.2, front + 0.08], window, 1), "trim", 0.2),
        Part(smooth(body_x, [-0.7 * high, -high, -0.9 * high, -0.2, high, high], 2), "body", 0.6),
        Part(smooth(long * np.array([-0.97, 0.97, 0.97, -0.97]), band_y, 1), "trim", 0.3),
    ]
    for x in (-0.58 * long, 0.58 * long):
        parts.append(Part(oval(x, axle, wheel, wheel), "detail", 0.5))
        parts.append(Part(oval(x, axle, 0.5 * wheel, 0.5 * wheel), "trim", 0.8))
    return parts


def flower(rng: Draw) -> list[Part]:
    """Draw a blossom on a stem: stem, leaf, petals around a disc."""
    count, inner = int(rng.integers(5, 12)), rng.uniform(0.16, 0.3)
    length, width = rng.uniform(0.35, 0.5), rng.uniform(0.8, 1.25) * np.pi / count
    squash = rng.uniform(0.65, 1.0)
    stem = rng.uniform(0.9, 1.5)
    lean = rng.uniform(-0.3, 0.3)
    side = rng.choice([-1.0, 1.0])
    leaf = smooth(0.4 * lean + side * np.array([0, 0.35, 0.75, 0.4]), stem * np.array([0.75, 0.5, 0.45, 0.75]), 2)
    parts = [
        Part(limb([0, 0.4 * lean, lean], [0, 0.5 * stem, stem], [0.1, 0.09, 0.11]), "detail"),
        Part(leaf, "detail", 0.4),
    ]
    for index in rng.permutation(count):
        turn = 2 * np.pi * (index + rng.uniform(-0.12, 0.12)) / count
        reach = 0.75 * inner + length
        petal = oval(reach * np.cos(turn), reach * np.sin(turn), length, reach * width * 0.55, turn)
        parts.append(Part(petal * np.asarray([1.0, squash], np.float32), "body", 0.6))
    return [*parts, Part(oval(0, 0, inner, inner * squash), "trim", 1.0)]


def mushroom(rng: Draw) -> list[Part]:
    """Draw a mushroom: stem, ring, underside, cap."""
    wide, high, stem = rng.uniform(0.7, 1.0), rng.uniform(0.45, 0.85), rng.uniform(0.6, 1.2)
    thick, lean = rng.uniform(0.3, 0.5), rng.uniform(-0.15, 0.15)
    cap_x = wide * np.array([-1, -0.85, 0, 0.85, 1, 0])
    ring = rng.uniform(0.25, 0.5) * stem
    stalk = limb([0, 0.6 * lean, lean], [-0.1, 0.5 * stem, stem], thick * np.array([1, 0.9, 1.3]))
    return [
        Part(stalk, "trim", 1.0),
        Part(oval(0.5 * lean, ring, 0.62 * thick, 0.09), "detail", 0.4),
        Part(oval(0, 0.02, 0.86 * wide, 0.14), "detail", 0.0),
        Part(smooth(cap_x, [0.12, -0.7 * high, -1.15 * high, -0.7 * high, 0.12, 0.0]), "body", 1.0),
    ]


ANATOMIES: dict[str, Callable[[Draw], list[Part]]] = {
    one.__name__: one for one in (bird, cart, fish, flower, mushroom, quadruped, vase)
}
"""Parts of an instance of each class, from the back to the front."""
