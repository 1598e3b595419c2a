"""The table of known architectures. Reading it imports neither torch nor timm, so a config is checked in no time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_DINO = "https://dl.fbaipublicfiles.com/dino"
_DINOV2 = "https://dl.fbaipublicfiles.com/dinov2"
_HUB = "https://huggingface.co/timm"

PositionRule = Literal["offset", "antialias"]


@dataclass(frozen=True)
class Architecture:
    """A Vision Transformer and where its published weights are.

    Attributes:
        timm: name of the same architecture in timm, with the tag that gives its mean and deviation of pixels.
        patch_px: side of a patch.
        dim: D, values of a feature.
        blocks: depth.
        heads: attention heads.
        url: the publisher's checkpoint, or timm's copy of it where the publisher's needs a login.
        about: one line for `heap encoders`.
        registers: tokens next to CLS that stand for no patch.
        position: how the position embedding is brought to a photo's grid, see `heap.encoders.position`.
    """

    timm: str
    patch_px: int
    dim: int
    blocks: int
    heads: int
    url: str
    about: str
    registers: int = 0
    position: PositionRule = "offset"


ARCHITECTURES: dict[str, Architecture] = {
    "dino_vits8": Architecture(
        "vit_small_patch8_224.dino", 8, 384, 12, 6,
        f"{_DINO}/dino_deitsmall8_pretrain/dino_deitsmall8_pretrain.pth",
        "DINO ViT-S/8, the checkpoint of torch hub and timm",
    ),
    "dino_vits8_300ep": Architecture(
        "vit_small_patch8_224.dino", 8, 384, 12, 6,
        f"{_DINO}/dino_deitsmall8_300ep_pretrain/dino_deitsmall8_300ep_pretrain.pth",
        "DINO ViT-S/8 after 300 epochs, the checkpoint LOST, TokenCut and FOUND use",
    ),
    "dino_vits16": Architecture(
        "vit_small_patch16_224.dino", 16, 384, 12, 6,
        f"{_DINO}/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth",
        "DINO ViT-S/16",
    ),
    "dino_vitb8": Architecture(
        "vit_base_patch8_224.dino", 8, 768, 12, 12,
        f"{_DINO}/dino_vitbase8_pretrain/dino_vitbase8_pretrain.pth",
        "DINO ViT-B/8",
    ),
    "dino_vitb16": Architecture(
        "vit_base_patch16_224.dino", 16, 768, 12, 12,
        f"{_DINO}/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth",
        "DINO ViT-B/16",
    ),
    "dinov2_vits14": Architecture(
        "vit_small_patch14_dinov2.lvd142m", 14, 384, 12, 6,
        f"{_DINOV2}/dinov2_vits14/dinov2_vits14_pretrain.pth",
        "DINOv2 ViT-S/14",
    ),
    "dinov2_vitb14": Architecture(
        "vit_base_patch14_dinov2.lvd142m", 14, 768, 12, 12,
        f"{_DINOV2}/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
        "DINOv2 ViT-B/14",
    ),
    "dinov2_vits14_reg": Architecture(
        "vit_small_patch14_reg4_dinov2.lvd142m", 14, 384, 12, 6,
        f"{_DINOV2}/dinov2_vits14/dinov2_vits14_reg4_pretrain.pth",
        "DINOv2 ViT-S/14 with registers", 4, "antialias",
    ),
    "dinov2_vitb14_reg": Architecture(
        "vit_base_patch14_reg4_dinov2.lvd142m", 14, 768, 12, 12,
        f"{_DINOV2}/dinov2_vitb14/dinov2_vitb14_reg4_pretrain.pth",
        "DINOv2 ViT-B/14 with registers", 4, "antialias",
    ),
    # Meta gives DINOv3 out after a login, so `auto` takes timm's copy; position is rotary, there is no embedding.
    "dinov3_vits16": Architecture(
        "vit_small_patch16_dinov3.lvd1689m", 16, 384, 12, 6,
        f"{_HUB}/vit_small_patch16_dinov3.lvd1689m/resolve/main/model.safetensors",
        "DINOv3 ViT-S/16, DINOv3 licence", 4,
    ),
    "dinov3_vitb16": Architecture(
        "vit_base_patch16_dinov3.lvd1689m", 16, 768, 12, 12,
        f"{_HUB}/vit_base_patch16_dinov3.lvd1689m/resolve/main/model.safetensors",
        "DINOv3 ViT-B/16, DINOv3 licence", 4,
    ),
}  # fmt: skip


def shape_of(architecture: str) -> Architecture | None:
    """Return the table's entry, or None for a timm model that is not in it."""
    return ARCHITECTURES.get(architecture)


def timm_name(architecture: str) -> str:
    """Return timm's name of a registry name; any other name is timm's already."""
    known = shape_of(architecture)
    return architecture if known is None else known.timm


def position_rule(architecture: str) -> PositionRule:
    """Return how the position embedding is resampled: the publisher's rule, and timm's own for other models of timm."""
    for name, known in ARCHITECTURES.items():
        if architecture in (name, known.timm):
            return known.position
    return "antialias"
