"""From patches to the tokens that enter the first block: prefix tokens, and where a patch stands.

Sources: DINO and DINOv2's `interpolate_pos_encoding` (facebookresearch/dino, facebookresearch/dinov2 with the arguments
of dinov2/hub/backbones.py), DINOv3's rotary embedding as timm ports it, timm's `resample_abs_pos_embed` for all others.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
import torch.nn.functional as F
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from heap.errors import EncoderError
from heap.settings.architectures import PositionRule

Backbone: TypeAlias = "VisionTransformer | Eva"


class Position:
    """Prefix tokens and position of one model, kept for the last grid: neighbouring batches mostly share theirs.

    Args:
        model: the frozen model, on its device.
        rule: how its position embedding is resampled.
    """

    def __init__(self, model: Backbone, rule: PositionRule) -> None:
        self.model, self.rule = model, rule
        # Position embeddings that count the prefix tokens have rows for all of them (CLS and registers).
        self.prefix_rows = 0 if model.no_embed_class else int(model.num_prefix_tokens)
        self.rope = model.rope if isinstance(model, Eva) else None
        self._grid: tuple[int, int] | None = None
        self._embedding: Tensor | None = None
        self._rotary: list[Tensor | None] = []

    def tokens(self, patches: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        """Return the tokens of patches and the rotary embedding of each block.

        Args:
            patches: `(B, D, grid_h, grid_w)`, output of the patch projection.

        Returns:
            Tokens `(B, prefix + N, D)`, CLS first, then registers, then patches in row-major order; a list with, for
            each block, `(N, 2 * head_dim)` or `(heads, N, 2 * head_dim)` sines and cosines, or None without rotation.
        """
        model = self.model
        grid_h, grid_w = patches.shape[2:]
        if self._grid != (grid_h, grid_w):
            self._prepare(grid_h, grid_w, patches.device)
        x = model.patch_embed.norm(patches.flatten(2).transpose(1, 2))
        prefix = torch.cat([t for t in (model.cls_token, model.reg_token) if t is not None], dim=1)
        if self._embedding is not None:
            prefix = prefix + self._embedding[:, : self.prefix_rows] if self.prefix_rows else prefix
            x = x + self._embedding[:, self.prefix_rows :]
        x = torch.cat([prefix.expand(len(x), -1, -1).to(x.dtype), x], dim=1)
        return model.norm_pre(x), self._rotary

    def _prepare(self, grid_h: int, grid_w: int, device: torch.device) -> None:
        model = self.model
        if model.pos_embed is not None:
            # On the CPU, whatever the device: MPS has no antialiased bicubic, and all devices get the same values.
            embedding = interpolate_position(
                model.pos_embed.detach().cpu(), self.prefix_rows, grid_h, grid_w, model.patch_embed.grid_size, self.rule
            )
            self._embedding = embedding.to(device)
        rotary: Tensor | None = None
        if self.rope is not None:
            if getattr(self.rope, "feat_shape", None) is not None:  # kept for one grid, whatever shape is asked for
                self.rope.update_feat_shape([grid_h, grid_w])
            rotary = self.rope.get_embed(shape=(grid_h, grid_w)).to(device)
        # Mixed rotary embeddings are learnt for each block: (depth, heads, N, 2 * head_dim).
        mixed = isinstance(model, Eva) and model.rope_mixed
        self._rotary = list(rotary) if mixed and rotary is not None else [rotary] * len(model.blocks)
        self._grid = (grid_h, grid_w)


def interpolate_position(
    position: Tensor,
    prefix: int,
    grid_h: int,
    grid_w: int,
    native: tuple[int, int],
    rule: PositionRule = "offset",
) -> Tensor:
    """Resample a position embedding to a grid, bicubic.

    `offset` is the official code of DINO and of DINOv2 without registers: the scale is (grid + 0.1) / side without
    antialiasing. The 0.1, there against rounding, moves the sampling points too, so that resampling by size is wrong by
    8 % (golden data). `antialias` is DINOv2 with registers (interpolate_offset=0.0, interpolate_antialias=True) and
    timm's own rule: by size, antialiased. Both leave the native grid as it is.

    Args:
        position: `(1, prefix + n, D)` for a grid of n patches.
        prefix: rows in front that have no place.
        grid_h: rows of the new grid.
        grid_w: columns of the new grid.
        native: rows and columns of the grid that it was trained with.
        rule: which of the two.

    Returns:
        `(1, prefix + grid_h * grid_w, D)`.

    Raises:
        EncoderError: the embedding is not one of the native grid.
    """
    rows, columns = native
    if position.shape[1] != prefix + rows * columns:
        raise EncoderError(
            f"position embedding has {position.shape[1]} rows, expected {prefix} + {rows} x {columns} patches"
        )
    if (grid_h, grid_w) == (rows, columns):
        return position
    head, body = position[:, :prefix], position[:, prefix:].float()
    body = body.reshape(1, rows, columns, -1).permute(0, 3, 1, 2)
    if rule == "offset":
        scale = ((grid_h + 0.1) / rows, (grid_w + 0.1) / columns)
        body = F.interpolate(body, scale_factor=scale, mode="bicubic", align_corners=False)
    else:
        body = F.interpolate(body, size=(grid_h, grid_w), mode="bicubic", align_corners=False, antialias=True)
    if body.shape[2:] != (grid_h, grid_w):
        raise EncoderError(f"position embedding came out as {tuple(body.shape[2:])}, expected {(grid_h, grid_w)}")
    return torch.cat([head, body.permute(0, 2, 3, 1).flatten(1, 2).to(position.dtype)], dim=1)
