"""Stage found: FOUND's linear head, trained on cached features and its own seed (Simeoni et al., CVPR 2023).

Its losses are binary cross-entropies over the patches of a batch, against
- the seed after the bilateral solver, for the first 100 iterations;
- the head's own binary prediction after the bilateral solver, always;
- the head's own binary prediction as it is, once the seed has gone.

FOUND itself sees random scales, crops and blurs of the photos. A cache holds each photo once, so here it sees the
photos as they were encoded; figures of this baseline are therefore ours, and not FOUND's published ones. Features are
centred and brought to one scale first (`standardise`), which the saved weights and bias contain.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from heap.baselines.found import FoundHead, found_seed
from heap.baselines.patches import Floats, Patches
from heap.baselines.refine import Refine, Targets
from heap.cache.reader import FeatureReader
from heap.data import manifest as manifests
from heap.errors import TrainingError
from heap.head.batches import photos_to_train_on
from heap.progress import track
from heap.settings import read_frozen, section
from heap.settings.baselines import FoundSettings
from heap.spreadsheet import write_csv
from heap.workers import Crew, workers_for

log = logging.getLogger("heap")

# Rows of the history are this many iterations apart.
_HISTORY_EVERY = 10
# A mask takes the solver 10 to 40 ms: so many occupy a worker for as long as it needs to start.
_MASKS_PER_WORKER = 200
# A head that marks less or more than this of the training photos has collapsed: objects take 5 to 60 % of photos.
_AREA = (0.01, 0.9)
# Photos that the features' mean and scale are read from.
_MEASURED = 256


def train_found(
    frozen: Path, features: Path, manifest: Path, out: Path, history: Path, *, cores: int | None = None
) -> None:
    """Train FOUND's head and write it.

    Args:
        frozen: frozen settings of the stage.
        features: receipt of the training features.
        manifest: of the same dataset, which says where the photos are: the solver reads them.
        out: safetensors file.
        history: CSV of the losses.
        cores: that may be used; None asks.

    Raises:
        TrainingError: too few photos, or a loss that is not finite.
        DataError: the manifest is of another dataset.
    """
    stage = read_frozen(frozen, "found")
    settings: FoundSettings = section(stage, "found", FoundSettings)
    reader = FeatureReader(features)
    photos = photos_to_train_on(reader, manifest, stage["train_split"], stage["min_train_images"], stage["name"])
    log.info("training FOUND's head of %s on %d photos, %s", stage["name"], len(photos), reader.receipt.encoder)
    batch = min(settings.batch_size, len(photos))
    refine = Refine(Path(manifests.read(manifest).root))
    out.parent.mkdir(parents=True, exist_ok=True)
    progress = out.with_name(f"progress.{out.stem}.json")
    with Crew(refine, workers_for(batch * settings.steps, _MASKS_PER_WORKER, cores)) as crew:
        head, rows = fit(reader, photos, Targets(reader, crew), settings, progress)
    warnings = warnings_of(rows[-1]["area"])
    for warning in warnings:
        log.warning("FOUND's head of %s: %s", stage["name"], warning)
    write_csv(history, pd.DataFrame(rows))
    same = {"encoder", "weights", "dim", "attention_kind", "encoder_settings"}
    head.save(
        out,
        {
            **reader.receipt.model_dump(include=same, exclude_unset=True),
            "model": stage["name"],
            "found": settings.model_dump(mode="json"),
            "trained_on": {
                "dataset": reader.receipt.dataset, "split": stage["train_split"], "photos": len(photos),
                "fingerprint": reader.receipt.fingerprint,
            },
            # JSON has no NaN: losses that were not in force at the end are left out.
            "warnings": warnings,
            "last": {name: value for name, value in rows[-1].items() if np.isfinite(value)},
        },
    )  # fmt: skip


def fit(
    reader: FeatureReader, photos: list[int], targets: Targets, settings: FoundSettings, progress: Path | None = None
) -> tuple[FoundHead, list[dict[str, float]]]:
    """Optimise a new head; deterministic for a seed.

    Returns:
        The head, and the history's rows: each loss unweighted, the share of predictions whose refinement was accepted,
        and the share of patches that are foreground.
    """
    torch.manual_seed(settings.seed)
    linear = torch.nn.Linear(reader.dim, 1)  # starts as FOUND's 1 x 1 convolution does
    optimiser = torch.optim.AdamW(linear.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, settings.decay_every, settings.decay)
    batches = order(photos, settings.batch_size, settings.seed)
    mean, spread = (
        moments(reader, photos) if settings.standardise else (np.zeros(reader.dim, np.float32), np.float32(1))
    )
    rows: list[dict[str, float]] = []
    doing = f"training FOUND on {reader.receipt.dataset}"
    for iteration in track(range(settings.steps), settings.steps, "iterations", doing, progress):
        chosen = next(batches)
        batch = [Patches.read(reader, i) for i in chosen]
        features = (np.concatenate([photo.features for photo in batch]) - mean) / spread  # (P, D)
        logits = linear(torch.from_numpy(features)).squeeze(1)  # (P,)
        ends = np.cumsum([len(photo.features) for photo in batch])[:-1]
        predicted = np.split((logits.detach() > 0).numpy(), ends)
        seeds = [found_seed(photo).foreground > 0.5 for photo in batch] if iteration < settings.seed_steps else []
        refined = targets.of([*chosen, *chosen[: len(seeds)]], [*predicted, *seeds])
        of_prediction = refined[: len(batch)]
        terms = {
            "solver": _distance(logits, [mask for mask, _ in of_prediction]),
            "seed": _distance(logits, [mask for mask, _ in refined[len(batch) :]]) if seeds else None,
            "self": None if seeds else _distance(logits, predicted),
        }
        weights = {"solver": settings.solver_weight, "seed": 1.0, "self": settings.self_weight}
        loss = torch.stack([weights[name] * term for name, term in terms.items() if term is not None]).sum()
        if not torch.isfinite(loss):
            raise TrainingError(
                f"iteration {iteration}: FOUND's loss is {loss.item()}; lower baselines.found.learning_rate"
            )
        if iteration % _HISTORY_EVERY == 0 or iteration == settings.steps - 1:
            rows.append(
                {
                    "iteration": iteration,
                    "loss": float(loss.detach()),
                    **{name: float("nan") if term is None else float(term.detach()) for name, term in terms.items()},
                    "accepted": float(np.mean([accepted for _, accepted in of_prediction])),
                    "area": float(np.mean(np.concatenate(predicted))),
                }
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    weight = linear.weight.detach().numpy()[0] / spread
    return FoundHead(weight, float(linear.bias.detach()) - float(weight @ mean)), rows


def warnings_of(area: float) -> list[str]:
    """Return in words what is wrong with a head whose foreground is this share of the last batch."""
    if _AREA[0] <= area <= _AREA[1]:
        return []
    return [
        f"marks {area:.1%} of the patches: once the seed had gone, its own predictions led it astray; "
        "raise baselines.found.seed_steps to keep the seed"
    ]


def moments(reader: FeatureReader, photos: Sequence[int]) -> tuple[Floats, np.float32]:
    """Return the mean feature `(D,)` of (up to 256) training photos, and the root mean square of values about it."""
    chosen = photos[:: -(-len(photos) // _MEASURED)]
    total, squares, patches = np.zeros(reader.dim), np.zeros(reader.dim), 0
    for i in chosen:
        features = reader.features(i).astype(np.float64)
        total += features.sum(axis=0)
        squares += (features**2).sum(axis=0)
        patches += len(features)
    mean = total / patches
    return mean.astype(np.float32), np.float32(np.sqrt(np.mean(squares / patches - mean**2)))


def order(photos: Sequence[int], batch_size: int, seed: int) -> Iterator[list[int]]:
    """Yield batches without end: each epoch shuffled again, its last batch with what is left (as FOUND's loader)."""
    epoch = 0
    while True:
        shuffled = np.random.default_rng([seed, epoch]).permutation(photos).tolist()
        for start in range(0, len(shuffled), batch_size):
            yield shuffled[start : start + batch_size]
        epoch += 1


def _distance(logits: Tensor, masks: Sequence[npt.NDArray[Any]]) -> Tensor:
    """Return the mean binary cross-entropy of logits `(P,)` to the masks of the batch, P patches in all."""
    wanted = torch.from_numpy(np.concatenate([mask.ravel() for mask in masks])).float()
    return binary_cross_entropy_with_logits(logits, wanted)
