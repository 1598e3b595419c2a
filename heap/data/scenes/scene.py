"""One scene: a place, one to three objects in it, what hides them, and the exact masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from heap.data.scenes.camera import cast_shadow, draw_light, expose, fall_of_light
from heap.data.scenes.colours import Floats
from heap.data.scenes.grounds import Ground, draw_ground, place, scatter
from heap.data.scenes.objects import CLASSES, Light, Posed, compose, covers_of, dress, pose, union_of

# Kinds that stand on the ground and throw a long shadow; the others lie, swim or hang.
STANDING = frozenset({"bird", "cart", "flower", "mushroom", "quadruped", "vase"})
TILTS = {"bird": 0.3, "cart": 0.12, "fish": 0.9, "flower": 0.5, "mushroom": 0.25, "quadruped": 0.15, "vase": 0.12}
"""How far a kind turns in the picture's plane, radians."""

COUNT_ODDS = (0.72, 0.20, 0.08)
"""Odds of one, two and three objects: most photos people take show one."""
AREAS = ((0.08, 0.45), (0.05, 0.20), (0.04, 0.12))
"""Share of the photo an object covers when there are one, two, three of them."""
TRUNCATED = 0.10
"""Share of the objects that are pushed over the photo's rim."""
CAMOUFLAGED = 0.08
"""Share of the objects whose body takes the ground's colour."""
HIDDEN = 0.2
"""Share of the scenes in which something unlabelled stands before the objects."""
MOST_OVERLAP = 0.3
"""Objects whose boxes share more than this of the smaller box are placed anew."""


@dataclass(frozen=True)
class Instance:
    """A labelled object.

    Attributes:
        name: its class.
        box: (left, top, right, bottom) of its visible pixels; right and bottom lie one past the last.
        truncated: it goes on outside the photo.
        occluded: more than a twentieth of it is hidden.
    """

    name: str
    box: tuple[int, int, int, int]
    truncated: bool
    occluded: bool


@dataclass(frozen=True)
class Scene:
    """A drawn scene.

    Attributes:
        photo: `(H, W, 3)` uint8.
        objects: `(H, W)` uint8, 0 background, k the k-th of `instances` (from 1).
        instances: the labelled objects, all at least partly visible.
    """

    photo: npt.NDArray[np.uint8]
    objects: npt.NDArray[np.uint8]
    instances: tuple[Instance, ...]

    def classes(self) -> npt.NDArray[np.uint8]:
        """Return the class ids `(H, W)` uint8: 0 background, place in `CLASSES` plus 1."""
        ids = np.asarray([0] + [CLASSES.index(i.name) + 1 for i in self.instances], np.uint8)
        return ids[self.objects]


def draw_scene(rng: np.random.Generator, height_px: int, width_px: int) -> Scene:
    """Draw a scene; everything random comes from `rng`."""
    shape = (height_px, width_px)
    light = draw_light(rng)
    ground = draw_ground(rng, shape, light)
    scatter(rng, ground, light)
    photo = ground.photo
    if rng.random() < 0.4:  # the lens is focused on the objects
        sigma = float(rng.uniform(0.3, 1.2))
        photo = gaussian_filter(photo, (sigma, sigma, 0))

    posed = _arrange(rng, ground, shape)
    covers = []
    for item in posed:
        covers.append(_add(rng, photo, item, ground, light))
    photo, hiding = _hide(rng, photo, posed, light)
    return _label(expose(rng, fall_of_light(rng, photo, light)), posed, covers, hiding)


def _arrange(rng: np.random.Generator, ground: Ground, shape: tuple[int, int]) -> list[Posed]:
    """Return the objects in their places, from the farthest to the nearest."""
    height, width = shape
    count = 1 + int(rng.choice(3, p=COUNT_ODDS))
    # Several objects of one photo are often of one kind: a herd, a bunch.
    names = [CLASSES[int(rng.integers(len(CLASSES)))]] * count
    if rng.random() < 0.5:
        names = [CLASSES[int(index)] for index in rng.integers(len(CLASSES), size=count)]
    placed: list[Posed] = []
    for name in names:
        for _ in range(12):
            least, most = AREAS[count - 1]
            # Log-uniform: as many small as large ones in each doubling.
            area = float(np.exp(rng.uniform(np.log(least), np.log(most)))) * height * width
            item = _put(rng, pose(rng, name, area, TILTS[name]), ground, shape)
            if all(_overlap(item.box, other.box) <= MOST_OVERLAP for other in placed):
                placed.append(item)
                break
    # The lower an object stands in the picture, the nearer it is.
    return sorted(placed, key=lambda item: item.box[3])


def _put(rng: np.random.Generator, item: Posed, ground: Ground, shape: tuple[int, int]) -> Posed:
    """Return `item` moved to a place where it can stand, inside the photo or (sometimes) over its rim."""
    height, width = shape
    left, top, right, bottom = item.box
    wide, high = right - left, bottom - top
    slack_x, slack_y = width - wide, height - high
    # Photographers aim, but not exactly: places gather around the middle and reach the rims.
    x = slack_x * float(rng.beta(1.3, 1.3)) if slack_x > 0 else slack_x / 2
    y = slack_y * float(rng.beta(1.4, 1.2)) if slack_y > 0 else slack_y / 2
    if item.name in STANDING and ground.horizon_px > 0:
        # The foot stands on the ground, not in the sky.
        y = max(y, min(ground.horizon_px + 0.03 * height, 0.97 * height) - high)
    if rng.random() < TRUNCATED:
        push = float(rng.uniform(0.08, 0.35))
        side = int(rng.integers(3))
        x, y = ((-push * wide, y), (slack_x + push * wide, y), (x, slack_y + push * high))[side]
    return item.moved(x - left, y - top)


def _overlap(one: tuple[float, ...], two: tuple[float, ...]) -> float:
    """Return the common area of two boxes as a share of the smaller one."""
    wide = min(one[2], two[2]) - max(one[0], two[0])
    high = min(one[3], two[3]) - max(one[1], two[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, two))
    return max(wide, 0.0) * max(high, 0.0) / max(smaller, 1e-6)


def _add(rng: np.random.Generator, photo: Floats, item: Posed, ground: Ground, light: Light) -> Floats:
    """Paint an object and its shadow in place; return its cover `(H, W)`."""
    shape = (photo.shape[0], photo.shape[1])
    parts = covers_of(item, shape)
    whole = union_of(parts, shape)
    grounded = item.name in STANDING and ground.horizon_px > 0
    strength = float(rng.uniform(0.25, 0.65)) * (1.0 if grounded else 0.6)
    cast_shadow(photo, whole, item.box[3], light, strength, grounded)
    base = ground.base if rng.random() < CAMOUFLAGED else None
    compose(rng, photo, parts, dress(rng, item, base), light)
    return whole


def _hide(rng: np.random.Generator, photo: Floats, posed: list[Posed], light: Light) -> tuple[Floats, Floats]:
    """Put pebbles and sticks before the objects, sometimes; return the photo and their cover `(H, W)`."""
    hiding = np.zeros(photo.shape[:2], np.float32)
    if rng.random() < HIDDEN:
        for item in posed:
            left, _, right, bottom = item.box
            for _ in range(int(rng.integers(1, 5))):
                at = (float(rng.uniform(left, right)), float(bottom - rng.uniform(0, 0.25) * item.size_px))
                added = place(rng, photo, light, at, float(rng.uniform(0.03, 0.09)) * item.size_px)
                if added is not None:
                    hiding = np.maximum(hiding, added)
    return photo, hiding


def _label(photo: npt.NDArray[np.uint8], posed: list[Posed], covers: list[Floats], hiding: Floats) -> Scene:
    """Return the scene with its exact masks: a pixel belongs to what covers most of it and stands in front."""
    height, width = hiding.shape
    objects = np.zeros((height, width), np.uint8)
    instances: list[Instance] = []
    solid = [alpha > 0.5 for alpha in covers]
    for index, (item, own) in enumerate(zip(posed, solid, strict=True)):
        visible = own & (hiding <= 0.5)
        for nearer in solid[index + 1 :]:
            visible &= ~nearer
        if not visible.any():
            continue
        rows, columns = np.nonzero(visible.any(axis=1))[0], np.nonzero(visible.any(axis=0))[0]
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        left, top, right, bottom = item.box
        truncated = left < -1 or top < -1 or right > width + 1 or bottom > height + 1
        occluded = bool(visible.sum() < 0.95 * own.sum())
        instances.append(Instance(item.name, box, truncated, occluded))
        objects[visible] = len(instances)
    return Scene(photo, objects, tuple(instances))
