"""HEAP's losses: L_intra, L_neg, L_inter, and the correlation that decides polarity. Pure functions of tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from heap.head.bank import Bank, large
from heap.head.model import Grouping

# Similarities are kept this far from 0 and 1, where the logarithm ends.
_EPSILON = 5e-4
# Neighbours of less than this weight are left out of L_inter: below the resolution of a float32 sum.
_LEAST_WEIGHT = 1e-7


def soft_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Return s = (1 + cos) / 2 of all pairs of rows, clamped to [5e-4, 1 - 5e-4].

    C2AM clamps the cosine itself at 0; on centred features half of all pairs are negative and would get no gradient.

    Args:
        a: `(I, D)`.
        b: `(J, D)`.

    Returns:
        `(I, J)`.
    """
    return from_cosine(F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T)


def from_cosine(cosine: Tensor) -> Tensor:
    """Return s = (1 + cos) / 2, clamped to [5e-4, 1 - 5e-4]."""
    return ((1 + cosine) / 2).clamp(_EPSILON, 1 - _EPSILON)


def intra(normed: Tensor, assignment: Tensor, threshold: float) -> Tensor:
    """L_intra = - mean_nm (C_nm - b0) R_nm: correlated patches into one group, others apart (correlation clustering).

    C is the correlation of frozen features around the photo's own mean, R_nm = sum_k A_kn A_km the probability of one
    group. Everything in one group scores about b0 (C sums to zero), a split along C scores below zero. Neither matrix
    is made: C = X X^T, so sum C R = |A X|^2 (all entries squared); sum R is the sum of the groups' squared masses.

    Args:
        normed: xh `(B, n, D)` of sampled real patches (no padding).
        assignment: A `(B, M, n)` of the same patches.
        threshold: b0.

    Returns:
        Scalar.
    """
    centred = normed - normed.mean(dim=1, keepdim=True)
    alike = (assignment @ centred).square().sum(dim=(1, 2))
    together = assignment.sum(dim=2).square().sum(dim=1)
    return -(alike - threshold * together).mean() / normed.shape[1] ** 2


def correlations(normed: Tensor) -> Tensor:
    """Return C `(B, n, n)`, products of features `(B, n, D)` around the photo's mean; rows and columns sum to zero."""
    centred = normed - normed.mean(dim=1, keepdim=True)
    return centred @ centred.transpose(1, 2)


def sample_patches(
    grouping: Grouping, mask: Tensor, patches: int, seed: list[int], counts: Sequence[int] | None = None
) -> tuple[Tensor, Tensor]:
    """Draw the same number of real patches from each photo: xh `(B, n, D)` and A `(B, M, n)`.

    `counts` are the photos' patches where they are known; a GPU would have to be asked for those of `mask`.
    """
    rng = np.random.default_rng(seed)
    counts = mask.sum(1).tolist() if counts is None else counts
    n = min(patches, min(counts))
    # Padding stands behind the patches, so the first `count` are real.
    index = np.stack([rng.permutation(count)[:n] for count in counts])
    chosen = torch.from_numpy(index)
    if mask.is_cuda:
        chosen = chosen.pin_memory().to(mask.device, non_blocking=True)
    normed = grouping.normed.gather(1, chosen[..., None].expand(-1, -1, grouping.normed.shape[-1]))
    assignment = grouping.assignment.gather(2, chosen[:, None].expand(-1, grouping.assignment.shape[1], -1))
    return normed, assignment


def assignment_entropy(assignment: Tensor, mask: Tensor) -> Tensor:
    """Return the mean entropy of a patch's assignment `(B, M, N)`, as a share of log M."""
    entropy = -(assignment * assignment.clamp_min(1e-12).log()).sum(dim=1)
    return (entropy * mask).sum() / mask.sum() / float(np.log(assignment.shape[1]))


def image_level(grouping: Grouping) -> tuple[Tensor, Tensor]:
    """Return F^f and F^b `(B, D)`: the photo's features summed with weights P and 1 - P."""
    # P is the mean score of a patch's groups, so both are sums over the few groups: sum_n A_mn xh_n = mass * G.
    sums = grouping.regions * grouping.mass.clamp_min(1e-6)[..., None]
    foreground = (grouping.score[:, None] @ sums).squeeze(1)
    return foreground, sums.sum(dim=1) - foreground


def negative(foreground: Tensor, background: Tensor, own: float) -> Tensor:
    """L_neg = mean -log(1 - s(F^f_i, F^b_j)): foreground and background apart (C2AM).

    Args:
        foreground: F^f `(B, D)`.
        background: F^b `(B, D)`.
        own: share of a photo's own pair (i, i) in the loss; the rest is the mean over all pairs (i, j) of the batch.

    Returns:
        Scalar.
    """
    loss = -(1 - soft_similarity(foreground, background)).log()
    return own * loss.diagonal().mean() + (1 - own) * loss.mean()


def inter(
    grouping: Grouping, decay: float, min_area: float, photos: Tensor | None = None, bank: Bank | None = None
) -> Tensor:
    """L_inter: regions like each other in different photos closer, the more the higher their similarity ranks (C2AM).

    sum w_ij (-log s(G_i, G_j)) / sum w_ij, w_ij = exp(-decay * rank), rank 0 for the most similar. i runs over the
    batch's regions, j over those of the batch and of the bank that are of the same kind (foreground, p > 0.5, or
    background) and of another photo: the bank may hold this very photo from an earlier epoch. No gradient goes through
    w, nor into the bank. Shapes do not depend on values, so that a GPU is never waited for.

    Args:
        grouping: of a batch.
        decay: alpha.
        min_area: regions with a smaller share of their photo stay out.
        photos: `(B,)` which photo of the training set each is; None: each another.
        bank: regions of past batches; None is L_inter over the batch alone.

    Returns:
        Scalar; 0 where no region has a neighbour.
    """
    batch, tokens, _ = grouping.regions.shape
    if photos is None:
        photos = torch.arange(batch, device=grouping.regions.device)
    kept = large(grouping, min_area).flatten()
    # A region that stays out is of no photo.
    owner = torch.where(kept, photos.repeat_interleave(tokens), -1)  # (R,)
    front = (grouping.score > 0.5).flatten()
    mine = F.normalize(grouping.regions, dim=-1).flatten(0, 1)  # (R, D)
    theirs, their_owner, their_front = mine, owner, front
    if bank is not None:
        theirs = torch.cat([mine, bank.regions[:-1]])
        their_owner = torch.cat([owner, bank.photo[:-1]])
        their_front = torch.cat([front, bank.foreground[:-1]])
    cosine = mine @ theirs.T  # (R, R + K)
    with torch.no_grad():
        allowed = (front[:, None] == their_front) & (owner[:, None] != their_owner)
        allowed &= (owner >= 0)[:, None] & (their_owner >= 0)
        # Higher ranks weigh nothing, so the nearest suffice: no sort of thousands.
        nearest = min(len(their_owner), math.ceil(-math.log(_LEAST_WEIGHT) / decay))
        index = cosine.masked_fill(~allowed, -2.0).topk(nearest, dim=1).indices
        w = torch.exp(-decay * torch.arange(nearest, device=index.device)) * allowed.gather(1, index)
    return -(w * from_cosine(cosine.gather(1, index)).log()).sum() / w.sum().clamp_min(1e-6)


def prior(foreground: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of P `(B, N)` against a prior `(B, N)` in 0..1, weighted by how sure it is, |2 y - 1|.

    A prior of 0.5 says nothing and counts nothing; the mean is over real patches.
    """
    p = foreground.clamp(1e-4, 1 - 1e-4)
    loss = F.binary_cross_entropy(p, target, reduction="none")
    return (loss * (2 * target - 1).abs() * mask).sum() / mask.sum()


def correlation(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """Return Pearson's correlation of two maps `(B, N)` for each photo `(B,)`, over real patches; 0 for a flat map."""
    count = mask.sum(1, keepdim=True)

    def centred(x: Tensor) -> Tensor:
        return (x - (x * mask).sum(1, keepdim=True) / count) * mask

    a, b = centred(a), centred(b)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp_min(1e-12)
