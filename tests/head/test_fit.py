"""Training: it finds what was planted, each time the same, and goes on where it was killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from head.planted import DIM, iou, planted_store

from heap.errors import TrainingError
from heap.head.batches import TrainingSet, collate
from heap.head.checkpoint import Checkpoint
from heap.head.diagnose import orient
from heap.head.fit import SPEED_COLUMNS, fit
from heap.head.model import Head
from heap.head.objective import rate, warmup_weight
from heap.report.words import COLUMNS
from heap.settings.models import HeadSettings, LossSettings, TrainSettings


def settings(**changes: Any) -> TrainSettings:
    base = {
        "loss": LossSettings(variant="robust", prior=0.2),
        "steps": 20,
        "batch_size": 8,
        "head": HeadSettings(num_groups=8),
    }
    return TrainSettings(**{**base, **changes})


def maps_iou(head: Head, data: TrainingSet, truth: list[np.ndarray]) -> float:
    batch = collate(data.load(data.photos))
    with torch.inference_mode():
        found = head(batch.features, batch.mask).foreground.numpy() > 0.5
    return float(np.mean([iou(found[i, : len(t)], t) for i, t in enumerate(truth)]))


@pytest.mark.parametrize("variant", ["pure", "robust", "no_seed"])
def test_the_head_finds_planted_objects_better_than_its_prior(tmp_path: Path, variant: str) -> None:
    reader, truth = planted_store(tmp_path, 60, seed=0)
    data = TrainingSet(reader, None, variant, 1.0)
    # Discs of four classes share a direction, which all pairs find; a share of own pairs takes longer.
    loss = LossSettings(variant=variant, negative_own=0.0, prior=0.2)
    asked = settings(loss=loss, steps=100, batch_size=16)
    head, rows, _ = fit(data, DIM, asked, "cpu", 0)
    orient(head, data, "cpu")
    attention = [p.attention > p.attention.mean() for p in data.load(data.photos)]
    prior = float(np.mean([iou(a, t) for a, t in zip(attention, truth, strict=True)]))
    assert maps_iou(head, data, truth) > prior + 0.2
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[-1]["iteration"] == 99


def test_same_seed_same_bits_other_seed_other_head(tmp_path: Path) -> None:
    reader, _ = planted_store(tmp_path, 24, seed=0)
    data = TrainingSet(reader, None, "robust", 1.0)
    heads = [fit(data, DIM, settings(), "cpu", seed)[0].state_dict() for seed in (3, 3, 4)]
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])
    assert not torch.equal(heads[0]["tokens"], heads[2]["tokens"])


def test_streamed_equals_resident(tmp_path: Path) -> None:
    reader, _ = planted_store(tmp_path, 40, seed=0, grids=((14, 14), (10, 16)))
    resident = TrainingSet(reader, None, "robust", 1.0)
    streamed = TrainingSet(reader, None, "robust", 1e-9)
    assert resident.resident
    assert not streamed.resident
    heads = [fit(data, DIM, settings(), "cpu", 0)[0].state_dict() for data in (resident, streamed)]
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])


@pytest.mark.parametrize("bank", [0, 128])
def test_a_killed_training_ends_with_the_same_weights(tmp_path: Path, bank: int) -> None:
    reader, _ = planted_store(tmp_path, 24, seed=0)
    data = TrainingSet(reader, None, "robust", 1.0)
    asked = settings(checkpoint_every=7, loss=LossSettings(variant="robust", bank=bank))
    whole, rows, _ = fit(data, DIM, asked, "cpu", 0)

    class Killed(Exception):
        pass

    class Killing(Checkpoint):
        def write(self, iteration: int, *state: Any) -> None:
            super().write(iteration, *state)
            if iteration == 14:
                raise Killed

    with pytest.raises(Killed):
        fit(data, DIM, asked, "cpu", 0, Killing(tmp_path / "c.pt", "x"))
    resumed, again, _ = fit(data, DIM, asked, "cpu", 0, Checkpoint(tmp_path / "c.pt", "x"))
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )

    def lasting(history: list[dict[str, float]]) -> list[dict[str, float]]:
        return [{name: value for name, value in row.items() if name not in SPEED_COLUMNS} for row in history]

    assert lasting(rows) == lasting(again)
    assert Checkpoint(tmp_path / "c.pt", "another training").read() is None
    (tmp_path / "c.pt").write_bytes(b"PK half a file")
    with pytest.raises(TrainingError, match=r"c\.pt: damaged, .* delete it"):
        Checkpoint(tmp_path / "c.pt", "x").read()


def test_history_holds_every_column_of_the_report(tmp_path: Path) -> None:
    reader, _ = planted_store(tmp_path, 24, seed=0)
    data = TrainingSet(reader, None, "robust", 1.0)
    _, rows, _ = fit(data, DIM, settings(steps=21, warmup_steps=10, learning_rate=1.0), "cpu", 5)
    assert [row["iteration"] for row in rows] == [0, 10, 20]
    assert set(rows[0]) == {"seed", "iteration", *COLUMNS}
    assert [row["seed"] for row in rows] == [5, 5, 5]
    assert [row["learning_rate"] for row in rows[:2]] == [0.1, 1.0]
    assert [row["prior_weight"] for row in rows] == pytest.approx([1.2, 0.2 + 1 - 2 * 10 / 21, 0.2])
    assert all(0 <= row["waiting_share"] < 1 and row["photos_per_s"] > 0 for row in rows)


def test_half_precision_of_the_products_changes_little(tmp_path: Path) -> None:
    reader, _ = planted_store(tmp_path, 24, seed=0)
    data = TrainingSet(reader, None, "robust", 1.0)
    full, rows, _ = fit(data, DIM, settings(), "cpu", 0)
    half, other, _ = fit(data, DIM, settings(precision="bfloat16"), "cpu", 0)
    assert {value.dtype for value in half.state_dict().values()} == {torch.float32}
    assert not torch.equal(full.tokens, half.tokens)
    # bfloat16 keeps 8 bits: a product is off by up to 1/256, and less in sums.
    assert other[0]["loss"] == pytest.approx(rows[0]["loss"], rel=0.01)
    assert other[-1]["area"] == pytest.approx(rows[-1]["area"], abs=0.05)


def test_every_photo_is_seen_once_an_epoch(tmp_path: Path) -> None:
    reader, _ = planted_store(tmp_path, 30, seed=0)
    data = TrainingSet(reader, None, "robust", 1.0)
    epochs = [[i for pool in data.order(0, epoch) for i in pool] for epoch in (0, 1)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(30))
    assert epochs[0] != epochs[1]


def test_a_loss_that_is_not_finite_stops_with_the_checkpoint_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, _ = planted_store(tmp_path, 24, seed=0)
    data = TrainingSet(reader, None, "robust", 1.0)
    checkpoint = Checkpoint(tmp_path / "c.pt", "x")
    from heap.head import losses

    calls = iter(range(100))
    real = losses.negative
    monkeypatch.setattr(losses, "negative", lambda *a: real(*a) * (float("nan") if next(calls) == 9 else 1))
    with pytest.raises(TrainingError, match=r"iteration 9: .*negative nan.*train.learning_rate.*c\.pt.* untouched"):
        fit(data, DIM, settings(checkpoint_every=5), "cpu", 0, checkpoint)
    state = checkpoint.read()
    assert state is not None
    assert state["iteration"] == 5


@pytest.mark.parametrize(("iteration", "expected"), [(0, 0.1), (9, 1.0), (10, 1.0), (60, 0.5), (110, 0.0)])
def test_rate_by_hand(iteration: int, expected: float) -> None:
    assert rate(iteration, settings(learning_rate=1.0, warmup_steps=10, steps=110)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("variant", "through", "expected"),
    [("robust", 0.0, 1.2), ("robust", 0.25, 0.7), ("robust", 0.9, 0.2), ("pure", 0.0, 1.0), ("pure", 0.5, 0.0),
     ("no_seed", 0.0, 0.0)],
)  # fmt: skip
def test_warmup_by_hand(variant: str, through: float, expected: float) -> None:
    assert warmup_weight(through, LossSettings(variant=variant, prior=0.2)) == pytest.approx(expected)


def test_a_few_streamed_photos_are_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, _ = planted_store(tmp_path, 24, seed=0)
    resident, streamed = TrainingSet(reader, None, "robust", 1.0), TrainingSet(reader, None, "robust", 1e-9)

    def refuse(shard: int) -> None:
        raise AssertionError(f"shard {shard} was read whole")

    monkeypatch.setattr(reader, "shard", refuse)
    for a, b in zip(resident.load([3, 17]), streamed.load([3, 17]), strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True))
