"""Outlines of the scenes' objects: for each class, the parts it is made of, varied from one instance to the next.

Unit coordinates: x to the right, y down, an object about 2 across; the size in pixels comes later. All objects stand
upright; `objects.py` turns, flips and scales them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from heap.data.scenes.colours import Floats

Role = Literal["body", "trim", "detail"]
Draw = np.random.Generator


@dataclass(frozen=True)
class Part:
    """A piece of an object.

    Attributes:
        outline: `(n, 2)` corners (x, y) of a closed polygon.
        role: which of the object's three materials it is made of.
        bulge: how round it looks when lit, 0 flat to 1 ball.
    """

    outline: Floats
    role: Role
    bulge: float = 0.8


def smooth(points: list[tuple[float, float]], rounds: int = 3) -> Floats:
    """Return a closed polygon with its corners cut `rounds` times (Chaikin), `(n * 2**rounds, 2)`."""
    outline = np.asarray(points, np.float32)
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


def limb(path: list[tuple[float, float]], widths: list[float]) -> Floats:
    """Return a tapering limb along `path` with a full width at each of its points."""
    centre, half = np.asarray(path, float), np.asarray(widths)[:, None] / 2
    direction = np.gradient(centre, axis=0)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1)
    sides = np.concatenate([centre + half * normal, (centre - half * normal)[::-1]])
    return smooth([(float(x), float(y)) for x, y in sides], 2)


def quadruped(rng: Draw) -> list[Part]:
    """Draw an animal on four legs: far legs, tail, body, near legs, neck, head, ears, muzzle."""
    long, deep, legs = rng.uniform(0.65, 0.95), rng.uniform(0.26, 0.42), rng.uniform(0.35, 0.7)
    thick = rng.uniform(0.11, 0.2)
    body = smooth(
        [
            (-long, -0.5 * deep),
            (-0.4 * long, -deep),
            (0.4 * long, -0.9 * deep),
            (long, -deep),
            (1.05 * long, 0.2 * deep),
            (0.5 * long, 0.9 * deep),
            (-0.4 * long, rng.uniform(0.7, 1.1) * deep),
            (-1.05 * long, 0.5 * deep),
        ]
    )

    def leg(x: float) -> Floats:
        swing = rng.uniform(-0.22, 0.22)
        middle = (x + 0.5 * swing, deep + 0.45 * legs)
        return limb([(x, 0.2 * deep), middle, (x + swing, deep + legs)], [1.6 * thick, thick, 0.9 * thick])

    neck_x, neck_y = long + rng.uniform(0.1, 0.35), -deep - rng.uniform(0.0, 0.5)
    size = rng.uniform(0.18, 0.28)
    tail_x, tail_y = -long - rng.uniform(0.15, 0.45), rng.uniform(-0.8, 0.4)
    ear = size * rng.uniform(0.5, 1.1)
    return [
        Part(leg(0.6 * long), "trim", 0.4),
        Part(leg(-0.75 * long), "trim", 0.4),
        Part(limb([(-0.95 * long, -0.4 * deep), (-1.1 * long, -0.2), (tail_x, tail_y)], [0.14, 0.1, 0.05]), "trim"),
        Part(leg(0.8 * long), "body", 0.6),
        Part(leg(-0.6 * long), "body", 0.6),
        Part(body, "body", 0.9),
        Part(
            limb([(0.75 * long, -0.3 * deep), (long, -deep), (neck_x, neck_y)], [1.1 * deep, 0.8 * deep, 0.24]), "body"
        ),
        Part(oval(neck_x - 0.3 * size, neck_y - 0.9 * size, 0.3 * ear, 0.8 * ear, -0.4), "trim"),
        Part(oval(neck_x, neck_y, 1.1 * size, 0.85 * size, 0.35), "body", 1.0),
        Part(oval(neck_x + 0.95 * size, neck_y + 0.35 * size, 0.55 * size, 0.42 * size, 0.35), "trim", 1.0),
        Part(oval(neck_x + 0.3 * size, neck_y - 0.25 * size, 0.11 * size, 0.11 * size), "detail", 0.2),
    ]


def bird(rng: Draw) -> list[Part]:
    """Draw a standing bird: tail, legs, body, head, beak, wing, eye."""
    long, deep = rng.uniform(0.6, 0.8), rng.uniform(0.32, 0.48)
    lift = rng.uniform(0.1, 0.6)
    head_x, head_y, size = 0.75 * long, -deep * 0.7 - lift * 0.6, rng.uniform(0.2, 0.3)
    body = smooth(
        [(-long, 0.1), (-0.3, -deep), (0.5 * long, -deep * 0.9), (long, -0.1), (0.45 * long, deep), (-0.4, 0.8 * deep)]
    )
    tail_y = rng.uniform(-0.3, 0.4)
    tail = smooth(
        [(-0.6 * long, -0.15), (-long - 0.5, tail_y - 0.12), (-long - 0.55, tail_y + 0.14), (-0.5 * long, 0.2)], 1
    )
    beak = rng.uniform(0.2, 0.5)
    wing_y = rng.uniform(-0.15, 0.1)
    wing = smooth(
        [
            (0.5 * long, wing_y - 0.6 * deep),
            (0.3 * long, wing_y + 0.5 * deep),
            (-0.6 * long, wing_y + 0.6 * deep),
            (-1.15 * long, wing_y + rng.uniform(-0.2, 0.4)),
            (-0.4 * long, wing_y - 0.5 * deep),
        ]
    )
    foot = deep + rng.uniform(0.2, 0.55)
    return [
        Part(tail, "trim", 0.3),
        Part(limb([(0.05, 0.6 * deep), (0.0, 0.8 * foot), (0.08, foot)], [0.1, 0.06, 0.06]), "detail", 0.3),
        Part(limb([(0.22, 0.6 * deep), (0.2, 0.8 * foot), (0.28, foot)], [0.1, 0.06, 0.06]), "detail", 0.3),
        Part(body, "body", 1.0),
        Part(
            limb([(0.45 * long, -0.2 * deep), (0.65 * long, -0.6 * deep), (head_x, head_y)], [deep, 0.7 * deep, size]),
            "body",
        ),
        Part(
            smooth(
                [(head_x, head_y - 0.5 * size), (head_x + size + beak, head_y + 0.15), (head_x, head_y + 0.6 * size)], 1
            ),
            "detail",
            0.3,
        ),
        Part(oval(head_x, head_y, size, 0.9 * size), "body", 1.0),
        Part(wing, "trim", 0.6),
        Part(oval(head_x + 0.35 * size, head_y - 0.2 * size, 0.13 * size, 0.13 * size), "detail", 0.2),
    ]


def fish(rng: Draw) -> list[Part]:
    """Draw a fish from its side: tail, fins, body, gill cover, eye."""
    long, deep = rng.uniform(0.75, 0.95), rng.uniform(0.3, 0.6)
    fork = rng.uniform(0.25, 0.5)
    tail = smooth(
        [(-0.75 * long, 0), (-long - 0.35, -fork), (-long - rng.uniform(0.05, 0.25), 0), (-long - 0.35, fork)], 1
    )
    fin = rng.uniform(0.15, 0.4)
    body = smooth(
        [
            (long, 0.0),
            (0.55 * long, -deep),
            (-0.2, -deep),
            (-long, -0.12),
            (-long, 0.12),
            (-0.2, deep),
            (0.6 * long, 0.9 * deep),
        ]
    )
    return [
        Part(tail, "trim", 0.3),
        Part(
            smooth([(0.4, -0.6 * deep), (0.1, -deep - fin), (-0.5, -0.8 * deep - 0.3 * fin), (-0.6, -0.4 * deep)], 2),
            "trim",
            0.2,
        ),
        Part(smooth([(0.2, 0.6 * deep), (-0.15, deep + 0.7 * fin), (-0.45, 0.5 * deep)], 2), "trim", 0.2),
        Part(body, "body", 1.0),
        Part(
            smooth([(long, 0.0), (0.62 * long, -0.7 * deep), (0.45 * long, 0.0), (0.62 * long, 0.7 * deep)], 2),
            "trim",
            0.5,
        ),
        Part(smooth([(0.35, 0.0), (-0.1, -0.1), (-0.2, 0.3 * deep), (0.1, 0.3 * deep)], 2), "trim", 0.3),
        Part(oval(0.7 * long, -0.15 * deep, 0.07, 0.07), "detail", 0.3),
    ]


def vase(rng: Draw) -> list[Part]:
    """Draw a turned vessel: handles, body of a random profile, band, dark mouth."""
    heights = np.linspace(-1.0, 1.0, 6)
    radii = [
        rng.uniform(*span) for span in ((0.2, 0.5), (0.15, 0.45), (0.4, 0.75), (0.45, 0.85), (0.35, 0.7), (0.25, 0.5))
    ]
    profile = [(float(r), float(y)) for r, y in zip(radii, heights, strict=True)]
    mirrored = [(-r, y) for r, y in reversed(profile)]
    body = smooth([*profile, *mirrored], 2)
    band_y, band = rng.uniform(-0.1, 0.4), rng.uniform(0.1, 0.3)
    half = float(np.interp(band_y, heights, radii)) * 0.93
    parts = []
    for side in (-1.0, 1.0)[: int(rng.integers(0, 3))]:
        root = side * radii[1] * 0.8
        path = [
            (root, -0.75),
            (side * (radii[2] + 0.3), -0.55),
            (side * (radii[2] + 0.2), -0.1),
            (side * radii[3] * 0.8, 0.15),
        ]
        parts.append(Part(limb(path, [0.14, 0.13, 0.12, 0.12]), "trim"))
    return [
        *parts,
        Part(body, "body", 1.0),
        Part(
            smooth(
                [
                    (-half, band_y),
                    (0, band_y + 0.1),
                    (half, band_y),
                    (half, band_y + band),
                    (0, band_y + band + 0.1),
                    (-half, band_y + band),
                ],
                1,
            ),
            "trim",
            0.7,
        ),
        Part(oval(0, -0.9, 0.85 * radii[0], 0.09), "detail", 0.0),
    ]


def cart(rng: Draw) -> list[Part]:
    """Draw a vehicle from its side: cabin, windows, body, wheels with hubs."""
    long, high = rng.uniform(0.9, 1.1), rng.uniform(0.2, 0.34)
    roof, front, rear = -high - rng.uniform(0.28, 0.6), rng.uniform(0.1, 0.6), -rng.uniform(0.3, 0.95)
    cabin = smooth(
        [(rear - 0.1, -0.5 * high), (rear + 0.1, roof), (front - 0.15, roof), (front + 0.25, -0.5 * high)], 1
    )
    body = smooth(
        [(-long, -0.7 * high), (0.2, -high), (0.75 * long, -0.9 * high), (long, -0.2), (long, high), (-long, high)], 2
    )
    top, foot = roof + 0.1, -high - 0.02
    post = rear + (front - rear) * rng.uniform(0.35, 0.65)
    wheel, axle = rng.uniform(0.2, 0.3), high * 0.95
    parts = [
        Part(cabin, "body", 0.5),
        Part(
            smooth([(rear + 0.05, foot), (rear + 0.17, top), (post - 0.04, top), (post - 0.04, foot)], 1), "trim", 0.2
        ),
        Part(
            smooth([(post + 0.04, foot), (post + 0.04, top), (front - 0.2, top), (front + 0.08, foot)], 1), "trim", 0.2
        ),
        Part(body, "body", 0.6),
        Part(
            smooth(
                [
                    (-0.97 * long, 0.45 * high),
                    (0.97 * long, 0.45 * high),
                    (0.97 * long, 0.7 * high),
                    (-0.97 * long, 0.7 * high),
                ],
                1,
            ),
            "trim",
            0.3,
        ),
    ]
    for x in (-0.58 * long, 0.58 * long):
        parts += [
            Part(oval(x, axle, wheel, wheel), "detail", 0.5),
            Part(oval(x, axle, 0.5 * wheel, 0.5 * wheel), "trim", 0.8),
        ]
    return parts


def flower(rng: Draw) -> list[Part]:
    """Draw a blossom on a stem: stem, leaf, petals around a disc."""
    count, inner = int(rng.integers(5, 12)), rng.uniform(0.16, 0.3)
    length, width = rng.uniform(0.35, 0.5), rng.uniform(0.8, 1.25) * np.pi / count
    squash = rng.uniform(0.65, 1.0)
    stem = rng.uniform(0.9, 1.5)
    lean = rng.uniform(-0.3, 0.3)
    side = rng.choice([-1.0, 1.0])
    parts = [
        Part(limb([(0, 0), (0.4 * lean, 0.5 * stem), (lean, stem)], [0.1, 0.09, 0.11]), "detail"),
        Part(
            smooth(
                [
                    (0.4 * lean, 0.75 * stem),
                    (0.4 * lean + side * 0.35, 0.5 * stem),
                    (0.4 * lean + side * 0.75, 0.45 * stem),
                    (0.4 * lean + side * 0.4, 0.75 * stem),
                ],
                2,
            ),
            "detail",
            0.4,
        ),
    ]
    for index in rng.permutation(count):
        turn = 2 * np.pi * (index + rng.uniform(-0.12, 0.12)) / count
        reach = 0.75 * inner + length
        petal = oval(reach * np.cos(turn), reach * np.sin(turn), length, reach * width * 0.55, turn)
        parts.append(Part(petal * np.asarray([1.0, squash], np.float32), "body", 0.6))
    parts.append(Part(oval(0, 0, inner, inner * squash), "trim", 1.0))
    return parts


def mushroom(rng: Draw) -> list[Part]:
    """Draw a mushroom: stem, ring, underside, cap."""
    wide, high, stem = rng.uniform(0.7, 1.0), rng.uniform(0.45, 0.85), rng.uniform(0.6, 1.2)
    thick, lean = rng.uniform(0.3, 0.5), rng.uniform(-0.15, 0.15)
    cap = smooth(
        [
            (-wide, 0.12),
            (-0.85 * wide, -0.7 * high),
            (0, -1.15 * high),
            (0.85 * wide, -0.7 * high),
            (wide, 0.12),
            (0, 0.0),
        ]
    )
    ring = rng.uniform(0.25, 0.5) * stem
    return [
        Part(limb([(0, -0.1), (0.6 * lean, 0.5 * stem), (lean, stem)], [thick, 0.9 * thick, 1.3 * thick]), "trim", 1.0),
        Part(oval(0.5 * lean, ring, 0.62 * thick, 0.09), "detail", 0.4),
        Part(oval(0, 0.02, 0.86 * wide, 0.14), "detail", 0.0),
        Part(cap, "body", 1.0),
    ]


ANATOMIES: dict[str, Callable[[Draw], list[Part]]] = {
    "bird": bird,
    "cart": cart,
    "fish": fish,
    "flower": flower,
    "mushroom": mushroom,
    "quadruped": quadruped,
    "vase": vase,
}
"""Parts of an instance of each class, from the back to the front."""
