"""Light on the whole scene and what the camera makes of it: shadows, uneven light, lens, sensor."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform, gaussian_filter

from heap.data.scenes.colours import GAMMA, Floats
from heap.data.scenes.objects import Light
from heap.data.scenes.textures import spectral


def draw_light(rng: np.random.Generator) -> Light:
    """Draw a light from above, from either side, hard or soft."""
    turn = rng.uniform(-1.2, 1.2)
    return Light(-float(np.cos(turn)), float(np.sin(turn)), float(rng.uniform(0.5, 1.6)), float(rng.uniform(0.25, 0.6)))


def cast_shadow(photo: Floats, alpha: Floats, foot_px: float, light: Light, strength: float, grounded: bool) -> None:
    """Darken `photo` `(H, W, 3)` in place where an object of cover `alpha` `(H, W)` keeps the light off.

    A standing object's shadow is its outline laid onto the ground from its foot, away from the light; a lying or
    hanging one's is its outline shifted a little. Call before the object itself is painted.
    """
    height = alpha.shape[0]
    if grounded:
        # Output pixel (r, c) takes the outline at foot + (r - foot) / squash: a mirror upside down would need light
        # from behind, so the shadow falls up the ground, squashed, and leans away from the light.
        squash, lean = 0.3, -light.columns * 0.9
        matrix = np.asarray([[1 / squash, 0.0], [lean / squash, 1.0]])
        offset = np.asarray([foot_px - foot_px / squash, -lean * foot_px / squash])
        laid = affine_transform(alpha, matrix, offset, order=1)
        # Where an object stands, hardly any light comes under it.
        reach = np.exp(-(((np.arange(height, dtype=np.float32) - foot_px) / (0.02 * height + 1)) ** 2))[:, None]
        contact = gaussian_filter(alpha * reach, (1.5, 4.0))
        shadow = np.maximum(gaussian_filter(laid, 0.012 * height), np.clip(1.6 * contact, 0, 1))
    else:
        shift = 0.03 * height
        moved = affine_transform(alpha, np.eye(2), (light.rows * shift, light.columns * shift), order=1)
        shadow = gaussian_filter(moved, 0.015 * height)
    photo *= (1.0 - strength * shadow)[..., None]


def fall_of_light(rng: np.random.Generator, photo: Floats, light: Light) -> Floats:
    """Return the photo under uneven light: brighter towards the light, dappled, coloured, darker in the corners."""
    height, width = photo.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    rows, columns = rows / height - 0.5, columns / width - 0.5
    field = 1.0 + rng.uniform(0.0, 0.7) * (rows * light.rows + columns * light.columns)
    if rng.random() < 0.3:  # shade of a tree, a window frame or a house outside the photo
        dapple = np.tanh(2.5 * (spectral(rng, (height, width), 0.5 * height, slope=2.4) + rng.uniform(-0.6, 0.6)))
        field = field * (1.0 + 0.5 * rng.uniform(0.3, 1.0) * np.clip(dapple, -1, 0))
    field = field * (1.0 - rng.uniform(0.0, 0.9) * (rows**2 + columns**2))
    tint = 1.0 + rng.uniform(-0.12, 0.12) * np.asarray([1.0, 0.0, -1.0], np.float32)
    return np.asarray(photo * field[..., None] * tint, np.float32)


def expose(rng: np.random.Generator, photo: Floats) -> npt.NDArray[np.uint8]:
    """Return what the camera stores of linear light `(H, W, 3)`: lens blur, exposure, noise, tone curve; uint8."""
    sigma = float(rng.uniform(0.3, 0.6))
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
