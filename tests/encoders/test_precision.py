"""The price of half precision is measured, written down, and refused where it is no rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from heap.encoders.base import Encoded
from heap.encoders.descriptors import Descriptors
from heap.encoders.precision import check_precision, largest_error, precision_error
from heap.encoders.transfer import Transfer
from heap.encoders.vit import Vit
from heap.errors import EncoderError
from heap.receipts import Weights
from heap.settings.models import DescriptorEncoder, VitEncoder

RANDOM = Weights(source="random")


def encoded(features: list[float], attention: list[float]) -> Encoded:
    shape = (1, len(features), 1)
    return Encoded(
        np.array(features, np.float32).reshape(shape),
        np.array(attention, np.float32).reshape(shape),
        np.zeros((1, 1), np.float32),
    )


def tiny(precision: str = "float32", device: str = "cpu") -> Vit:
    torch.manual_seed(0)
    model = VisionTransformer(img_size=32, patch_size=8, embed_dim=48, depth=4, num_heads=3, num_classes=0)
    settings = VitEncoder.model_validate({"kind": "vit", "architecture": "tiny", "precision": precision})
    return Vit(model, settings, RANDOM, device)


def test_the_error_is_relative_to_the_largest_value() -> None:
    exact = encoded([1.0, -4.0], [0.25, 0.5])
    error = precision_error(encoded([1.0, -3.9], [0.26, 0.5]), exact)
    assert error["features"] == pytest.approx(0.1 / 4)
    assert error["attention"] == pytest.approx(0.01 / 0.5, rel=1e-4)
    assert error["photos"] == 1


@pytest.mark.parametrize(
    ("features", "attention", "words"),
    [
        ([1.0, -3.7], [0.25, 0.5], "features by 7.5%"),
        ([1.0, -4.0], [0.25, 0.4], "attention by 20.0%"),
        ([float("nan"), -4.0], [0.25, 0.5], "features by inf%"),
        ([1.0, float("inf")], [0.25, 0.5], "features by inf%"),
    ],
)
def test_an_error_that_is_no_rounding_is_refused(features: list[float], attention: list[float], words: str) -> None:
    exact = encoded([1.0, -4.0], [0.25, 0.5])
    with pytest.raises(EncoderError) as error:
        check_precision(encoded(features, attention), exact, "float16", "dino_vits8")
    for part in ("dino_vits8", "float16", words, "at most 5%", "precision: float32"):
        assert part in str(error.value)


def test_bfloat16_on_a_real_forward_is_off_by_rounding() -> None:
    encoder = tiny()
    photos = np.random.default_rng(0).integers(0, 256, (3, 32, 40, 3), dtype=np.uint8)
    exact = encoder.encode(photos)
    assert encoder.precision_error is None
    error = precision_error(encoder.start_as(photos, "bfloat16").result(), exact)
    assert 1e-4 < error["features"] < 0.03
    assert 0 < error["attention"] < 0.03
    assert precision_error(encoder.start_as(photos, "float32").result(), exact)["features"] == 0


def test_half_precision_measures_its_first_batch_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # On the CPU, through the inside: the settings ask for it on CUDA only.
    encoder = tiny()
    encoder.settings = encoder.settings.model_copy(update={"precision": "bfloat16"})
    asked: list[str] = []
    real = Vit.start_as

    def watched(self: Vit, photos: Any, precision: Any) -> Transfer:
        asked.append(precision)
        return real(self, photos, precision)

    monkeypatch.setattr(Vit, "start_as", watched)
    photos = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    encoder.encode(photos)
    first = encoder.precision_error
    encoder.encode(photos)
    assert asked == ["bfloat16", "float32", "bfloat16"]
    assert first is not None
    assert first == encoder.precision_error
    assert first["photos"] == 2
    assert Descriptors(DescriptorEncoder(kind="descriptors")).precision_error is None


def test_half_precision_on_the_cpu_is_refused() -> None:
    with pytest.raises(EncoderError, match="bfloat16 needs device cuda, found cpu"):
        tiny("bfloat16")


def test_parts_are_joined_to_the_largest_error() -> None:
    one = {"features": 0.01, "attention": 0.002, "photos": 8.0}
    two = {"features": 0.004, "attention": 0.03, "photos": 5.0}
    assert largest_error([one, None, two]) == {"features": 0.01, "attention": 0.03, "photos": 13.0}
    assert largest_error([None, None]) is None
