"""`heap encoders`: what a user learns before anything is downloaded."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from heap.cli import app
from heap.errors import EncoderError

RUN = CliRunner()


def said(*arguments: str) -> str:
    result = RUN.invoke(app, ["encoders", *arguments], catch_exceptions=False, env={"COLUMNS": "400"})
    assert result.exit_code == 0
    return result.output


def test_the_table_names_all_kinds() -> None:
    table = said()
    for words in (
        "dino_vits8_300ep",
        "dinov2_vitb14_reg",
        "dinov3_vits16",
        "descriptors",
        "kind cnn",
        "any ViT of timm",
    ):
        assert words in table


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("dino_vits8_300ep", ["patch px:   8", "blocks:     12 (-12 to 11)", "heads:      6", "offset of 0.1",
                              "dino_deitsmall8_300ep_pretrain.pth"]),
        ("dinov3_vits16", ["registers:  4", "position:   rotary", "dinov3-license",
                           "hub/checkpoints/vit_small_patch16_dinov3.lvd1689m.safetensors"]),
        ("vit_base_patch16_clip_224.openai", ["patch px:   16", "(0.48145466, 0.4578275, 0.40821073)"]),
        ("resnet18", ["kind:       cnn", "3: 256 values at 16 px", "feature_norm (a substitute)"]),
        ("descriptors", ["no training", "centre_border_prior"]),
    ],
)  # fmt: skip
def test_all_of_one(name: str, lines: list[str]) -> None:
    found = said(name)
    for line in lines:
        assert line in found


def test_what_cannot_be_used_says_why() -> None:
    for name, words in (("vit_base_patch16_siglip_224", "no CLS token"), ("dino_vits9", "heap encoders")):
        with pytest.raises(EncoderError, match=words):
            said(name)
    with pytest.raises(EncoderError, match="no model of timm"):
        said("--timm", "vit_*dinov9*")


def test_models_of_timm_by_pattern() -> None:
    assert "vit_small_patch16_dinov3.lvd1689m" in said("--timm", "vit_small*dinov3*").split()
