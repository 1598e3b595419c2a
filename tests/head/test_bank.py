"""The memory of regions: neighbours worked out by hand, first in first out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from heap.head.bank import Bank
from heap.head.losses import inter, soft_similarity
from heap.head.model import Grouping

E = torch.eye(4)


def grouping(regions: Tensor, score: list[list[float]], mass: list[list[float]] | None = None) -> Grouping:
    """A grouping of B photos with 2 regions each, of which only regions, scores and masses matter."""
    batch, tokens, dim = regions.shape
    weights = torch.ones(batch, tokens) if mass is None else torch.tensor(mass)
    assignment, foreground, normed = torch.zeros(batch, tokens, 1), torch.zeros(batch, 1), torch.zeros(batch, 1, dim)
    return Grouping(assignment, weights, regions, torch.tensor(score), foreground, normed)


def test_the_nearest_few_are_as_good_as_all() -> None:
    """L_inter written out with every pair and a full sort."""
    torch.manual_seed(0)
    regions, score, mass = torch.randn(30, 5, 8), torch.rand(30, 5), torch.rand(30, 5) ** 4
    keep = mass >= 0.05 * mass.sum(1, keepdim=True)
    total = weight = 0.0
    for kind in (score > 0.5, score <= 0.5):
        mine, owner = regions[keep & kind], torch.arange(30)[:, None].expand(30, 5)[keep & kind]
        for i in range(len(mine)):
            s = soft_similarity(mine[i : i + 1], mine[owner != owner[i]])[0].sort(descending=True).values
            w = torch.exp(-0.25 * torch.arange(len(s)))
            total, weight = total - float((w * s.log()).sum()), weight + float(w.sum())
    made = grouping(regions, score.tolist(), mass.tolist())
    assert inter(made, 0.25, 0.05).item() == pytest.approx(total / weight, rel=1e-5)
    empty = Bank(150, 8, "cpu")
    assert inter(made, 0.25, 0.05, torch.arange(30), empty).item() == pytest.approx(total / weight, rel=1e-5)


def test_neighbours_by_hand() -> None:
    """One photo whose foreground is e0 and background e1; the bank holds another's e0 + e2 (front) and e1 (back)."""
    bank = Bank(4, 4, "cpu")
    bank.push(grouping(torch.stack([torch.stack([E[0] + E[2], E[1]])]), [[0.9, 0.1]]), torch.tensor([7]), 0.01)
    now = grouping(torch.stack([torch.stack([E[0], E[1]])]), [[0.8, 0.3]])
    # Front: cos = 1 / sqrt 2, s = (1 + .7071) / 2; back: cos = 1, s clamped to 1 - 5e-4. Each is the only neighbour.
    expected = -(math.log((1 + 0.5**0.5) / 2) + math.log(1 - 5e-4)) / 2
    assert inter(now, 0.25, 0.01, torch.tensor([3]), bank).item() == pytest.approx(expected, rel=1e-5)
    # The same photo in the bank, from an earlier epoch, is no neighbour: nothing is left.
    assert inter(now, 0.25, 0.01, torch.tensor([7]), bank).item() == 0


def test_ranks_are_over_batch_and_bank_together() -> None:
    bank = Bank(4, 4, "cpu")
    bank.push(grouping(torch.stack([E[:1]]), [[0.9]]), torch.tensor([9]), 0.01)
    near = torch.tensor([0.6, 0.8, 0.0, 0.0])  # cos .6 with e0
    now = grouping(torch.stack([E[:1], near[None]]), [[0.9], [0.9]])
    s = {value: min(1 - 5e-4, (1 + value) / 2) for value in (1.0, 0.6)}
    w = [1.0, math.exp(-0.5)]
    # e0: the bank's e0 first, then the other photo; the other photo: both at .6, in any order.
    total = w[0] * math.log(s[1.0]) + w[1] * math.log(s[0.6]) + sum(w) * math.log(s[0.6])
    expected = -total / (2 * sum(w))
    assert inter(now, 0.5, 0.01, torch.tensor([0, 1]), bank).item() == pytest.approx(expected, rel=1e-5)


def test_gradient_reaches_the_batch_and_not_the_bank() -> None:
    bank = Bank(4, 4, "cpu")
    first = torch.stack([torch.stack([E[0], E[1]])]).requires_grad_()
    bank.push(grouping(first, [[0.9, 0.1]]), torch.tensor([0]), 0.01)
    now = torch.stack([torch.stack([E[0] + E[2], E[1] + E[3]])]).requires_grad_()
    inter(grouping(now, [[0.9, 0.1]]), 0.25, 0.01, torch.tensor([1]), bank).backward()
    assert now.grad is not None
    assert (now.grad.abs().sum(-1) > 0).all()
    assert first.grad is None
    assert not bank.regions.requires_grad


def test_the_oldest_goes_first_and_small_regions_are_not_kept() -> None:
    bank = Bank(3, 4, "cpu")
    for photo in range(4):
        regions = torch.stack([torch.stack([E[photo], -E[photo]])])
        bank.push(grouping(regions, [[0.9, 0.1]], [[0.999, 0.001]]), torch.tensor([photo]), 0.01)
    assert bank.photo[:-1].tolist() == [3, 1, 2]  # four were pushed, one a photo: the fourth replaced the first
    assert torch.equal(bank.regions[:-1], E[[3, 1, 2]])
    assert bank.photo[-1] == -1
    other = Bank(3, 4, "cpu")
    other.restore(bank.state())
    for one in (bank, other):
        one.push(grouping(torch.stack([E[:1]]), [[0.9]]), torch.tensor([5]), 0.01)
    assert other.photo.tolist() == bank.photo.tolist() == [3, 5, 2, -1]
