"""A trained head over photos whose features are at hand: the map, and the regions of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from heap.group.smooth import smooth
from heap.head.batches import Sample, collate
from heap.head.model import Head
from heap.settings.stages import GroupSettings

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Grouped:
    """What the head says of one photo. N patches, K regions that are listed, D values.

    Attributes:
        foreground: `(N,)` float32, probability of being foreground, smoothed.
        region: `(N,)` int16, the token whose group each patch belongs to most among those of its side: foreground
            groups (p > 0.5) where the map is above 0.5, background groups elsewhere.
        tokens: `(K,)` int16, the tokens of the listed regions, ascending.
        area_share: `(K,)` float32, share of the photo's patches that are the region's.
        score: `(K,)` float32, p: probability that the region is foreground.
        embeddings: `(K, D)` float32 of length 1, see `region_means`.
    """

    foreground: Floats
    region: npt.NDArray[np.int16]
    tokens: npt.NDArray[np.int16]
    area_share: Floats
    score: Floats
    embeddings: Floats


def group_photos(head: Head, photos: Sequence[Sample], settings: GroupSettings, device: str) -> list[Grouped]:
    """Group the patches of a batch of photos.

    Args:
        head: trained, on `device`.
        photos: they may differ in size; padding does not reach the results.
        settings: least area of the regions that are listed (patches of others stay in `region`); smoothing.
        device: torch device.
    """
    batch = collate(list(photos))
    with torch.inference_mode():
        out = head(batch.features.to(device), batch.mask.to(device))
    found = []
    for number, n in enumerate(batch.counts):
        score = out.score[number].cpu().numpy()
        own = out.foreground[number, :n].float().cpu().numpy()
        foreground = smooth(own, photos[number].features, settings.smoothing)
        # The map is a mean of the scores, so whichever side of 0.5 it is on, there is a group on that side.
        same_side = (score > 0.5)[:, None] == (foreground > 0.5)
        assignment = out.assignment[number, :, :n].float().cpu().numpy()
        region = np.where(same_side, assignment, -1.0).argmax(axis=0).astype(np.int16)
        share = np.bincount(region, minlength=len(score)) / n
        tokens = np.flatnonzero((share > 0) & (share >= settings.min_area))
        found.append(
            Grouped(
                foreground=foreground,
                region=region,
                tokens=tokens.astype(np.int16),
                area_share=share[tokens].astype(np.float32),
                score=score[tokens].astype(np.float32),
                embeddings=region_means(out.normed[number, :n].float().cpu().numpy(), region, tokens),
            )
        )
    return found


def region_means(normed: Floats, region: npt.NDArray[np.integer], tokens: npt.NDArray[np.integer]) -> Floats:
    """Return the embedding of each region: the mean feature of the patches that are its own, `(K, D)` of length 1.

    The head's own G_k is the mean over a soft group before smoothing, which is another region: a tenth of them had a
    cosine below .9 with the mean of the patches people see (docs/explanation/recipe.md).

    Args:
        normed: centred features of length 1 `(N, D)`.
        region: `(N,)`, the token of each patch.
        tokens: `(K,)`, the regions; each has a patch.
    """
    means = (region == tokens[:, None]).astype(np.float32) @ normed
    return means / np.linalg.norm(means, axis=1, keepdims=True).clip(1e-12)
