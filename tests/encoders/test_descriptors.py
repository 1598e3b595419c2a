"""The hand-made encoder: shapes, odd photos, and what its values must tell apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from heap.encoders.base import Encoder
from heap.encoders.descriptors import Descriptors, _appearance, _far_from_border, _local, _oriented, _unlike_border
from heap.grid import grid_of
from heap.settings.models import DescriptorEncoder

ENCODER = Descriptors(DescriptorEncoder(kind="descriptors"))


def noise(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def cosine(one: npt.NDArray[np.float32], two: npt.NDArray[np.float32]) -> float:
    return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))


def test_it_is_an_encoder_and_says_that_it_is_hand_made() -> None:
    encoder: Encoder = ENCODER
    assert encoder.label == "descriptors (hand-made, no training)"
    assert encoder.weights.as_json() == {"source": "none", "sha256": None}
    assert encoder.attention_kind == "centre_border_prior"
    assert encoder.dim % 4 == 0  # the head's default of 4 attention heads must divide it


@pytest.mark.parametrize("size", [(64, 80), (61, 83), (8, 8), (1, 1), (1, 50), (50, 1), (9, 17)])
def test_shapes_and_values_of_any_size(size: tuple[int, int]) -> None:
    height, width = size
    grid_h, grid_w = grid_of(height, width, 8)
    encoded = ENCODER.encode(noise(height, width)[None])
    assert encoded.features.shape == (1, grid_h * grid_w, ENCODER.dim)
    assert encoded.attention.shape == (1, grid_h * grid_w, 1)
    assert encoded.cls.shape == (1, ENCODER.dim)
    for values in (encoded.features, encoded.attention, encoded.cls):
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        assert np.abs(values).max() < 100  # float16 keeps three digits of it
    assert (encoded.attention > 0).all()


@pytest.mark.parametrize("patch_px", [4, 16, 32])
def test_other_patch_sizes(patch_px: int) -> None:
    encoder = Descriptors(DescriptorEncoder(kind="descriptors", patch_px=patch_px))
    assert encoder.encode(noise(70, 90)[None]).features.shape[1] == -(-70 // patch_px) * -(-90 // patch_px)


def test_a_photo_does_not_depend_on_its_batch() -> None:
    photos = np.stack([noise(40, 56, seed) for seed in range(3)])
    together = ENCODER.encode(photos)
    for index in range(3):
        alone = ENCODER.encode(photos[index : index + 1])
        assert np.array_equal(together.features[index], alone.features[0])
        assert np.array_equal(together.attention[index], alone.attention[0])


def test_padding_repeats_the_edge() -> None:
    photo = noise(40, 56)[:37, :51]
    padded = np.pad(photo, ((0, 3), (0, 5), (0, 0)), mode="edge")
    assert np.array_equal(ENCODER.encode(photo[None]).features, ENCODER.encode(padded[None]).features)


def test_constant_and_grey_photos() -> None:
    constant = ENCODER.encode(np.full((1, 48, 64, 3), 90, np.uint8))
    grey = ENCODER.encode(np.repeat(noise(48, 64)[:, :, :1], 3, axis=2)[None])
    assert np.isfinite(constant.features).all()
    assert np.isfinite(grey.features).all()
    # Nothing stands out of a constant photo: only the centre prior is left, largest in the middle.
    attention = constant.attention.reshape(6, 8)
    assert attention[2:4, 3:5].min() == attention.max() or attention.argmax() in {19, 20, 27, 28}
    assert attention[0, 0] < attention[2, 3]


def test_texture_separates_regions_of_one_colour() -> None:
    # Left: vertical stripes of 4 px; right: the same two tones as horizontal stripes. Mean and deviation are equal.
    rows, columns = np.mgrid[:64, :128]
    stripes = np.where(columns < 64, (columns // 4) % 2, (rows // 4) % 2)
    photo = np.repeat((60 + 100 * stripes).astype(np.uint8)[..., None], 3, axis=2)
    local = _local(photo, 8)
    assert np.allclose(local.lab, local.lab[0, 0], atol=1e-3)
    appearance = _appearance(local) - _appearance(local).mean(axis=(0, 1))
    left, left_too, right = appearance[3, 2], appearance[4, 5], appearance[3, 13]
    assert cosine(left, left_too) > 0.8
    assert cosine(left, right) < 0


def test_orientations_of_a_ramp() -> None:
    # Light rises to the right: the gradient has angle 0, so all strength lies in the first of the orientations.
    ramp = np.tile(np.arange(32, dtype=np.float32), (32, 1))
    strength = _oriented(ramp, 1.0)[16, 16]
    assert strength[0] == pytest.approx(1.0, rel=1e-3)
    assert strength[1:].max() == pytest.approx(0, abs=1e-3)
    # And down the diagonal, halfway to the vertical: the third of eight.
    assert _oriented(ramp + ramp.T, 1.0)[16, 16].argmax() == 2


def test_distances_to_the_border() -> None:
    grid = np.zeros((5, 6, 1), np.float32)
    grid[2, 3] = 4.0  # one patch differs by 4 from all others
    unlike = _unlike_border(grid, 0.1)
    assert unlike[2, 3] == pytest.approx(4, abs=1e-3)
    assert unlike[1, 1] == pytest.approx(0, abs=1e-3)
    ways = _far_from_border(grid)
    # The median step is 0, so entering the patch costs its difference, any other step the least cost.
    assert ways[2, 3] == pytest.approx(4 + 0.001, abs=1e-3)
    assert ways[0, 0] == 0
    assert ways[1, 1] == pytest.approx(0.001, abs=1e-6)


def test_attention_finds_a_disc_off_the_centre() -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:120, :160]
    disc = np.hypot(rows - 50, columns - 100) < 28
    photo = np.where(disc[..., None], (150, 90, 60), (90, 110, 120)) + rng.normal(0, 8, (120, 160, 3))
    attention = ENCODER.encode(np.clip(photo, 0, 255).astype(np.uint8)[None]).attention.reshape(15, 20)
    marked = np.kron(attention > attention.mean(), np.ones((8, 8), bool))
    assert (marked & disc).sum() / (marked | disc).sum() > 0.6
