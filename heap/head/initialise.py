"""The head before its first step: centre and tokens read from the training features, then what `auto` stands for."""

from __future__ import annotations

import logging

import faiss
import numpy as np
import torch

from heap.head.batches import TrainingSet, collate
from heap.head.calibrate import calibrate
from heap.head.model import Head
from heap.settings.models import TrainSettings

log = logging.getLogger("heap")

# Patches the tokens' k-means sees: many times what a few dozen centroids need.
_KMEANS_PATCHES = 50_000
# Photos that `auto` settings are read from.
_CALIBRATED = 32


def new_head(data: TrainingSet, dim: int, settings: TrainSettings, seed: int) -> tuple[Head, TrainSettings]:
    """Return a head that is ready for its first step, and the settings with every `auto` replaced by its number."""
    torch.manual_seed(seed)
    head = Head(dim, settings.head)
    initialise(head, data, settings, seed)
    photos = data.photos[:: max(1, len(data) // _CALIBRATED)][:_CALIBRATED]
    settings = calibrate(head, collate(data.load(photos)), settings, seed)
    log.info(
        "tau %s, b0 %s, weight of L_intra %s",
        settings.head.temperature, settings.loss.correlation_threshold, settings.loss.intra,
    )  # fmt: skip
    return head, settings


def initialise(head: Head, data: TrainingSet, settings: TrainSettings, seed: int) -> None:
    """Set the centre to the mean training feature and the tokens to spherical k-means of centred unit features.

    Raises:
        ValueError: fewer patches than tokens.
    """
    rng = np.random.default_rng([seed, 2**31])
    total, count, sample = np.zeros(head.dim), 0, []
    share = min(1.0, _KMEANS_PATCHES / data.patches)
    for pool in data.order(seed, 0):
        for photo in data.pool(pool):
            values = photo.features.astype(np.float32)
            total, count = total + values.sum(axis=0, dtype=np.float64), count + len(values)
            sample.append(values[rng.random(len(values)) < share])
    mean = (total / count).astype(np.float32)
    head.mean.copy_(torch.from_numpy(mean))
    if settings.head.init == "random":
        return
    centred = np.concatenate(sample) - mean
    centred /= np.linalg.norm(centred, axis=1, keepdims=True).clip(1e-12)
    if len(centred) < settings.head.num_groups:
        raise ValueError(
            f"train.head.num_groups: {settings.head.num_groups} tokens, but only {len(centred)} patches to start from"
        )
    kmeans = faiss.Kmeans(
        head.dim, settings.head.num_groups, niter=25, seed=seed + 1, spherical=True,
        max_points_per_centroid=len(centred), min_points_per_centroid=1,
    )  # fmt: skip
    kmeans.train(np.ascontiguousarray(centred))
    with torch.no_grad():
        head.tokens.copy_(torch.from_numpy(kmeans.centroids))
