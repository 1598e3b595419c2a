"""The faster library gives the same products, and steps aside where it is not meant."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from heap.encoders.linear import linear, speed_up


@pytest.mark.parametrize("bias", [True, False])
def test_the_same_products_up_to_rounding(bias: bool) -> None:
    torch.manual_seed(0)
    x, weight, offset = torch.randn(2, 50, 24), torch.randn(36, 24), torch.randn(36) if bias else None
    exact = F.linear(x.double(), weight.double(), None if offset is None else offset.double())
    with torch.inference_mode():
        # Also of a view with strides of its own, as one token of each photo, and of rows of a larger weight.
        for chosen in (x, x[:, :1], x.transpose(0, 1)):
            expected = F.linear(chosen.double(), weight.double(), None if offset is None else offset.double())
            assert (linear(chosen, weight, offset) - expected).abs().max() < 2e-6 * exact.abs().max() * 24
        rows = linear(x, weight[12:24], None if offset is None else offset[12:24])
        assert (rows - exact[..., 12:24]).abs().max() < 5e-5


def test_gradients_and_half_precision_go_the_usual_way() -> None:
    x, weight = torch.randn(3, 8), torch.randn(4, 8, requires_grad=True)
    linear(x, weight, None).sum().backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert linear(x, weight, None).dtype == torch.bfloat16
    with torch.inference_mode():
        assert linear(x.double(), weight.double(), None).dtype == torch.float64


def test_a_model_keeps_its_names_and_parameters() -> None:
    model = nn.Sequential(nn.Linear(8, 6), nn.GELU(), nn.Sequential(nn.Linear(6, 4, bias=False)))
    x = torch.randn(5, 8)
    before, state = model(x).detach(), {key: value.clone() for key, value in model.state_dict().items()}
    calls: list[int] = []
    model[0].register_forward_hook(lambda *_: calls.append(1))
    speed_up(model)
    with torch.inference_mode():
        after = model(x)
    assert torch.allclose(after, before, atol=1e-5)
    assert calls == [1]
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert isinstance(model[0], nn.Linear)
