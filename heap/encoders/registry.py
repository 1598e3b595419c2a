"""The table of known architectures. Reading it imports neither torch nor timm, so a config is checked in no time."""

from __future__ import annotations

from dataclasses import dataclass

_DINO = "https://dl.fbaipublicfiles.com/dino"


@dataclass(frozen=True)
class Architecture:
    """A Vision Transformer and where its published weights are.

    Attributes:
        timm: name of the same architecture in timm.
        patch_px: side of a patch.
        dim: D, values of a feature.
        blocks: depth.
        heads: attention heads.
        url: the publisher's checkpoint.
        about: one line for `heap encoders`.
    """

    timm: str
    patch_px: int
    dim: int
    blocks: int
    heads: int
    url: str
    about: str


ARCHITECTURES: dict[str, Architecture] = {
    "dino_vits8": Architecture(
        "vit_small_patch8_224", 8, 384, 12, 6,
        f"{_DINO}/dino_deitsmall8_pretrain/dino_deitsmall8_pretrain.pth",
        "DINO ViT-S/8, the checkpoint of torch hub and timm",
    ),
    "dino_vits8_300ep": Architecture(
        "vit_small_patch8_224", 8, 384, 12, 6,
        f"{_DINO}/dino_deitsmall8_300ep_pretrain/dino_deitsmall8_300ep_pretrain.pth",
        "DINO ViT-S/8 after 300 epochs, the checkpoint LOST, TokenCut and FOUND use",
    ),
    "dino_vits16": Architecture(
        "vit_small_patch16_224", 16, 384, 12, 6,
        f"{_DINO}/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth",
        "DINO ViT-S/16",
    ),
    "dino_vitb8": Architecture(
        "vit_base_patch8_224", 8, 768, 12, 12,
        f"{_DINO}/dino_vitbase8_pretrain/dino_vitbase8_pretrain.pth",
        "DINO ViT-B/8",
    ),
    "dino_vitb16": Architecture(
        "vit_base_patch16_224", 16, 768, 12, 12,
        f"{_DINO}/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth",
        "DINO ViT-B/16",
    ),
}  # fmt: skip


def shape_of(architecture: str) -> Architecture | None:
    """Return the table's entry, or None for a timm model that is not in it."""
    return ARCHITECTURES.get(architecture)
