"""Stage train: the HEAP head on cached features. The encoder is not run, labels are not read."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from heap.cache.reader import FeatureReader
from heap.encoders.open import choose_device
from heap.errors import TrainingError
from heap.files import atomic_path, digest
from heap.head import losses
from heap.head.batches import Batch, TrainingSet, collate
from heap.head.calibrate import calibrate
from heap.head.diagnose import diagnostics, warnings_of
from heap.head.folder import Checkpoint, save
from heap.head.model import Grouping, Head
from heap.progress import Progress
from heap.settings import read_frozen, section
from heap.settings.models import LossSettings, TrainSettings

log = logging.getLogger("heap")

# Rows of history.csv are this many iterations apart.
_HISTORY_EVERY = 10
# Patches the tokens' k-means sees: many times what a few dozen centroids need.
_KMEANS_PATCHES = 50_000
# Photos that `auto` settings are read from.
_CALIBRATED = 32
# Photos that decide polarity and the final diagnostics.
_DIAGNOSED = 512


def train(frozen: Path, features: Path, out: Path, history: Path, device: str | None) -> None:
    """Train a head and write its folder.

    Args:
        frozen: frozen settings of the stage.
        features: receipt of the training features.
        out: `head.safetensors`; `model.json` and, while training, `checkpoint.pt` and `progress.json` lie beside it.
        history: CSV of losses and diagnostics.
        device: torch device, see `choose_device`.

    Raises:
        TrainingError: too few photos, or a loss that is not finite (the last checkpoint is kept).
    """
    stage = read_frozen(frozen, "train")
    settings: TrainSettings = section(stage, "train", TrainSettings)
    reader = FeatureReader(features)
    chosen = choose_device(device)
    data = TrainingSet(reader, stage["train_split"], settings.loss.variant, settings.resident_gb)
    if len(data) < stage["min_train_images"]:
        raise TrainingError(
            f"models.{stage['name']}: {len(data)} photos to train on, expected at least {stage['min_train_images']}"
        )
    log.info("training %s on %d photos, %s, on %s", stage["name"], len(data), reader.receipt["encoder"], chosen)
    identity = digest({"stage": stage, "fingerprint": reader.receipt["fingerprint"]})
    checkpoint = Checkpoint(out.parent / "checkpoint.pt", identity)
    started = time.monotonic()
    try:
        head, rows, settings = fit(data, reader.dim, settings, chosen, checkpoint, out.parent / "progress.json")
    except ValueError as error:
        raise TrainingError(f"models.{stage['name']}: {error}") from error
    final = final_diagnostics(head, data, chosen)
    flipped = final["rho"] < 0
    if flipped:
        head.flip()
        final = final_diagnostics(head, data, chosen)
    # A head that guesses wrong must say so where people look: in its description, which the report prints.
    words = warnings_of(final)
    for word in words:
        log.warning("%s: %s", stage["name"], word)
    with atomic_path(history) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)
    save(
        out,
        head,
        {
            "model": stage["name"],
            "dim": reader.dim,
            "train": settings.model_dump(mode="json"),
            "trained_on": {
                "dataset": reader.receipt["dataset"], "split": stage["train_split"], "photos": len(data),
                "fingerprint": reader.receipt["fingerprint"],
            },
            "encoder": reader.receipt["encoder"],
            "encoder_settings": reader.receipt["encoder_settings"],
            "attention_kind": reader.receipt["attention_kind"],
            "weights": reader.receipt["weights"],
            "polarity_flipped": flipped,
            "diagnostics": final,
            "warnings": words,
        },
    )  # fmt: skip
    checkpoint.remove()
    log.info("trained in %.1f s: %s", time.monotonic() - started, final)


def fit(
    data: TrainingSet,
    dim: int,
    settings: TrainSettings,
    device: str,
    checkpoint: Checkpoint | None = None,
    progress_file: Path | None = None,
) -> tuple[Head, list[dict[str, float]], TrainSettings]:
    """Optimise a new head; deterministic for a seed on CPU, across a resume too.

    Returns:
        The head, the history's rows, and the settings with every `auto` replaced by its number.
    """
    torch.manual_seed(settings.seed)
    head = Head(dim, settings.head)
    state = checkpoint.read() if checkpoint is not None else None
    if state is None:
        initialise(head, data, settings)
        photos = data.photos[:: max(1, len(data) // _CALIBRATED)][:_CALIBRATED]
        settings = calibrate(head, collate(data.load(photos)), settings, settings.seed)
        log.info(
            "tau %s, b0 %s, weight of L_intra %s",
            settings.head.temperature, settings.loss.correlation_threshold, settings.loss.intra,
        )  # fmt: skip
    head.to(device)
    optimiser = torch.optim.AdamW(head.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    rows: list[dict[str, float]] = []
    start = 0
    if state is not None:
        head.load_state_dict(state["head"])
        optimiser.load_state_dict(state["optimiser"])
        rows, start = state["history"], state["iteration"]
        settings = TrainSettings.model_validate(state["settings"])
        log.info("resuming after iteration %d", start)
    progress = Progress(settings.iterations, "iterations", "training", progress_file, done=start)
    batches = data.batches(settings.seed, settings.batch_images, start)
    for iteration in range(start, settings.iterations):
        for group in optimiser.param_groups:
            group["lr"] = rate(iteration, settings)
        batch = _to(next(batches), device)
        grouping = head(batch.features, batch.mask)
        terms = loss_terms(grouping, batch, settings.loss, iteration / settings.iterations, [settings.seed, iteration])
        loss = terms["loss"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(head.parameters(), settings.gradient_norm)
        if not bool(torch.isfinite(loss) & torch.isfinite(norm)):
            raise TrainingError(
                f"iteration {iteration}: the loss is {loss.item()}, its gradient {norm.item()}; "
                "lower train.learning_rate. The last checkpoint is kept"
            )
        optimiser.step()
        if iteration % _HISTORY_EVERY == 0 or iteration == settings.iterations - 1:
            values = {name: float(value.detach()) for name, value in terms.items()}
            row = {"iteration": iteration, **values, "gradient_norm": float(norm), **diagnostics(grouping, batch)}
            rows.append(row)
        if checkpoint is not None and (iteration + 1) % settings.checkpoint_every == 0:
            checkpoint.write(iteration + 1, head, optimiser, rows, settings)
        progress.step()
    progress.close()
    batches.close()  # type: ignore[attr-defined]
    return head.eval(), rows, settings


def initialise(head: Head, data: TrainingSet, settings: TrainSettings) -> None:
    """Set the centre to the mean training feature and the tokens to spherical k-means of centred unit features."""
    rng = np.random.default_rng([settings.seed, 2**31])
    total, count, sample = np.zeros(head.dim), 0, []
    share = min(1.0, _KMEANS_PATCHES / data.patches)
    for pool in data.order(settings.seed, 0):
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
    if len(centred) < settings.head.tokens:
        raise ValueError(
            f"train.head.tokens: {settings.head.tokens} tokens, but only {len(centred)} patches to start from"
        )
    kmeans = faiss.Kmeans(
        head.dim, settings.head.tokens, niter=25, seed=settings.seed + 1, spherical=True,
        max_points_per_centroid=len(centred), min_points_per_centroid=1,
    )  # fmt: skip
    kmeans.train(np.ascontiguousarray(centred))
    with torch.no_grad():
        head.tokens.copy_(torch.from_numpy(kmeans.centroids))


def rate(iteration: int, settings: TrainSettings) -> float:
    """Return the learning rate: linear warm-up, then a cosine to zero."""
    warm = settings.rate_warmup
    if iteration < warm:
        return settings.learning_rate * (iteration + 1) / warm
    through = (iteration - warm) / max(1, settings.iterations - warm)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * through))


def warmup_weight(through: float, settings: LossSettings) -> float:
    """Return the prior's weight at a share `through` of the training: fades from 1, and stays at kp if `robust`."""
    if settings.variant == "no_seed":
        return 0.0
    fading = max(0.0, 1 - through / settings.warmup_share) if settings.warmup_share > 0 else 0.0
    return fading + (0.0 if settings.variant == "pure" else settings.prior)


def loss_terms(
    grouping: Grouping, batch: Batch, settings: LossSettings, through: float, seed: list[int]
) -> dict[str, Tensor]:
    """Return each loss by name, unweighted, and their weighted sum as `loss`. A loss of weight 0 is not computed."""
    if settings.intra == "auto" or settings.correlation_threshold == "auto":
        raise ValueError("train.loss: `auto` must be calibrated before the losses are computed")
    terms: dict[str, Tensor] = {}
    weights: dict[str, float] = {"intra": settings.intra, "negative": settings.negative, "inter": settings.inter}
    weights["prior"] = warmup_weight(through, settings)
    if weights["intra"]:
        normed, assignment = losses.sample_patches(grouping, batch.mask, settings.patches, seed)
        terms["intra"] = losses.intra(normed, assignment, settings.correlation_threshold)
    if weights["negative"]:
        terms["negative"] = losses.negative(*losses.image_level(grouping), settings.negative_own)
    if weights["inter"]:
        terms["inter"] = losses.inter(grouping, settings.rank_decay, settings.min_area)
    if weights["prior"]:
        terms["prior"] = losses.prior(grouping.foreground, batch.target, batch.mask)
    zero = grouping.foreground.sum() * 0.0
    total = zero + sum(weights[name] * value for name, value in terms.items())
    return {"loss": total, **{name: terms.get(name, zero.detach()) for name in weights}}


@torch.inference_mode()
def final_diagnostics(head: Head, data: TrainingSet, device: str, batch_images: int = 16) -> dict[str, float]:
    """Return the mean diagnostics over (up to 512) training photos."""
    chosen = data.photos[:: max(1, len(data) // _DIAGNOSED)]
    rows, sizes = [], []
    for start in range(0, len(chosen), batch_images):
        batch = _to(collate(data.load(chosen[start : start + batch_images])), device)
        rows.append(diagnostics(head(batch.features, batch.mask), batch))
        sizes.append(len(batch.mask))
    return {name: round(float(np.average([row[name] for row in rows], weights=sizes)), 6) for name in rows[0]}


def _to(batch: Batch, device: str) -> Batch:
    if device == "cpu":
        return batch
    moved: dict[str, Any] = {name: value.to(device, non_blocking=True) for name, value in vars(batch).items()}
    return Batch(**moved)
