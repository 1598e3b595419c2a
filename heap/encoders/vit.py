"""Frozen Vision Transformers: timm's modules, run the way the official DINO code runs them.

Source of every choice that moves a value: facebookresearch/dino, as read by LOST, TokenCut and FOUND (protocols.md).
"""

from __future__ import annotations

from typing import Any, Literal

import timm
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from heap.encoders.base import Encoded, Photos
from heap.encoders.registry import shape_of
from heap.encoders.transfer import Transfer, padded_pixels
from heap.encoders.weights import load_state, read_state
from heap.errors import EncoderError
from heap.settings.models import VitEncoder

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Random weights are drawn from one seed, so that two stores of the same `random` encoder hold the same features.
RANDOM_SEED = 0


def build(architecture: str) -> VisionTransformer:
    """Return the untrained timm model of a registry name or of timm's own.

    Raises:
        EncoderError: timm does not know it, or it is not a plain ViT.
    """
    known = shape_of(architecture)
    name = known.timm if known is not None else architecture
    try:
        model = timm.create_model(name, pretrained=False, num_classes=0)
    except (RuntimeError, ValueError, TypeError) as error:
        raise EncoderError(
            f"encoder {architecture}: timm cannot build it ({error}); `heap encoders` lists the known"
        ) from error
    if not isinstance(model, VisionTransformer):
        raise EncoderError(
            f"encoder {architecture}: timm builds a {type(model).__name__}, expected a VisionTransformer"
        )
    return model


class Vit:
    """A frozen ViT as an `Encoder`: one facet of one block for every patch, and the CLS attention of that block."""

    attention_kind: Literal["cls", "centre_border_prior"] = "cls"

    def __init__(
        self, model: VisionTransformer, settings: VitEncoder, weights: dict[str, str | None], device: str
    ) -> None:
        """Freeze `model` on `device`.

        Raises:
            EncoderError: the block is out of range, there is no CLS token, or half precision is asked without CUDA.
        """
        if settings.precision != "float32" and not device.startswith("cuda"):
            raise EncoderError(f"encoder precision {settings.precision} needs device cuda, found {device}")
        if not getattr(model, "has_class_token", False):
            raise EncoderError(f"encoder {settings.architecture}: has no CLS token, whose attention is needed")
        depth = len(model.blocks)
        if not -depth <= settings.block < depth:
            raise EncoderError(f"encoder block {settings.block} is out of range: {-depth} to {depth - 1}")
        self.model = model.eval().requires_grad_(False).to(device)
        self.settings, self.weights, self.device = settings, weights, device
        self.block = settings.block % depth
        self.patch_px = int(model.patch_embed.patch_size[0])
        if settings.patch_px not in (None, self.patch_px):
            raise EncoderError(
                f"encoder patch_px: {settings.architecture} has patches of {self.patch_px} px, "
                f"the config expects {settings.patch_px}"
            )
        self.dim = int(model.embed_dim)
        self.heads = int(model.blocks[0].attn.num_heads)
        self.label = label_of(settings, weights)

    def encode(self, photos: Photos) -> Encoded:
        """Encode uint8 photos of one grid, see `Encoder.encode`."""
        return self.start(photos).result()

    @torch.inference_mode()
    def start(self, photos: Photos) -> Transfer:
        """Begin to encode photos of one grid; on a GPU this returns before the features are there."""
        pixels = padded_pixels(photos, self.patch_px, _MEAN, _STD, self.device)
        with torch.autocast(
            self.device.split(":")[0], _DTYPES[self.settings.precision], self.settings.precision != "float32"
        ):
            features, attention, cls = self._forward(pixels)
        return Transfer(features, attention, cls)

    def _forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return facet `(B, N, D)`, CLS attention `(B, N, heads)` and CLS vector `(B, D)` of pixels `(B, 3, H, W)`."""
        model, prefix = self.model, self.model.num_prefix_tokens
        patches = model.patch_embed.proj(pixels)  # (B, D, grid_h, grid_w)
        grid_h, grid_w = patches.shape[2:]
        patches = patches.flatten(2).transpose(1, 2)
        x = _with_position(model, patches, grid_h, grid_w)
        for block in model.blocks[: self.block]:
            x = block(x)
        last: Any = model.blocks[self.block]
        # Of the asked block only what is asked for: the facet, and one row of the attention.
        normed = last.norm1(x)
        attn = last.attn
        batch, length, dim = normed.shape
        head_dim = dim // self.heads
        qkv = attn.qkv(normed).reshape(batch, length, 3, self.heads, head_dim)
        query, key = attn.q_norm(qkv[:, :, 0]), attn.k_norm(qkv[:, :, 1])  # (B, 1 + N, heads, head_dim)
        row = torch.einsum("bhd,bnhd->bnh", query[:, 0], key) * head_dim**-0.5
        attention = row.float().softmax(dim=1)[:, prefix:]
        if self.settings.facet == "token":
            x = last(x)
            facet = model.norm(x) if self.block == len(model.blocks) - 1 else x
        else:
            facet = {"query": query, "key": key, "value": qkv[:, :, 2]}[self.settings.facet].reshape(batch, length, dim)
        return facet[:, prefix:], attention, facet[:, 0]


def _with_position(model: VisionTransformer, patches: Tensor, grid_h: int, grid_w: int) -> Tensor:
    """Add position embedding and prefix tokens to patches `(B, N, D)`; returns `(B, prefix + N, D)`."""
    batch = patches.shape[0]
    prefix = [model.cls_token.expand(batch, -1, -1)]
    if getattr(model, "reg_token", None) is not None:
        prefix.append(model.reg_token.expand(batch, -1, -1))
    if model.no_embed_class:
        return torch.cat([*prefix, patches + interpolate_position(model.pos_embed, 0, grid_h, grid_w)], dim=1)
    position = interpolate_position(model.pos_embed, 1, grid_h, grid_w)
    return torch.cat([prefix[0] + position[:, :1], *prefix[1:], patches + position[:, 1:]], dim=1)


def interpolate_position(position: Tensor, prefix: int, grid_h: int, grid_w: int) -> Tensor:
    """Resample a position embedding to a grid, as the official DINO code does.

    Args:
        position: `(1, prefix + n, D)` for a square grid of n patches.
        prefix: tokens in front that have no place.
        grid_h: rows of the new grid.
        grid_w: columns of the new grid.

    Returns:
        `(1, prefix + grid_h * grid_w, D)`. Bicubic with the scale (grid + 0.1) / side: the 0.1, there against rounding,
        moves the sampling points too, so resampling by size is wrong by 8 % (golden data).
    """
    side = round((position.shape[1] - prefix) ** 0.5)
    if (grid_h, grid_w) == (side, side):
        return position
    head, body = position[:, :prefix], position[:, prefix:]
    body = body.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    scale = ((grid_h + 0.1) / side, (grid_w + 0.1) / side)
    body = F.interpolate(body, scale_factor=scale, mode="bicubic", align_corners=False)
    if body.shape[2:] != (grid_h, grid_w):
        raise EncoderError(f"position embedding came out as {tuple(body.shape[2:])}, expected {(grid_h, grid_w)}")
    return torch.cat([head, body.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def label_of(settings: VitEncoder, weights: dict[str, str | None]) -> str:
    """Return how tables name the encoder: what it is, and that random or unverified weights are that."""
    what = f"{settings.architecture} {settings.facet}s of block {settings.block}"
    if weights["source"] == "random":
        return f"{what}, RANDOM weights (untrained)"
    if weights["source"] == "file":
        state = "pinned" if settings.sha256 else "unverified"
        name = str(weights["file"]).rsplit("/", 1)[-1]
        return f"{what}, {state} file {name} (sha256 {str(weights['sha256'])[:12]})"
    return f"{what}, published weights"


def load(settings: VitEncoder, weights: dict[str, str | None], device: str) -> Vit:
    """Return the encoder of `settings` with the weights that `heap.encoders.weights.locate` found."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        model = build(settings.architecture)
    if weights["source"] != "random":
        path = str(weights["file"])
        load_state(model, read_state(path), path)
    return Vit(model, settings, weights, device)
