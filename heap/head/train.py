"""Stage train: one seed's HEAP head on cached features. The encoder is not run, labels are not read."""

from __future__ import annotations

import logging
import statistics
import time
from pathlib import Path

import pandas as pd

from heap.cache.reader import FeatureReader
from heap.encoders.open import choose_device
from heap.errors import TrainingError
from heap.files import atomic_path
from heap.head import folder
from heap.head.batches import TrainingSet, photos_to_train_on
from heap.head.checkpoint import Checkpoint
from heap.head.diagnose import orient, warnings_of
from heap.head.fit import Row, fit
from heap.locks import alone
from heap.settings import read_frozen, section
from heap.settings.models import TrainSettings
from heap.workers import TRAINING_THREADS, fixed_threads

log = logging.getLogger("heap")

# Above this share of the time, reading and not computing decides how long a training takes.
_WAITING = 0.25


@alone("out")
def train(
    frozen: Path,
    features: Path,
    manifest: Path,
    seed: int,
    out: Path,
    history: Path,
    survey: Path,
    device: str | None = None,
) -> None:
    """Train one seed's head. A killed training goes on from its last checkpoint, `checkpoint.pt` next to `out`.

    Args:
        frozen: frozen settings of the stage.
        features: receipt of the training features.
        manifest: of the same dataset; says which photos are of the training split.
        seed: of initialisation, order of photos and sampled patches.
        out: the head, with its description in its metadata; written last.
        history: CSV of losses and diagnostics.
        survey: saliency maps of some training photos, by which `select` compares seeds.
        device: torch device, see `choose_device`.

    Raises:
        TrainingError: too few photos, or a loss that is not finite (the last checkpoint is kept).
    """
    stage = read_frozen(frozen, "train")
    settings: TrainSettings = section(stage, "train", TrainSettings)
    settings = TrainSettings.model_validate({**settings.model_dump(mode="json"), **stage["runtime"]})
    name, on, began = stage["name"], choose_device(device), time.monotonic()
    with fixed_threads():
        reader = FeatureReader(features)
        photos = photos_to_train_on(reader, manifest, stage["train_split"], stage["min_train_images"], name)
        data = TrainingSet(reader, photos, settings.loss.variant, settings.resident_gb)
        identity = folder.identity(stage, reader.receipt.fingerprint, list(reader.images["image_id"].iloc[photos]))
        checkpoint = Checkpoint(out.with_name("checkpoint.pt"), f"{identity} seed {seed}")
        log.info("training %s, seed %d, on %d photos, %s, on %s", name, seed, len(data), reader.receipt.encoder, on)
        progress = out.with_name("progress.json")
        try:
            head, rows, fitted = fit(data, reader.dim, settings, on, seed, checkpoint, progress, f"training {name}")
        except (ValueError, TrainingError) as error:
            raise TrainingError(f"models.{name}, seed {seed}: {error}") from error
        final, maps, flipped = orient(head, data, on, fitted.loss)
    _tell_waiting(name, rows, settings.resident_gb)
    with atomic_path(history) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)
    folder.save_survey(survey, maps)
    same = {"encoder", "encoder_settings", "attention_kind", "weights"}
    description = {
        **reader.receipt.model_dump(include=same, exclude_unset=True),
        "model": name,
        "seed": seed,
        "dim": reader.dim,
        "train": fitted.model_dump(mode="json"),
        "trained_on": {
            "dataset": reader.receipt.dataset, "split": stage["train_split"], "photos": len(data),
            "fingerprint": reader.receipt.fingerprint,
        },
        "device": on,
        "threads": TRAINING_THREADS,
        "polarity_flipped": flipped,
        "diagnostics": final,
        # A head that guesses wrong must say so where people look: in its description, which the report prints.
        "warnings": warnings_of(final),
    }  # fmt: skip
    folder.save(out, head, description)
    checkpoint.remove()
    progress.unlink(missing_ok=True)
    log.info("trained in %.1f s", time.monotonic() - began)


def _tell_waiting(name: str, rows: list[Row], resident_gb: float) -> None:
    waited = statistics.fmean(row["waiting_share"] for row in rows)
    if waited > _WAITING:
        log.warning(
            "%s: %.0f %% of the time went into waiting for photos; raise train.resident_gb (now %g), so that they stay "
            "in memory, or put results/features on a faster disk", name, 100 * waited, resident_gb,
        )  # fmt: skip
