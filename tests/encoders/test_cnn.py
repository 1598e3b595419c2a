"""Feature maps of CNNs: the recipe worked out by hand on timm's own forward, and what the settings must say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from safetensors.torch import save_file

from heap.encoders import cnn
from heap.encoders.base import Encoder
from heap.encoders.open import open_encoder
from heap.encoders.weights import locate
from heap.errors import EncoderError
from heap.receipts import Weights
from heap.settings.models import CnnEncoder

RANDOM = Weights(source="random")


def settings(**changed: Any) -> CnnEncoder:
    return CnnEncoder.model_validate(
        {"kind": "cnn", "architecture": "mobilenetv2_100", "supervision": "SUPERVISED on ImageNet", "stages": [3, 4],
         "patch_px": 16, "weights": "random", "pad_type": "same", "mean": [0.5] * 3, "std": [0.5] * 3, **changed}
    )  # fmt: skip


def photos(height: int, width: int, count: int = 2) -> Any:
    return np.random.default_rng(1).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def encoder() -> cnn.Cnn:
    return cnn.load(settings(), RANDOM, "cpu")


def test_features_and_attention_by_hand(encoder: cnn.Cnn) -> None:
    as_encoder: Encoder = encoder
    assert (as_encoder.patch_px, as_encoder.dim, as_encoder.heads) == (16, 96 + 320, 1)
    assert as_encoder.attention_kind == "feature_norm"
    images = photos(96, 128)
    model = encoder.model
    with torch.no_grad():
        x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        fine, coarse = timm_maps(model, x)
        head = model.forward_features(x)
    assert fine.shape == (2, 96, 6, 8)
    assert coarse.shape == (2, 320, 3, 4)
    assert head.shape == (2, 1280, 3, 4)
    up = F.interpolate(coarse, size=(6, 8), mode="bilinear")
    expected = torch.cat([fine / fine.norm(dim=1, keepdim=True), up / up.norm(dim=1, keepdim=True)], dim=1)
    attention = F.interpolate((head**2).sum(dim=1, keepdim=True).sqrt(), size=(6, 8), mode="bilinear")
    found = encoder.encode(images)
    assert np.allclose(found.features, expected.permute(0, 2, 3, 1).reshape(2, 48, 416).numpy(), atol=1e-5)
    assert np.allclose(found.attention, attention.reshape(2, 48, 1).numpy(), rtol=1e-4)
    assert np.allclose(found.cls, found.features.mean(axis=1))
    assert np.allclose((found.features**2).sum(axis=2), 2, atol=1e-4)  # two maps of norm 1 a patch


def timm_maps(model: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs of the stages of 96 and 320 channels, by hooks on timm's forward."""
    seen: list[torch.Tensor] = []
    hooks = [model.blocks[n].register_forward_hook(lambda *arguments: seen.append(arguments[2])) for n in (4, 6)]
    model.forward_features(x)
    for hook in hooks:
        hook.remove()
    return seen[0], seen[1]


@pytest.mark.parametrize("size", [(90, 122), (17, 300), (1, 1)])
def test_any_size_is_padded_to_whole_patches_with_the_mean_colour(encoder: cnn.Cnn, size: tuple[int, int]) -> None:
    images = photos(*size)
    grid_h, grid_w = -(-size[0] // 16), -(-size[1] // 16)
    found = encoder.encode(images)
    assert found.features.shape == (2, grid_h * grid_w, 416)
    assert np.isfinite(found.features).all()
    assert (found.attention > 0).all()
    # An odd grid is a crop of the coarse map brought up by its stride: the photo padded by one more patch has the same
    # places. (The padding itself is seen by the network, so only shapes can be compared here.)
    padded = np.full((2, grid_h * 16, grid_w * 16, 3), 127.5)
    padded[:, : size[0], : size[1]] = images
    with torch.no_grad():
        x = torch.from_numpy(padded).permute(0, 3, 1, 2).float() / 127.5 - 1
        fine, _ = timm_maps(encoder.model, x)
    fine = F.normalize(fine, dim=1).permute(0, 2, 3, 1).reshape(2, -1, 96)
    assert np.allclose(found.features[..., :96], fine.numpy(), atol=1e-5)


def test_other_backbones_and_stages() -> None:
    resnet = cnn.load(
        settings(architecture="resnet10t", stages=["head", 2], attention_stage=-1, patch_px=8, pad_type=None,
                 mean=None, std=None), RANDOM, "cpu",
    )  # fmt: skip
    assert resnet.strides == [2, 4, 8, 16, 32]
    found = resnet.encode(photos(40, 72))
    assert found.features.shape == (2, 5 * 9, 512 + 128)
    assert "CNN resnet10t stages head+2" in resnet.label


def test_settings_that_do_not_fit_the_network() -> None:
    for changed, words in (
        ({"patch_px": 8}, "stride of 16 px, the config states 8"),
        ({"stages": [5]}, "out of range: mobilenetv2_100 has -5 to 4"),
        ({"stages": [4, "head", "head"]}, "one map twice"),
        ({"stages": [4, -1], "patch_px": 32}, "one map twice"),
        ({"attention_stage": 1}, "finer than every stage"),
        ({"architecture": "vit_tiny_patch16_224", "pad_type": None}, "kind: vit"),
        ({"architecture": "resnet18"}, "timm cannot build it with {'pad_type': 'same'}"),
    ):
        with pytest.raises(EncoderError) as error:
            cnn.load(settings(**changed), RANDOM, "cpu")
        assert words in str(error.value)
    with pytest.raises(ValidationError, match="supervision"):
        CnnEncoder.model_validate({"kind": "cnn", "architecture": "resnet18", "stages": [3], "patch_px": 16})


def test_the_label_says_how_the_file_was_trained(tmp_path: Path) -> None:
    chosen = settings()
    model = cnn.build(chosen)
    # As converted checkpoints are: with a classifier, without batch norm's counts.
    state = {k: v.clone() for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file({**state, "classifier.weight": torch.zeros(3, 1280)}, tmp_path / "mobile.safetensors")
    chosen = settings(weights=str(tmp_path / "mobile.safetensors"))
    receipt = locate(chosen.architecture, chosen.weights, None)
    label = open_encoder(chosen, receipt, "cpu").label
    assert label == (
        "CNN mobilenetv2_100 stages 3+4, SUPERVISED on ImageNet, unverified file mobile.safetensors "
        f"(sha256 {str(receipt.sha256)[:12]})"
    )
    random = cnn.label_of(settings(), RANDOM)
    assert "RANDOM weights" in random
    assert "SUPERVISED" not in random


def test_attention_of_the_test_bed_marks_objects(shared: Path) -> None:
    # method.md: the AUC of this attention against ECSSD's masks is about 0.8.
    from PIL import Image
    from scipy.stats import rankdata

    chosen = settings(weights=str(shared / "data" / "weights" / "mobilenetv2_100_imagenet.safetensors"))
    bed = cnn.load(chosen, locate(chosen.architecture, chosen.weights, None), "cpu")
    areas = []
    for path in sorted((shared / "data" / "ecssd" / "images").glob("*.jpg"))[:5]:
        mask = shared / "data" / "ecssd" / "ground_truth_mask" / f"{path.stem}.png"
        photo = np.asarray(Image.open(path).convert("RGB").resize((448, 448), Image.Resampling.BICUBIC))
        truth = np.asarray(Image.open(mask).convert("L").resize((28, 28), Image.Resampling.BOX)).ravel() > 127
        ranks = rankdata(bed.encode(photo[None]).attention.ravel())
        count = truth.sum()
        areas.append((ranks[truth].sum() - count * (count + 1) / 2) / count / (truth.size - count))
    assert np.mean(areas) > 0.7
