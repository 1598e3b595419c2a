"""Lengths of the moved patches E = x + W x, of which the head needs nothing else in full.

A patch enters the assignment by cos(T, E) = (T + W^T T) . x / |E|: the product is done on the side of the few tokens,
so E itself is wanted for its length alone. Plain autograd would write four arrays of the features' size for it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from heap.encoders.linear import linear

# Photos of which E is made at once. Arrays above 32 MB are new pages of the system each time, which cost as much as two
# passes over them; 4 photos of 784 patches of a ViT-S are 5 MB.
_AT_ONCE = 4


def moved_length(x: Tensor, weight: Tensor) -> Tensor:
    """Return |x + W x| `(B, N)`, with its gradient to W, and to x where it is asked for; in training x is frozen.

    Args:
        x: `(B, N, D)`.
        weight: W `(D, D)`.
    """
    length: Tensor = _Length.apply(x, weight)
    return length


class _Length(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        half = torch.is_autocast_enabled(x.device.type)
        ctx.half = torch.get_autocast_dtype(x.device.type) if half else None
        ctx.both = weight + torch.eye(len(weight), dtype=weight.dtype, device=weight.device)
        # In half precision W stands alone: next to the 1 of the identity a small W would be rounded away.
        moved = [part + linear(part, weight, None) if half else linear(part, ctx.both, None) for part in _parts(x)]
        length = torch.cat([part.norm(dim=-1) for part in moved])
        ctx.save_for_backward(x, length)
        return length

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        x, length = ctx.saved_tensors
        # d|E| / dW = E x^T / |E|, and E = (I + W) x: of the patches only the sum of weighted x x^T is needed.
        weights = (gradient / length.clamp_min(1e-12))[..., None]
        total = torch.zeros_like(ctx.both)
        for part, weight in zip(_parts(x), _parts(weights), strict=True):
            left, right = (part * weight).flatten(0, -2), part.flatten(0, -2)
            if ctx.half is not None:
                left, right = left.to(ctx.half), right.to(ctx.half)
            total += left.T @ right
        # d|E| / dx = (I + W)^T E / |E|.
        to_x = x @ (ctx.both.T @ ctx.both).T * weights if ctx.needs_input_grad[0] else None
        return to_x, ctx.both @ total


def _parts(x: Tensor) -> tuple[Tensor, ...]:
    """Return a few photos at a time on a CPU: what is made of them stays in its caches, its memory is used again."""
    return torch.split(x, _AT_ONCE) if x.device.type == "cpu" else (x,)
