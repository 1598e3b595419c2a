"""Each loss against a value worked out by hand, its gradient, and what it must not see."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from heap.head import losses
from heap.head.model import Grouping, Head
from heap.settings.models import HeadSettings


def one_hot(groups: list[int], count: int) -> torch.Tensor:
    """Assignment `(1, M, n)` that puts each patch wholly into one group."""
    return torch.nn.functional.one_hot(torch.tensor(groups), count).T[None].float()


# Two pairs of equal patches, the pairs opposite: the photo's mean is 0, C is +1 within a pair and -1 across.
PAIRS = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]]])


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        # R is 1 within a group: 8 of 16 entries, each (1 - 0.05).
        ([0, 0, 1, 1], -8 / 16 * 0.95),
        # Everything together: C sums to 0, -(0 - 0.05 * 16) / 16.
        ([0, 0, 0, 0], 0.05),
        # Each patch with its opposite: within a group the C are 1, -1, -1, 1.
        ([0, 1, 0, 1], 8 / 16 * 0.05),
    ],
)
def test_intra_by_hand(groups: list[int], expected: float) -> None:
    assert losses.intra(PAIRS, one_hot(groups, 2), 0.05).item() == pytest.approx(expected, abs=1e-6)


def test_intra_moves_patches_to_their_like() -> None:
    logits = torch.zeros(1, 2, 4)
    logits[0, 0, 0] = 0.1  # a slight lean of one patch breaks the symmetry
    logits.requires_grad_()
    for _ in range(300):
        loss = losses.intra(PAIRS, logits.softmax(1), 0.05)
        (gradient,) = torch.autograd.grad(loss, logits)
        logits = (logits - 5 * gradient).detach().requires_grad_()
    groups = logits.softmax(1)[0].argmax(0).tolist()
    assert groups[0] == groups[1] != groups[2] == groups[3]


@pytest.mark.parametrize(("cosine", "expected"), [(1.0, 1 - 5e-4), (0.0, 0.5), (-1.0, 5e-4)])
def test_soft_similarity_by_hand(cosine: float, expected: float) -> None:
    b = torch.tensor([[cosine, math.sqrt(1 - cosine**2)]])
    assert losses.soft_similarity(torch.tensor([[2.0, 0.0]]), b).item() == pytest.approx(expected, abs=1e-6)


def test_negative_by_hand_all_and_own() -> None:
    foreground = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    background = torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    # s: photo 0 with its own .5, with the other .5; photo 1 with the other's 1 - 5e-4, with its own 5e-4.
    own = (-math.log(0.5) - math.log(1 - 5e-4)) / 2
    every = (-2 * math.log(0.5) - math.log(5e-4) - math.log(1 - 5e-4)) / 4
    assert losses.negative(foreground, background, 1.0).item() == pytest.approx(own, rel=1e-4)
    assert losses.negative(foreground, background, 0.0).item() == pytest.approx(every, rel=1e-4)
    assert losses.negative(foreground, background, 0.25).item() == pytest.approx(0.25 * own + 0.75 * every, rel=1e-4)


def grouping(regions: torch.Tensor, score: torch.Tensor, mass: torch.Tensor) -> Grouping:
    empty = torch.zeros(1)
    return Grouping(empty, mass, regions, score, empty, empty)


def test_inter_by_hand() -> None:
    # Three photos, one foreground region each: 0 and 1 alike, 2 at right angles to both.
    regions = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]])
    found = losses.inter(grouping(regions, torch.full((3, 1), 0.9), torch.ones(3, 1)), 0.25, 0.01).item()
    near, far, second = -math.log(1 - 5e-4), -math.log(0.5), math.exp(-0.25)
    # Region 0: photo 1 at rank 0, photo 2 at rank 1; the same for region 1; region 2 has two at s = .5.
    expected = (2 * (near + second * far) + far + second * far) / (3 * (1 + second))
    assert found == pytest.approx(expected, rel=1e-4)


def test_inter_keeps_kinds_apart_and_tiny_regions_out() -> None:
    regions = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, -1.0]]])
    score = torch.tensor([[0.9, 0.1], [0.9, 0.1]])
    both = losses.inter(grouping(regions, score, torch.full((2, 2), 50.0)), 0.25, 0.01).item()
    assert both == pytest.approx((-math.log(1 - 5e-4) - math.log(5e-4)) / 2, rel=1e-4)
    tiny = torch.tensor([[99.5, 0.5], [99.5, 0.5]])
    assert losses.inter(grouping(regions, score, tiny), 0.25, 0.01).item() == pytest.approx(
        -math.log(1 - 5e-4), rel=1e-3
    )


def test_inter_of_one_photo_is_zero() -> None:
    assert losses.inter(grouping(torch.ones(1, 3, 2), torch.rand(1, 3), torch.ones(1, 3)), 0.25, 0.0).item() == 0


def test_prior_by_hand_ignores_padding() -> None:
    p = torch.tensor([[0.8, 0.4, 0.99]])
    target = torch.tensor([[1.0, 0.0, 0.0]])
    mask = torch.tensor([[True, True, False]])
    expected = (-math.log(0.8) - math.log(0.6)) / 2
    assert losses.prior(p, target, mask).item() == pytest.approx(expected, rel=1e-5)


def test_prior_weighs_a_patch_by_how_sure_the_guess_is() -> None:
    p = torch.tensor([[0.8, 0.4, 0.3]])
    # Sure, not sure at all, half sure: weights 1, 0 and |2 * .75 - 1| = .5, over 3 patches.
    target = torch.tensor([[1.0, 0.5, 0.75]])
    half = 0.75 * -math.log(0.3) + 0.25 * -math.log(0.7)
    mask = torch.ones(1, 3, dtype=torch.bool)
    assert losses.prior(p, target, mask).item() == pytest.approx((-math.log(0.8) + 0.5 * half) / 3, rel=1e-5)


def test_entropy_by_hand() -> None:
    # One patch certain, one undecided between 2 of 4 groups: log 2 of log 4; the third is padding.
    assignment = torch.tensor([[[1.0, 0.5, 0.25], [0.0, 0.5, 0.25], [0.0, 0.0, 0.25], [0.0, 0.0, 0.25]]])
    mask = torch.tensor([[True, True, False]])
    assert losses.assignment_entropy(assignment, mask).item() == pytest.approx((0 + 0.5) / 2, abs=1e-6)


def test_correlation_by_hand() -> None:
    mask = torch.tensor([[True, True, True, False]])
    a = torch.tensor([[1.0, 2.0, 3.0, 100.0]])
    assert losses.correlation(a, 2 * a + 1, mask).item() == pytest.approx(1.0, abs=1e-5)
    assert losses.correlation(a, -a, mask).item() == pytest.approx(-1.0, abs=1e-5)
    assert losses.correlation(a, torch.ones_like(a), mask).item() == 0


@pytest.fixture
def head() -> Head:
    torch.manual_seed(0)
    head = Head(8, HeadSettings(num_groups=4, num_heads=2, token_attention=True))
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return head.double()


def test_padding_does_not_leak(head: Head) -> None:
    x = torch.randn(2, 6, 8, dtype=torch.float64)
    alone = head(x, torch.ones(2, 6, dtype=torch.bool))
    padded = torch.cat([x, 1e3 * torch.randn(2, 5, 8, dtype=torch.float64)], dim=1)
    mask = torch.arange(11).expand(2, 11) < 6
    together = head(padded, mask)
    for name in ("mass", "regions", "score"):
        torch.testing.assert_close(getattr(alone, name), getattr(together, name))
    torch.testing.assert_close(alone.foreground, together.foreground[:, :6])
    assert together.assignment[..., 6:].abs().max() == 0
    assert together.foreground[:, 6:].abs().max() == 0
    for f, g in zip(losses.image_level(alone), losses.image_level(together), strict=True):
        torch.testing.assert_close(f, g)


def test_photos_of_different_grids_keep_their_losses_in_one_batch(head: Head) -> None:
    # Patches are counted and averaged within a photo, so a photo's part of each loss is what it is alone.
    long, short = torch.randn(1, 9, 8, dtype=torch.float64), torch.randn(1, 6, 8, dtype=torch.float64)
    mask = torch.arange(9).expand(2, 9) < torch.tensor([[9], [6]])
    both = head(torch.cat([long, torch.nn.functional.pad(short, (0, 0, 0, 3), value=50.0)]), mask)
    alone = [head(x, torch.ones(1, x.shape[1], dtype=torch.bool)) for x in (long, short)]
    own = [losses.negative(*losses.image_level(out), 1.0) for out in alone]
    torch.testing.assert_close(losses.negative(*losses.image_level(both), 1.0), sum(own) / 2)
    apart = Grouping(*(torch.cat([getattr(o, name) for o in alone]) if name in ("mass", "regions", "score") else long
                       for name in ("assignment", "mass", "regions", "score", "foreground", "normed")))  # fmt: skip
    torch.testing.assert_close(losses.inter(both, 0.25, 0.01), losses.inter(apart, 0.25, 0.01))
    # BCE: the mean over all 15 real patches.
    targets = [torch.rand(1, x.shape[1], dtype=torch.float64).round() for x in (long, short)]
    padded = torch.cat([targets[0], torch.nn.functional.pad(targets[1], (0, 3), value=1.0)])
    sums = [losses.prior(o.foreground, t, torch.ones_like(t)) * t.numel() for o, t in zip(alone, targets, strict=True)]
    torch.testing.assert_close(losses.prior(both.foreground, padded, mask), sum(sums) / 15)
    # Samples of L_intra are real patches of their photo: their assignments sum to one, the padding's to zero.
    _, assignment = losses.sample_patches(both, mask, 100, [0])
    assert assignment.shape == (2, 4, 6)
    torch.testing.assert_close(assignment.sum(1), torch.ones(2, 6, dtype=torch.float64))


def test_assignment_is_a_distribution_and_the_map_its_mean_score(head: Head) -> None:
    out = head(torch.randn(3, 10, 8, dtype=torch.float64), torch.ones(3, 10, dtype=torch.bool))
    torch.testing.assert_close(out.assignment.sum(1), torch.ones(3, 10, dtype=torch.float64))
    torch.testing.assert_close(out.mass.sum(1), torch.full((3,), 10.0, dtype=torch.float64))
    torch.testing.assert_close(out.foreground, (out.score[..., None] * out.assignment).sum(1))


def test_flip_exchanges_foreground_and_background(head: Head) -> None:
    x, mask = torch.randn(2, 5, 8, dtype=torch.float64), torch.ones(2, 5, dtype=torch.bool)
    before = head(x, mask).foreground
    head.flip()
    torch.testing.assert_close(head(x, mask).foreground, 1 - before)


LOSSES: dict[str, Callable[[Grouping, torch.Tensor], torch.Tensor]] = {
    "intra": lambda out, mask: losses.intra(out.normed, out.assignment, 0.05),
    "negative": lambda out, mask: losses.negative(*losses.image_level(out), 0.5),
    # Decay 0: ranks may change places within a finite difference, and weigh nothing then.
    "inter": lambda out, mask: losses.inter(out, 1e-9, 0.0),
    "prior": lambda out, mask: losses.prior(out.foreground, torch.tensor([[0.0, 1, 0.5, 1, 0]] * 2).double(), mask),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(head: Head, name: str) -> None:
    torch.manual_seed(1)
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    mask = torch.tensor([[True] * 5, [True] * 4 + [False]])

    def loss(tokens: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        out = torch.func.functional_call(head, {"tokens": tokens, "score.weight": weight}, (x, mask))
        return LOSSES[name](out, mask)

    at = [value.detach().clone().requires_grad_() for value in (head.tokens, head.score.weight)]
    assert torch.autograd.gradcheck(loss, at)
    gradients = torch.autograd.grad(loss(*at), at, allow_unused=True)
    assert gradients[0] is not None
    assert gradients[0].abs().max() > 1e-6


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match=r"train\.head\.num_heads: 3"):
        Head(8, HeadSettings(num_heads=3))
