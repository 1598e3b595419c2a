"""Stage train: the HEAP head on cached features. The encoder is not run, labels are not read."""

from __future__ import annotations

import logging
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from heap import paths
from heap.cache.reader import FeatureReader
from heap.encoders.open import choose_device
from heap.errors import TrainingError
from heap.files import atomic_path, file_sha256, write_json
from heap.head import anew, folder, seeds
from heap.head.batches import TrainingSet
from heap.head.checkpoint import Checkpoint
from heap.head.diagnose import Maps, Signs, agreement, survey, warnings_of
from heap.head.fit import fit
from heap.locks import alone
from heap.settings import read_frozen, read_means
from heap.settings.models import LossSettings, TrainSettings

log = logging.getLogger("heap")

# Above this share of the time, reading and not computing decides how long a training takes.
_WAITING = 0.25


@dataclass(frozen=True)
class Training:
    """What all seeds of a training share.

    Attributes:
        name: of the model.
        reader: the features.
        data: the photos of the training split.
        split: its name, or None.
        settings: of the training, not calibrated.
        receipt: of the training; heads lie in the folder of its name.
        identity: digest of what decides a head.
        device: torch device.
    """

    name: str
    reader: FeatureReader
    data: TrainingSet
    split: str | None
    settings: TrainSettings
    receipt: Path
    identity: str
    device: str

    def folder(self, seed: int) -> Path:
        """Return the folder of one seed's head."""
        return folder.seed_folder(self.receipt, self.identity, seed)


@alone("out")
def train(
    frozen: Path, features: Path, out: Path, history: Path, device: str | None, means: Path | None = None
) -> None:
    """Train a head for each seed, choose one, and write the receipt that says which.

    A seed whose head is there already, from an earlier run with the same settings and features, is not trained again,
    unless nothing at all has changed since the last training and its receipt is gone: then it is forced (`anew`).

    Args:
        frozen: frozen settings of the stage.
        features: receipt of the training features.
        out: receipt; the heads lie in the folder of its name, with `progress.json` while training.
        history: CSV of losses and diagnostics of all seeds.
        device: torch device, see `choose_device`.
        means: frozen means of the stage: checkpoints, memory.

    Raises:
        TrainingError: too few photos, or a loss that is not finite (the last checkpoint is kept).
    """
    stage = read_frozen(frozen, "train")
    settings = TrainSettings.model_validate({**stage["train"], **read_means(means, "train")})
    reader = FeatureReader(features)
    chosen = choose_device(device)
    data = TrainingSet(reader, stage["train_split"], settings.loss.variant, settings.resident_gb)
    name = stage["name"]
    if len(data) < stage["min_train_images"]:
        raise TrainingError(
            f"models.{name}: {len(data)} photos to train on, expected at least {stage['min_train_images']}"
        )
    identity = folder.identity(stage, reader.receipt["fingerprint"])
    training = Training(name, reader, data, stage["train_split"], settings, out, identity, chosen)
    log.info("training %s on %d photos, %s, on %s", name, len(data), reader.receipt["encoder"], chosen)
    started = time.monotonic()
    heads = [training.folder(seed) for seed in settings.seeds]
    asked = anew.asked_for(stage, Path(features))
    if anew.begin(out, asked, heads):
        log.info("%s: forced, nothing has changed since it was trained: every seed is trained anew", name)
    for number, seed in enumerate(settings.seeds, 1):
        which = f"seed {seed} ({number} of {len(settings.seeds)})"
        here = training.folder(seed)
        if folder.whole(here) and not anew.waits(here):
            log.info("%s, %s: trained before with these settings and features, taken from %s", name, which, identity)
        else:
            try:
                _train_seed(training, seed, which)
            except TrainingError:
                # The earlier heads are whole: the next run takes them. (A kill goes on where it was.)
                anew.done(heads)
                raise
            anew.done([here])
    _finish(training, history)
    anew.note(out, asked)
    log.info("trained in %.1f s", time.monotonic() - started)


def _train_seed(training: Training, seed: int, which: str) -> None:
    """Train one seed's head and write its folder."""
    name, reader, data = training.name, training.reader, training.data
    here = training.folder(seed)
    checkpoint = Checkpoint(here / "checkpoint.pt", f"{training.identity} seed {seed}")
    progress_file = paths.beside(training.receipt) / "progress.json"
    try:
        head, rows, settings = fit(
            data, reader.dim, training.settings, training.device, seed, checkpoint, progress_file,
            f"training {name}, {which}",
        )  # fmt: skip
    except (ValueError, TrainingError) as error:
        raise TrainingError(f"models.{name}, seed {seed}: {error}") from error
    waited = statistics.fmean(row["waiting_share"] for row in rows)
    if waited > _WAITING:
        log.warning(
            "%s: %.0f %% of the time went into waiting for photos; raise train.resident_gb (now %g), so that they stay "
            "in memory, or put results/features on a faster disk", name, 100 * waited, settings.resident_gb,
        )  # fmt: skip
    final, _ = survey(head, data, training.device, settings.loss)
    flipped = final["rho"] < 0
    if flipped:
        head.flip()
        final, _ = survey(head, data, training.device, settings.loss)
    with atomic_path(here / folder.HISTORY) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)
    folder.save(
        here,
        head,
        {
            "model": name,
            "seed": seed,
            "dim": reader.dim,
            "train": settings.model_dump(mode="json"),
            "trained_on": {
                "dataset": reader.receipt["dataset"], "split": training.split, "photos": len(data),
                "fingerprint": reader.receipt["fingerprint"],
            },
            "encoder": reader.receipt["encoder"],
            "encoder_settings": reader.receipt["encoder_settings"],
            "attention_kind": reader.receipt["attention_kind"],
            "weights": reader.receipt["weights"],
            "device": training.device,
            "polarity_flipped": flipped,
            "diagnostics": final,
            # A head that guesses wrong must say so where people look: in its description, which the report prints.
            "warnings": warnings_of(final),
        },
    )  # fmt: skip
    checkpoint.remove()


def _finish(training: Training, history: Path) -> None:
    """Choose between the seeds, write history and receipt, and forget trainings of long ago."""
    numbers = training.settings.seeds
    folders = [training.folder(seed) for seed in numbers]
    descriptions: list[dict[str, Any]] = []
    signs: list[Signs] = []
    maps: list[Maps] = []
    for here in folders:
        head, description = folder.load(here / folder.HEAD, training.device)
        descriptions.append(description)
        if len(folders) > 1:
            # Looked at anew, all by the same code: a head may have been trained by an earlier one.
            loss = LossSettings.model_validate(description["train"]["loss"])
            found, its_maps = survey(head, training.data, training.device, loss)
            signs.append(found)
            maps.append(its_maps)
        else:
            signs.append(description["diagnostics"])
    for found, alike in zip(signs, agreement(maps) if maps else [1.0], strict=True):
        found["agreement"] = alike
    choice = seeds.choose(numbers, signs)
    log.info("%s: seed %d is used, %s", training.name, choice.seed, choice.why)
    at = numbers.index(choice.seed)
    for word in descriptions[at]["warnings"]:
        log.warning("%s: %s", training.name, word)
    frames = [pd.read_csv(here / folder.HISTORY) for here in folders]
    for seed, frame in zip(numbers, frames, strict=True):
        frame.insert(1, "chosen", seed == choice.seed)
    with atomic_path(history) as temporary:
        pd.concat(frames).to_csv(temporary, index=False)
    hashes = [file_sha256(here / folder.HEAD) for here in folders]
    write_json(
        training.receipt,
        {
            "model": training.name,
            "identity": training.identity,
            "encoder": descriptions[at]["encoder"],
            "attention_kind": descriptions[at]["attention_kind"],
            "trained_on": descriptions[at]["trained_on"],
            "train": descriptions[at]["train"],
            "warnings": descriptions[at]["warnings"],
            **seeds.told(hashes, descriptions, signs, choice),
        },
    )
    (paths.beside(training.receipt) / "progress.json").unlink(missing_ok=True)
    for old in folder.prune(training.receipt, training.identity):
        log.info("%s: deleted the heads of an old training, %s", training.name, old.name)
