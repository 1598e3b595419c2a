"""Lengths of moved patches, and the products that are trained: the values and gradients of the plain formulas."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from heap.encoders.linear import Linear
from heap.head.moved import moved_length


def test_length_and_gradient_are_those_of_the_formula() -> None:
    torch.manual_seed(0)
    x = F.normalize(torch.randn(9, 5, 8), dim=-1)  # nine photos: more than are made at once
    weight = (0.1 * torch.randn(8, 8)).requires_grad_()
    wanted = (x + x @ weight.T).norm(dim=-1)
    found = moved_length(x, weight)
    torch.testing.assert_close(found, wanted)
    up = torch.randn(9, 5)
    (expected,) = torch.autograd.grad((wanted * up).sum(), weight)
    (gradient,) = torch.autograd.grad((found * up).sum(), weight)
    torch.testing.assert_close(gradient, expected)
    # Where it is asked for, to the patches too.
    x.requires_grad_()
    expected = torch.autograd.grad(((x + x @ weight.T).norm(dim=-1) * up).sum(), [x, weight])
    torch.testing.assert_close(torch.autograd.grad((moved_length(x, weight) * up).sum(), [x, weight]), expected)


def test_padding_has_no_length_and_no_gradient() -> None:
    weight = torch.ones(3, 3, requires_grad=True)
    length = moved_length(torch.zeros(1, 2, 3), weight)
    assert length.tolist() == [[0.0, 0.0]]
    (gradient,) = torch.autograd.grad(length.sum(), weight)
    assert gradient.eq(0).all()


def test_in_half_precision_a_small_weight_is_not_rounded_away() -> None:
    x = torch.eye(4)[None]
    weight = torch.full((4, 4), 1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        length = moved_length(x, weight)
    torch.testing.assert_close(length, (x + x @ weight.T).norm(dim=-1), rtol=1e-5, atol=0)


def test_a_trained_linear_has_the_plain_gradients() -> None:
    torch.manual_seed(0)
    linear, plain = Linear(6, 4), torch.nn.Linear(6, 4)
    plain.load_state_dict(linear.state_dict())
    x = torch.randn(3, 5, 6, requires_grad=True)
    up = torch.randn(3, 5, 4)
    found = torch.autograd.grad((linear(x) * up).sum(), [x, *linear.parameters()])
    expected = torch.autograd.grad((plain(x) * up).sum(), [x, *plain.parameters()])
    torch.testing.assert_close(found, expected)
