"""Linear layers on the CPU through oneDNN.

torch sends float32 products to MKL, which keeps to AVX2 on processors that are not Intel's: measured on an AMD EPYC
(Zen 5, one thread, CPU time) 90 GFLOP/s for a ViT-S's layers, where oneDNN, which torch carries for convolutions,
reaches 190 with AVX-512. On an Intel Xeon the two are alike. The sums are the same up to float32's rounding (golden
parity holds).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _has_onednn() -> bool:
    # The operator that torch.compile emits for linear layers; not part of torch's promised interface, so it may go.
    built = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(built) and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return `x @ weight.T + bias` as `torch.nn.functional.linear` does, by the faster library where there is one.

    Args:
        x: `(..., in)`.
        weight: `(out, in)`.
        bias: `(out,)` or None.
    """
    plain = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32
    if plain and not torch.is_autocast_enabled("cpu") and _has_onednn():
        if torch.is_grad_enabled():
            return _trained(x, weight, bias)
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, "none", [], "")
        return found
    return F.linear(x, weight, bias)


def _trained(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return the same product with a gradient: as a 1 x 1 convolution, which oneDNN does forwards and backwards."""
    # Rows as pixels, channels last: the memory is used as it is. torch asks oneDNN for several pictures only.
    pixels = x.reshape(len(x), -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
    found = F.conv2d(pixels, weight[:, :, None, None], bias)
    return found.permute(0, 2, 3, 1).reshape(*x.shape[:-1], weight.shape[0])


class Linear(nn.Linear):
    """A Linear that goes through `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return linear(input, self.weight, self.bias)


def speed_up(model: nn.Module) -> None:
    """Let every plain Linear of a model go through `linear`; parameters, names and hooks stay as they are."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear
