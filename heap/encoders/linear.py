"""Linear layers on the CPU through oneDNN.

torch sends float32 products to MKL, which keeps to AVX2 on processors that are not Intel's: measured on an AMD EPYC
(Zen 5, one thread, CPU time) 90 GFLOP/s for a ViT-S's layers, where oneDNN, which torch carries for convolutions,
reaches 190 with AVX-512. The sums are the same up to float32's rounding (golden parity holds).
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
    if plain and not torch.is_autocast_enabled("cpu") and not torch.is_grad_enabled() and _has_onednn():
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, "none", [], "")
        return found
    return F.linear(x, weight, bias)


class _Linear(nn.Linear):
    """A Linear that goes through `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return linear(input, self.weight, self.bias)


def speed_up(model: nn.Module) -> None:
    """Let every plain Linear of a frozen model go through `linear`; parameters, names and hooks stay as they are."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = _Linear
