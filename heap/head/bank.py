"""A memory of regions: L_inter ranks a region's neighbours among past batches too, not only in its own.

A batch of 32 photos rarely holds two of one rare kind; the last few thousand regions do. Queues of past embeddings are
the field's usual means (MoCo, He et al., CVPR 2020). Here they need no momentum encoder: regions are means of frozen
features, so an old one differs from today's only by which patches were in it.

Ranks come from one product and a top-k. FAISS's flat index is no faster (512 regions against 65,536 of 384 values on
one core: 0.33 s with building, against 0.42 s) and cannot leave out a region's own photo.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from heap.head.model import Grouping


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
        kept = large(grouping, min_area).flatten()
        tokens = grouping.score.shape[1]
        place = (self.following + kept.cumsum(0) - 1) % self.size
        place = torch.where(kept, place, self.size)
        self.regions[place] = F.normalize(grouping.regions, dim=-1).flatten(0, 1)
        self.photo[place] = photos.repeat_interleave(tokens)
        self.foreground[place] = (grouping.score > 0.5).flatten()
        self.photo[self.size] = -1
        self.following = (self.following + kept.sum()) % self.size

    def state(self) -> dict[str, Tensor]:
        """Return everything a checkpoint must hold."""
        return {name: getattr(self, name) for name in ("regions", "photo", "foreground", "following")}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a checkpoint's state."""
        for name, value in state.items():
            setattr(self, name, value.to(self.regions.device))


def large(grouping: Grouping, min_area: float) -> Tensor:
    """Return which regions `(B, M)` have at least this share of their photo's patches."""
    return grouping.mass >= min_area * grouping.mass.sum(-1, keepdim=True)
