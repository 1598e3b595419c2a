"""A memory of regions: L_inter ranks a region's neighbours among past batches too, not only in its own.

A batch of 32 photos rarely holds two of one rare kind; the last few thousand regions do. Queues of past embeddings are
the field's usual means (MoCo, He et al., CVPR 2020). Here they need no momentum encoder: regions are means of frozen
features, so an old one differs from today's only by which patches were in it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from heap.head import losses
from heap.head.model import Grouping

# Neighbours of less than this weight are left out: below the resolution of a float32 sum.
_LEAST_WEIGHT = 1e-7


class Bank:
    """The last `size` regions of past batches, the oldest replaced first.

    Shapes are fixed and the place to write next stands on the device, so that a GPU is never waited for.

    Args:
        size: K, regions kept.
        dim: D.
        device: torch device.

    Attributes:
        regions: `(K + 1, D)` float32 unit embeddings; the last row takes what is not to be kept.
        photo: `(K + 1,)` int64, the photo each is from; -1 where none stands.
        foreground: `(K + 1,)` bool, what the region was taken for when it was stored.
    """

    def __init__(self, size: int, dim: int, device: str) -> None:
        self.size = size
        self.regions = torch.zeros(size + 1, dim, device=device)
        self.photo = torch.full((size + 1,), -1, dtype=torch.int64, device=device)
        self.foreground = torch.zeros(size + 1, dtype=torch.bool, device=device)
        self.following = torch.zeros((), dtype=torch.int64, device=device)

    @torch.no_grad()
    def push(self, grouping: Grouping, photos: Tensor, min_area: float) -> None:
        """Keep a batch's regions of at least `min_area`; `photos` `(B,)` says whose they are."""
        large = _large(grouping, min_area).flatten()
        tokens = grouping.score.shape[1]
        place = (self.following + large.cumsum(0) - 1) % self.size
        place = torch.where(large, place, self.size)
        self.regions[place] = F.normalize(grouping.regions, dim=-1).flatten(0, 1)
        self.photo[place] = photos.repeat_interleave(tokens)
        self.foreground[place] = (grouping.score > 0.5).flatten()
        self.photo[self.size] = -1
        self.following = (self.following + large.sum()) % self.size

    def state(self) -> dict[str, Tensor]:
        """Return everything a checkpoint must hold."""
        return {name: getattr(self, name) for name in ("regions", "photo", "foreground", "following")}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a checkpoint's state."""
        for name, value in state.items():
            setattr(self, name, value.to(self.regions.device))


def inter(grouping: Grouping, photos: Tensor, bank: Bank | None, decay: float, min_area: float) -> Tensor:
    """L_inter with neighbours from batch and bank: sum w_ij (-log s(G_i, G_j)) / sum w_ij, w_ij = exp(-decay rank).

    i runs over the batch's regions, j over those of the batch and of the bank that are of the same kind (foreground or
    background) and of another photo: the bank may hold this very photo from an earlier epoch. Ranks are over both
    together. The bank gets no gradient, nor does w.

    Args:
        grouping: of a batch.
        photos: `(B,)` which photo each is.
        bank: past regions; None is L_inter over the batch alone.
        decay: alpha.
        min_area: regions with a smaller share of their photo stay out.

    Returns:
        Scalar; 0 where no region has a neighbour.
    """
    tokens = grouping.score.shape[1]
    large = _large(grouping, min_area).flatten()
    # A region that stays out is of no photo.
    owner = torch.where(large, photos.repeat_interleave(tokens), -1)  # (R,)
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
        # Ranks beyond this weigh nothing, so the nearest suffice: no sort of thousands.
        nearest = min(len(their_owner), math.ceil(-math.log(_LEAST_WEIGHT) / decay))
        index = cosine.masked_fill(~allowed, -2.0).topk(nearest, dim=1).indices
        w = torch.exp(-decay * torch.arange(nearest, device=index.device)) * allowed.gather(1, index)
    similarity = losses.from_cosine(cosine.gather(1, index))
    return -(w * similarity.log()).sum() / w.sum().clamp_min(1e-6)


def _large(grouping: Grouping, min_area: float) -> Tensor:
    """Return which regions `(B, M)` have at least this share of their photo's patches."""
    return grouping.mass >= min_area * grouping.mass.sum(-1, keepdim=True)
