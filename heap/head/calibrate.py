"""Settings that follow the scale of an encoder's features: temperature, correlation threshold, weight of L_intra.

How alike two patches are differs between encoders by an order of magnitude, so one number cannot serve them all. `auto`
reads each from the training features at the start; the targets were measured on planted features.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from heap.head import losses
from heap.head.batches import Batch
from heap.head.model import Head
from heap.settings.models import TrainSettings

# Entropy of the assignment by the initial tokens, as a share of log M: crisp, yet with a gradient to other groups. With
# 0.4 planted W falls from .86 to .77 (docs/explanation/recipe.md); real features are alike from 0.2 to 0.4.
_ENTROPY = 0.2
# Range in which the temperature is looked for; outside it a softmax over cosines is one-hot or flat.
_TEMPERATURES = (0.005, 1.0)
# b0 at this quantile of the correlations: about a third of the pairs of a photo belong together.
_QUANTILE = 0.65
# Size of the weighted L_intra at the start, half of what L_neg and L_inter have (about 0.6 each).
_INTRA = 0.3


@torch.no_grad()
def calibrate(head: Head, batch: Batch, settings: TrainSettings, seed: int) -> TrainSettings:
    """Return `settings` with every `auto` replaced by a number, and set the head's temperature.

    Args:
        head: with centre and tokens initialised.
        batch: some training photos.
        settings: of the training.
        seed: of the sampled patches.
    """
    temperature = settings.head.temperature
    if temperature == "auto":
        temperature = _solve_temperature(head, batch)
    head.temperature.fill_(temperature)
    grouping = head(batch.features, batch.mask)
    normed, assignment = losses.sample_patches(grouping, batch.mask, settings.loss.patches, [seed])
    threshold, weight = settings.loss.correlation_threshold, settings.loss.intra
    if threshold == "auto":
        threshold = float(np.quantile(losses.correlations(normed).numpy(), _QUANTILE))
    if weight == "auto":
        # L_intra of the initial groups is negative; where it is not, there is nothing to scale by and 10 is the guess.
        start = -losses.intra(normed, assignment, threshold).item()
        weight = _INTRA / start if start > 1e-3 else 10.0
    loss = settings.loss.model_copy(update={"correlation_threshold": round(threshold, 4), "intra": round(weight, 4)})
    shape = settings.head.model_copy(update={"temperature": round(temperature, 4)})
    head.temperature.fill_(round(temperature, 4))
    return settings.model_copy(update={"head": shape, "loss": loss})


def _solve_temperature(head: Head, batch: Batch) -> float:
    """Bisect for the temperature of the wanted entropy, which grows with the temperature."""
    low, high = (math.log(value) for value in _TEMPERATURES)
    # One pass is enough: at temperature 1 the logarithm of the assignment is the cosine but for a constant a patch.
    head.temperature.fill_(1.0)
    cosine = head(batch.features, batch.mask).assignment.clamp_min(1e-30).log()
    for _ in range(12):
        middle = (low + high) / 2
        assignment = (cosine / math.exp(middle)).softmax(dim=1) * batch.mask[:, None]
        entropy = losses.assignment_entropy(assignment, batch.mask).item()
        low, high = (middle, high) if entropy < _ENTROPY else (low, middle)
    return math.exp((low + high) / 2)
