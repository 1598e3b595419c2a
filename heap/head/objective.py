"""What a step minimises: the weighted sum of the losses, with weights and rate that change over the training."""

from __future__ import annotations

import math

from torch import Tensor

from heap.head import losses
from heap.head.bank import Bank
from heap.head.batches import Batch
from heap.head.model import Grouping
from heap.settings.models import LossSettings, TrainSettings


def rate(iteration: int, settings: TrainSettings) -> float:
    """Return the learning rate: linear warm-up, then a cosine to zero."""
    warm = settings.warmup_steps
    if iteration < warm:
        return settings.learning_rate * (iteration + 1) / warm
    through = (iteration - warm) / max(1, settings.steps - warm)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * through))


def warmup_weight(through: float, settings: LossSettings) -> float:
    """Return the prior's weight at a share `through` of the training: fades from 1, and stays at kp if `robust`."""
    if settings.variant == "no_seed":
        return 0.0
    fading = max(0.0, 1 - through / settings.warmup_share) if settings.warmup_share > 0 else 0.0
    return fading + (0.0 if settings.variant == "pure" else settings.prior)


def loss_terms(
    grouping: Grouping, batch: Batch, settings: LossSettings, through: float, seed: list[int], bank: Bank | None = None
) -> dict[str, Tensor]:
    """Return each loss by name, unweighted, and their weighted sum as `loss`. A loss of weight 0 is not computed.

    Args:
        grouping: of the batch.
        batch: its photos.
        settings: weights, calibrated.
        through: share of the training that is done.
        seed: of the sampled patches.
        bank: regions of past batches, more neighbours for L_inter.
    """
    if settings.intra == "auto" or settings.correlation_threshold == "auto":
        raise ValueError("train.loss: `auto` must be calibrated before the losses are computed")
    terms: dict[str, Tensor] = {}
    weights: dict[str, float] = {"intra": settings.intra, "negative": settings.negative, "inter": settings.inter}
    weights["prior"] = warmup_weight(through, settings)
    if weights["intra"]:
        normed, assignment = losses.sample_patches(grouping, batch.mask, settings.patches, seed, batch.counts)
        terms["intra"] = losses.intra(normed, assignment, settings.correlation_threshold)
    if weights["negative"]:
        terms["negative"] = losses.negative(*losses.image_level(grouping), settings.negative_own)
    if weights["inter"]:
        terms["inter"] = losses.inter(grouping, settings.rank_decay, settings.min_area, batch.photo, bank)
    if weights["prior"]:
        terms["prior"] = losses.prior(grouping.foreground, batch.target, batch.mask)
    zero = grouping.foreground.sum() * 0.0
    total = zero + sum(weights[name] * value for name, value in terms.items())
    return {"loss": total, **{name: terms.get(name, zero.detach()) for name in weights}}
