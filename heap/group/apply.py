"""A trained head over photos whose features are at hand: the map, and the regions of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from heap.head.batches import Photo, collate
from heap.head.model import Head

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Grouped:
    """What the head says of one photo. N patches, K regions that are listed, D values.

    Attributes:
        foreground: `(N,)` float32, probability of being foreground.
        region: `(N,)` int16, the token whose group each patch belongs to most.
        tokens: `(K,)` int16, the tokens of the listed regions, ascending.
        area_share: `(K,)` float32, soft share of the photo's patches.
        area_patches: `(K,)` int32, patches of the region.
        score: `(K,)` float32, p: probability that the region is foreground.
        embeddings: `(K, D)` float32 of length 1.
    """

    foreground: Floats
    region: npt.NDArray[np.int16]
    tokens: npt.NDArray[np.int16]
    area_share: Floats
    area_patches: npt.NDArray[np.int32]
    score: Floats
    embeddings: Floats


def group_photos(head: Head, photos: Sequence[Photo], min_area: float, device: str) -> list[Grouped]:
    """Group the patches of a batch of photos.

    Args:
        head: trained, on `device`.
        photos: they may differ in size; padding does not reach the results.
        min_area: regions with a smaller share of their photo are not listed; their patches stay in `region`.
        device: torch device.
    """
    batch = collate(list(photos))
    with torch.inference_mode():
        out = head(batch.features.to(device), batch.mask.to(device))
        embeddings = torch.nn.functional.normalize(out.regions, dim=-1).cpu().numpy()
    found = []
    for number, n in enumerate(batch.counts):
        mass = out.mass[number].cpu().numpy()
        region = out.assignment[number, :, :n].argmax(dim=0).cpu().numpy().astype(np.int16)
        area = np.bincount(region, minlength=len(mass))
        keep = np.flatnonzero((mass / n >= min_area) & (area > 0))
        found.append(
            Grouped(
                foreground=out.foreground[number, :n].float().cpu().numpy(),
                region=region,
                tokens=keep.astype(np.int16),
                area_share=(mass[keep] / n).astype(np.float32),
                area_patches=area[keep].astype(np.int32),
                score=out.score[number].cpu().numpy()[keep].astype(np.float32),
                embeddings=embeddings[number][keep].astype(np.float32),
            )
        )
    return found
