"""Frozen Vision Transformers of timm, run the way their publishers' code runs them.

Source of every choice that moves a value: facebookresearch/dino, as read by LOST, TokenCut and FOUND (protocols.md);
`heap.encoders.position` and `heap.encoders.facets` name the sources of theirs.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Literal

import timm
import torch
from timm.layers import PatchEmbed
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from heap.encoders.base import AttentionKind, Encoder, Photos
from heap.encoders.facets import check_block, read_block, run_block
from heap.encoders.linear import speed_up
from heap.encoders.position import Backbone, Position
from heap.encoders.precision import check_precision
from heap.encoders.transfer import Transfer, padded_pixels, pixel_norm
from heap.encoders.weights import weights_in_words, with_weights
from heap.errors import EncoderError
from heap.grid import grid_of
from heap.receipts import Weights
from heap.settings.architectures import position_rule, shape_of, timm_name
from heap.settings.models import VitEncoder

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
# Tokens that a pass takes on the CPU: the values inside a block's MLP (6 kB a token for ViT-S) then stay in a cache of
# 16 to 32 MB. Larger passes were slower by 10 % (benchmarks/encoder.py) and only take memory; a GPU wants them whole.
_CPU_TOKENS = 2048


def build(architecture: str) -> Backbone:
    """Return the untrained timm model of a registry name or of timm's own.

    Raises:
        EncoderError: timm does not know it, or it is no ViT that this module can read.
    """
    try:
        model = timm.create_model(timm_name(architecture), pretrained=False, num_classes=0)
    except (RuntimeError, ValueError, TypeError) as error:
        raise EncoderError(
            f"encoder {architecture}: timm cannot build it ({error}); `heap encoders` lists the known, "
            "`heap encoders --timm 'vit_*'` timm's"
        ) from error
    if type(model) not in (VisionTransformer, Eva):
        # Subclasses too: a distilled DeiT has a second CLS-like token that this module does not know.
        raise EncoderError(
            f"encoder {architecture}: timm builds a {type(model).__name__}, expected a VisionTransformer or Eva"
            " (for convolutional networks set `kind: cnn`)"
        )
    return model


class Vit(Encoder):
    """A frozen ViT: one facet of one block for every patch, and the CLS attention of that block."""

    attention_kind: AttentionKind = "cls"

    def __init__(self, model: Backbone, settings: VitEncoder, weights: Weights, device: str) -> None:
        """Freeze `model` on `device`.

        Raises:
            EncoderError: the block is out of range, the model has no CLS token or is put together in an unknown way,
                or half precision is asked without CUDA.
        """
        name = settings.architecture
        if settings.precision != "float32" and not device.startswith("cuda"):
            raise EncoderError(f"encoder precision {settings.precision} needs device cuda, found {device}")
        if model.cls_token is None:
            raise EncoderError(
                f"encoder {name}: has no CLS token, whose attention says what stands out; choose an architecture with "
                "one (`heap encoders` lists the known)"
            )
        if type(model.patch_embed) is not PatchEmbed:
            kind = type(model.patch_embed).__name__
            raise EncoderError(f"encoder {name}: patches come from a {kind}, expected one projection (PatchEmbed)")
        depth = len(model.blocks)
        if not -depth <= settings.block < depth:
            raise EncoderError(f"encoder block {settings.block} is out of range: {-depth} to {depth - 1}")
        self.block = settings.block % depth
        check_block(model.blocks[self.block], name)
        patch_h, patch_w = model.patch_embed.patch_size
        if patch_h != patch_w:
            raise EncoderError(f"encoder {name}: patches are {patch_h} x {patch_w} px, expected squares")
        self.patch_px = int(patch_h)
        if settings.patch_px not in (None, self.patch_px):
            raise EncoderError(
                f"encoder patch_px: {name} has patches of {self.patch_px} px, the config expects {settings.patch_px}"
            )
        self.model = model.eval().requires_grad_(False).to(device)
        speed_up(self.model)
        self.settings, self.weights, self.device = settings, weights, device
        self.position = Position(self.model, position_rule(name))
        self.prefix = int(model.num_prefix_tokens)
        self.heads = int(model.blocks[self.block].attn.num_heads)
        head_dim = int(model.blocks[self.block].attn.head_dim)
        self.dim = int(model.embed_dim) if settings.facet == "token" else self.heads * head_dim
        self.label = label_of(settings, weights)
        self._mean, self._std = pixel_norm(model, device)

    def start(self, photos: Photos) -> Transfer:
        """Begin to encode uint8 photos of one grid, see `Encoder.start`.

        In half precision the first batch is encoded in float32 too, and the difference kept in `precision_error`.

        Raises:
            EncoderError: half precision is too far from float32, see `heap.encoders.precision`.
        """
        running = self.start_as(photos, self.settings.precision)
        if self.settings.precision != "float32" and self.precision_error is None:
            exact = self.start_as(photos, "float32").result()
            self.precision_error = check_precision(
                running.result(), exact, self.settings.precision, self.settings.architecture
            )
        return running

    @torch.inference_mode()
    def start_as(self, photos: Photos, precision: Literal["float32", "bfloat16", "float16"]) -> Transfer:
        """Begin to encode photos with this arithmetic, whatever the settings say; values come back as float32."""
        grid_h, grid_w = grid_of(photos[0].shape[0], photos[0].shape[1], self.patch_px)
        at_once = max(1, _CPU_TOKENS // (grid_h * grid_w)) if self.device.startswith("cpu") else len(photos)
        parts = []
        for n in range(0, len(photos), at_once):
            pixels = padded_pixels(photos[n : n + at_once], self.patch_px, self._mean, self._std)
            half = precision in _DTYPES
            with torch.autocast(self.device.split(":")[0], _DTYPES[precision]) if half else nullcontext():
                parts.append(self._forward(pixels))
        features, attention, cls = (torch.cat(values) for values in zip(*parts, strict=True))
        return Transfer(features, attention, cls)

    def _forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return facet `(B, N, D)`, CLS attention `(B, N, heads)` and CLS vector `(B, D)` of pixels `(B, 3, H, W)`."""
        model = self.model
        patches = model.patch_embed.proj(pixels)  # (B, D, grid_h, grid_w)
        x, rotary = self.position.tokens(patches)
        for number, block in enumerate(model.blocks[: self.block]):
            x = run_block(block, x, rotary[number])
        block = model.blocks[self.block]
        facet, attention = read_block(block, x, self.settings.facet, rotary[self.block], self.prefix)
        if self.settings.facet == "token" and self.block == len(model.blocks) - 1:
            facet = model.norm(facet)
        return facet[:, self.prefix :], attention, facet[:, 0]


def label_of(settings: VitEncoder, weights: Weights) -> str:
    """Return how tables name the encoder: what it is, how it was trained, and random or unverified weights as such."""
    what = f"{settings.architecture} {settings.facet}s of block {settings.block}"
    if settings.supervision is not None:
        what += f", {settings.supervision}"
    elif shape_of(settings.architecture) is None and weights.source != "random":
        what += ", training not stated"
    return f"{what}, {weights_in_words(weights)}"


def load(settings: VitEncoder, weights: Weights, device: str) -> Vit:
    """Return the encoder of `settings` with the weights that `heap.encoders.weights.locate` found.

    Raises:
        EncoderError: see `build`, `Vit` and `with_weights`.
    """
    return Vit(with_weights(lambda: build(settings.architecture), weights), settings, weights, device)
