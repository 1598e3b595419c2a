"""`auto` settings: read from the features, reaching what they promise."""

from __future__ import annotations

from pathlib import Path

import pytest
from head.planted import DIM, planted_store

from heap.head import losses
from heap.head.batches import TrainingSet, collate
from heap.head.calibrate import calibrate
from heap.head.initialise import initialise
from heap.head.model import Head
from heap.head.objective import loss_terms
from heap.settings.models import HeadSettings, LossSettings, TrainSettings


@pytest.mark.parametrize("noise", [0.3, 0.6])
def test_auto_reaches_entropy_quantile_and_size(tmp_path: Path, noise: float) -> None:
    reader, _ = planted_store(tmp_path, 24, seed=0, noise=noise)
    data = TrainingSet(reader, None, "robust", 1.0)
    settings = TrainSettings(loss=LossSettings(variant="robust"), head=HeadSettings(num_groups=8))
    head = Head(DIM, settings.head)
    initialise(head, data, settings, 0)
    batch = collate(data.load(data.photos))
    found = calibrate(head, batch, settings, 0)
    out = head(batch.features, batch.mask)
    assert losses.assignment_entropy(out.assignment, batch.mask).item() == pytest.approx(0.2, abs=0.02)
    normed, assignment = losses.sample_patches(out, batch.mask, found.loss.patches, [0])
    assert isinstance(found.loss.correlation_threshold, float)
    assert isinstance(found.loss.intra, float)
    above = (losses.correlations(normed) > found.loss.correlation_threshold).float().mean().item()
    assert above == pytest.approx(0.35, abs=0.01)
    weighted = found.loss.intra * losses.intra(normed, assignment, found.loss.correlation_threshold)
    assert weighted.item() == pytest.approx(-0.3, abs=0.01)


def test_numbers_are_left_alone(tmp_path: Path) -> None:
    reader, _ = planted_store(tmp_path, 8, seed=0)
    data = TrainingSet(reader, None, "robust", 1.0)
    loss = LossSettings(variant="robust", intra=10.0, correlation_threshold=0.05)
    settings = TrainSettings(loss=loss, head=HeadSettings(num_groups=8, temperature=0.05))
    head = Head(DIM, settings.head)
    initialise(head, data, settings, 0)
    assert calibrate(head, collate(data.load(data.photos)), settings, 0) == settings
    assert head.temperature.item() == pytest.approx(0.05)


def test_losses_refuse_what_was_not_calibrated(tmp_path: Path) -> None:
    reader, _ = planted_store(tmp_path, 8, seed=0)
    data = TrainingSet(reader, None, "robust", 1.0)
    batch = collate(data.load(data.photos))
    out = Head(DIM, HeadSettings(num_groups=8))(batch.features, batch.mask)
    with pytest.raises(ValueError, match="calibrated"):
        loss_terms(out, batch, LossSettings(variant="robust"), 0.0, [0])
