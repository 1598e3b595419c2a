"""One scene: a place, one to three objects in it, what hides them, light and camera, and the exact masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform, gaussian_filter

from heap.data.scenes.grounds import Ground, draw_ground, place, scatter
from heap.data.scenes.objects import CLASSES, Posed, compose, covers_of, dress, pose, union_of
from heap.data.scenes.stuff import GAMMA, Draw, Floats, Light, Shape, one_of, places, spectral

Bytes = npt.NDArray[np.uint8]

# How far a kind turns in the picture's plane, radians.
TILTS = {"bird": 0.3, "cart": 0.12, "fish": 0.9, "flower": 0.5, "mushroom": 0.25, "quadruped": 0.15, "vase": 0.12}
LYING = "fish"  # the other kinds stand on the ground and throw a long shadow
# Odds of one, two and three objects (most photos people take show one), and the share of the photo each then covers.
COUNT_ODDS = (0.72, 0.20, 0.08)
AREAS = ((0.08, 0.45), (0.05, 0.20), (0.04, 0.12))
# Shares of the objects that are pushed over the photo's rim, and whose body takes the ground's colour.
TRUNCATED, CAMOUFLAGED = 0.10, 0.08
# Share of the scenes in which something unlabelled stands before the objects.
HIDDEN = 0.2
# Objects whose boxes share more than this of the smaller box are placed again.
MOST_OVERLAP = 0.3


@dataclass(frozen=True)
class Instance:
    """A labelled object."""

    name: str
    box: tuple[int, int, int, int]  # left, top, right, bottom of its visible pixels; the last two lie one past the last
    truncated: bool  # it goes on outside the photo
    occluded: bool  # more than a twentieth of it is hidden


@dataclass(frozen=True)
class Scene:
    """A drawn scene."""

    photo: Bytes  # `(H, W, 3)`
    objects: Bytes  # `(H, W)`: 0 background, k the k-th of `instances` (from 1)
    instances: tuple[Instance, ...]  # all at least partly visible

    def classes(self) -> Bytes:
        """Return the class ids `(H, W)` uint8: 0 background, place in `CLASSES` plus 1."""
        ids = np.asarray([0] + [CLASSES.index(i.name) + 1 for i in self.instances], np.uint8)
        return ids[self.objects]


def draw_scene(rng: Draw, height_px: int, width_px: int) -> Scene:
    """Draw a scene; everything random comes from `rng`."""
    shape = (height_px, width_px)
    turn = rng.uniform(-1.2, 1.2)  # from above, from either side, hard or soft
    light = Light(-float(np.cos(turn)), float(np.sin(turn)), rng.uniform(0.5, 1.6), rng.uniform(0.25, 0.6))
    ground = draw_ground(rng, shape, light)
    scatter(rng, ground, light)
    photo = ground.photo
    if rng.random() < 0.4:  # the lens is focused on the objects
        sigma = rng.uniform(0.3, 1.2)
        photo = gaussian_filter(photo, (sigma, sigma, 0))
    posed = _arrange(rng, ground, shape)
    covers = [_add(rng, photo, item, ground, light) for item in posed]
    hiding = _hide(rng, photo, posed, light)
    return _label(_expose(rng, _fall_of_light(rng, photo, light)), posed, covers, hiding)


def _stands(item: Posed, ground: Ground) -> bool:
    return item.name != LYING and ground.horizon_px > 0


def _arrange(rng: Draw, ground: Ground, shape: Shape) -> list[Posed]:
    """Return the objects in their places, from the farthest to the nearest."""
    count = 1 + int(rng.choice(3, p=COUNT_ODDS))
    # Several objects of one photo are often of one kind: a herd, a bunch.
    names = [one_of(rng, CLASSES)] * count
    if rng.random() < 0.5:
        names = [CLASSES[int(index)] for index in rng.integers(len(CLASSES), size=count)]
    placed: list[Posed] = []
    for name in names:
        for _ in range(12):
            # Log-uniform: as many small as large ones in each doubling.
            area = float(np.exp(rng.uniform(*np.log(AREAS[count - 1])))) * shape[0] * shape[1]
            item = _put(rng, pose(rng, name, area, TILTS[name]), ground, shape)
            if all(_overlap(item.box, other.box) <= MOST_OVERLAP for other in placed):
                placed.append(item)
                break
    # The lower an object stands in the picture, the nearer it is.
    return sorted(placed, key=lambda item: item.box[3])


def _put(rng: Draw, item: Posed, ground: Ground, shape: Shape) -> Posed:
    """Return `item` in a place where it can stand, inside the photo or (sometimes) over its rim."""
    height, width = shape
    left, top, right, bottom = item.box
    wide, high = right - left, bottom - top
    slack_x, slack_y = width - wide, height - high
    # Photographers aim, but not exactly: places gather around the middle and reach the rims.
    x = slack_x * rng.beta(1.3, 1.3) if slack_x > 0 else slack_x / 2
    y = slack_y * rng.beta(1.4, 1.2) if slack_y > 0 else slack_y / 2
    if _stands(item, ground):
        # The foot stands on the ground, not in the sky.
        y = max(y, min(ground.horizon_px + 0.03 * height, 0.97 * height) - high)
    if rng.random() < TRUNCATED:
        push = rng.uniform(0.08, 0.35)
        x, y = one_of(rng, ((-push * wide, y), (slack_x + push * wide, y), (x, slack_y + push * high)))
    return item.shifted(x - left, y - top)


def _overlap(one: tuple[float, ...], two: tuple[float, ...]) -> float:
    """Return the common area of two boxes as a share of the smaller one."""
    wide = min(one[2], two[2]) - max(one[0], two[0])
    high = min(one[3], two[3]) - max(one[1], two[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, two))
    return max(wide, 0.0) * max(high, 0.0) / max(smaller, 1e-6)


def _add(rng: Draw, photo: Floats, item: Posed, ground: Ground, light: Light) -> Floats:
    """Paint an object and its shadow in place; return its cover `(H, W)`."""
    shape = (photo.shape[0], photo.shape[1])
    parts = covers_of(item, shape)
    whole = union_of(parts, shape)
    stands = _stands(item, ground)
    strength = rng.uniform(0.25, 0.65) * (1.0 if stands else 0.6)
    photo *= (1.0 - strength * _shadow(whole, item.box[3], light, stands))[..., None]
    base = ground.base if rng.random() < CAMOUFLAGED else None
    compose(rng, photo, parts, dress(rng, item, base), light)
    return whole


def _shadow(alpha: Floats, foot_px: float, light: Light, stands: bool) -> Floats:
    """Return where an object of cover `alpha` `(H, W)` keeps the light off, `(H, W)`, 0 to 1.

    A standing object's shadow is its outline laid onto the ground from its foot, away from the light; a lying or
    hanging one's is its outline shifted a little.
    """
    height = alpha.shape[0]
    if not stands:
        shift = 0.03 * height
        shifted = affine_transform(alpha, np.eye(2), (light.rows * shift, light.columns * shift), order=1)
        return gaussian_filter(shifted, 0.015 * height)
    # Output pixel (r, c) takes the outline at foot + (r - foot) / squash: a mirror upside down would need light from
    # behind, so the shadow falls up the ground, squashed, and leans away from the light.
    squash, lean = 0.3, -light.columns * 0.9
    matrix = np.asarray([[1 / squash, 0.0], [lean / squash, 1.0]])
    offset = np.asarray([foot_px - foot_px / squash, -lean * foot_px / squash])
    laid = affine_transform(alpha, matrix, offset, order=1)
    # Where an object stands, hardly any light comes under it.
    reach = np.exp(-(((np.arange(height, dtype=np.float32) - foot_px) / (0.02 * height + 1)) ** 2))[:, None]
    contact = gaussian_filter(alpha * reach, (1.5, 4.0))
    return np.maximum(gaussian_filter(laid, 0.012 * height), np.clip(1.6 * contact, 0, 1))


def _hide(rng: Draw, photo: Floats, posed: list[Posed], light: Light) -> Floats:
    """Put pebbles and sticks before the objects in place, sometimes; return their cover `(H, W)`."""
    hiding = np.zeros(photo.shape[:2], np.float32)
    for item in posed if rng.random() < HIDDEN else []:
        left, _, right, bottom = item.box
        for _ in range(int(rng.integers(1, 5))):
            at = rng.uniform(left, right), bottom - rng.uniform(0, 0.25) * item.size_px
            added = place(rng, photo, light, at, rng.uniform(0.03, 0.09) * item.size_px)
            if added is not None:
                hiding = np.maximum(hiding, added)
    return hiding


def _fall_of_light(rng: Draw, photo: Floats, light: Light) -> Floats:
    """Return the photo under uneven light: brighter towards the light, dappled, coloured, darker in the corners."""
    height, width = photo.shape[:2]
    rows, columns = places((height, width))
    rows, columns = rows / height - 0.5, columns / width - 0.5
    field = 1.0 + rng.uniform(0.0, 0.7) * (rows * light.rows + columns * light.columns)
    if rng.random() < 0.3:  # shade of a tree, a window frame or a house outside the photo
        dapple = np.tanh(2.5 * (spectral(rng, (height, width), 0.5 * height, slope=2.4) + rng.uniform(-0.6, 0.6)))
        field = field * (1.0 + 0.5 * rng.uniform(0.3, 1.0) * np.clip(dapple, -1, 0))
    field = field * (1.0 - rng.uniform(0.0, 0.9) * (rows**2 + columns**2))
    tint = 1.0 + rng.uniform(-0.12, 0.12) * np.asarray([1.0, 0.0, -1.0], np.float32)
    return np.asarray(photo * field[..., None] * tint, np.float32)


def _expose(rng: Draw, photo: Floats) -> Bytes:
    """Return what the camera stores of linear light `(H, W, 3)`: lens blur, exposure, noise, tone curve; uint8."""
    sigma = rng.uniform(0.3, 0.6)
    photo = gaussian_filter(photo, (sigma, sigma, 0))
    # An automatic exposure: the mean lands near middle grey, more or less well.
    photo = photo * (rng.uniform(0.15, 0.32) / max(float(photo.mean()), 0.02))
    # Photons come at random (noise grows with the root of the light), the electronics add their own; neighbouring
    # pixels share some of it, because a sensor sees one colour a pixel.
    grain = rng.standard_normal(photo.shape, dtype=np.float32)
    grain = 0.7 * grain + 0.6 * gaussian_filter(grain, (0.8, 0.8, 0))
    photo = photo + grain * (rng.uniform(0.006, 0.025) * np.sqrt(np.clip(photo, 0.003, 1)) + 0.002)
    # A soft shoulder instead of hard clipping, as every camera's tone curve has.
    photo = np.clip(photo, 0, None)
    photo = np.where(photo > 0.7, 0.7 + 0.3 * np.tanh((photo - 0.7) / 0.3), photo)
    return np.clip(np.rint(255.0 * photo ** (1.0 / GAMMA)), 0, 255).astype(np.uint8)


def _label(photo: Bytes, posed: list[Posed], covers: list[Floats], hiding: Floats) -> Scene:
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
        rows, columns = (np.flatnonzero(visible.any(axis=axis)) for axis in (1, 0))
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        left, top, right, bottom = item.box
        truncated = left < -1 or top < -1 or right > width + 1 or bottom > height + 1
        occluded = bool(visible.sum() < 0.95 * own.sum())
        instances.append(Instance(item.name, box, truncated, occluded))
        objects[visible] = len(instances)
    return Scene(photo, objects, tuple(instances))
