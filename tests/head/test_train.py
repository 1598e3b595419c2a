"""Stage train: a head for each seed, one chosen, nothing lost by a failure and nothing computed twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from head.planted import planted_store

from heap.errors import TrainingError
from heap.head import folder
from heap.head.fit import SPEED_COLUMNS
from heap.head.folder import load, save
from heap.head.model import Head
from heap.head.train import train
from heap.settings import frozen_text, parse
from heap.settings.models import HeadSettings

REPOSITORY = Path(__file__).parents[2]


class World:
    """A planted store and the settings to train on it with."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.reader, _ = planted_store(path, 20, seed=0)
        self.raw = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
        self.raw["train"] |= {"steps": 12, "batch_size": 8, "checkpoint_every": 3, **settings}
        self.raw["train"]["head"]["num_groups"] = 6
        self.raw["ablation"] = None  # its variants would have to fit the edits made here
        self.out, self.history = path / "head/m.json", path / "head/m.csv"
        self.frozen, self.means = path / "frozen.json", path / "means.json"

    def train(self) -> dict[str, Any]:
        self.freeze()
        train(self.frozen, self.reader.path, self.out, self.history, "cpu", self.means)
        return json.loads(self.out.read_text())

    def freeze(self) -> None:
        self.frozen.write_text(frozen_text(parse(self.raw), "train", "photos"))
        self.means.write_text(frozen_text(parse(self.raw), "train_means", "photos"))

    def heads(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.path)): p.read_bytes() for p in self.path.rglob("head.safetensors")}


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count how often a head is optimised."""
    import heap.head.train as stage

    calls: list[int] = []
    real = stage.fit

    def counting(*arguments: Any) -> Any:
        calls.append(arguments[4])
        return real(*arguments)

    monkeypatch.setattr(stage, "fit", counting)
    return lambda: [calls.pop() for _ in range(len(calls))][::-1]  # type: ignore[return-value]


def test_one_of_several_seeds_is_chosen_and_the_receipt_says_why(tmp_path: Path) -> None:
    world = World(tmp_path, seeds=[4, 2])
    receipt = world.train()
    assert [row["seed"] for row in receipt["seeds"]] == [4, 2]
    merits = {row["seed"]: row["merit"] for row in receipt["seeds"]}
    assert receipt["seed"] == max(merits, key=lambda seed: merits[seed])
    assert all(f"{value:.4g}" in receipt["why"] for value in merits.values())
    areas = [row["diagnostics"]["area"] for row in receipt["seeds"]]
    assert receipt["over_seeds"]["area"]["mean"] == pytest.approx(sum(areas) / 2, abs=1e-6)
    assert receipt["over_seeds"]["area"]["deviation"] == pytest.approx(abs(areas[0] - areas[1]) / 2**0.5, abs=1e-5)
    agreements = [row["diagnostics"]["agreement"] for row in receipt["seeds"]]
    assert agreements[0] == agreements[1]  # of two, each agrees with the other
    history = pd.read_csv(world.history)
    assert history.groupby("seed")["chosen"].all().to_dict() == {seed: seed == receipt["seed"] for seed in (2, 4)}
    head, description = load(world.out, "cpu")
    assert description["seed"] == receipt["seed"]
    assert description["encoder"] == "planted"
    assert description["trained_on"]["photos"] == 20
    assert head.mean.abs().sum() > 0
    other = {2: 4, 4: 2}[receipt["seed"]]
    weights, choice = folder.weights_of(world.out, other)
    assert load(weights, "cpu")[1]["seed"] == other
    assert choice["seeds"] == [4, 2]
    with pytest.raises(TrainingError, match=r"no head of seed 7 \(there are: 4, 2\)"):
        folder.weights_of(world.out, 7)
    assert not list(tmp_path.rglob("checkpoint.pt"))
    assert not list(tmp_path.rglob("progress.json"))


def test_a_setting_put_back_finds_its_head_and_another_seed_trains_itself_alone(
    tmp_path: Path, untrained: Callable[[], list[int]]
) -> None:
    world = World(tmp_path, seeds=[0])
    first = world.train()
    assert untrained() == [0]
    world.raw["train"]["learning_rate"] = 1e-3
    second = world.train()
    assert untrained() == [0]
    assert second["identity"] != first["identity"]
    world.raw["train"]["learning_rate"] = 5e-4
    assert world.train() == first
    assert untrained() == []
    world.raw["train"] |= {"seeds": [0, 1], "resident_gb": 1e-9, "checkpoint_every": 100}  # none decides seed 0's head
    before = world.heads()
    third = world.train()
    assert untrained() == [1]
    assert third["identity"] == first["identity"]
    assert before.items() <= world.heads().items()


def test_only_the_last_few_trainings_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "KEPT", 2)
    world = World(tmp_path, seeds=[0], steps=1)
    names = []
    for decay in (0.1, 0.2, 0.3):
        world.raw["train"]["weight_decay"] = decay
        names.append(world.train()["identity"])
        os.utime(world.out.with_suffix("") / names[-1], (decay * 10, decay * 10))
    assert {path.name for path in world.out.with_suffix("").iterdir() if path.is_dir()} == set(names[1:])


def test_a_failed_training_leaves_the_earlier_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, seeds=[0])
    world.train()
    before, receipt = world.heads(), world.out.read_bytes()
    from heap.head import losses

    monkeypatch.setattr(losses, "negative", lambda *a: torch.tensor(float("nan")))
    world.raw["train"]["learning_rate"] = 1e-3
    with pytest.raises(TrainingError, match=r"models\.photos, seed 0: iteration 0: .* no checkpoint was written yet"):
        world.train()
    assert world.heads() == before
    assert world.out.read_bytes() == receipt
    load(world.out, "cpu")


def test_a_forced_training_trains_anew_and_a_setting_put_back_does_not(
    tmp_path: Path, untrained: Callable[[], list[int]]
) -> None:
    world = World(tmp_path, seeds=[0, 1], steps=4)

    def rerun() -> list[int]:
        world.out.unlink()  # as Snakemake does before each run
        world.train()
        return untrained()  # type: ignore[return-value]

    first = world.train()
    assert untrained() == [0, 1]
    before = world.heads()
    assert rerun() == [0, 1]  # --forcerun train
    assert rerun() == [0, 1]  # and once more
    assert world.heads() == before  # the same settings give the same heads
    assert not list(tmp_path.rglob("anew"))
    world.train()  # the receipt is there: `heap train` by hand
    assert untrained() == []
    os.utime(world.reader.path)  # --forcerun extract: the same features were written again
    assert rerun() == []
    world.raw["train"]["seeds"] = [0, 1, 2]
    assert rerun() == [2]
    world.raw["train"] |= {"seeds": [0, 1], "learning_rate": 1e-3}
    assert rerun() == [0, 1]
    world.raw["train"]["learning_rate"] = 5e-4
    assert rerun() == []
    assert json.loads(world.out.read_text())["seeds"] == first["seeds"]


def test_a_forced_training_that_is_killed_goes_on_and_one_that_fails_leaves_the_earlier_heads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, untrained: Callable[[], list[int]]
) -> None:
    import heap.head.train as stage

    world = World(tmp_path, seeds=[0, 1], steps=4)
    receipt = world.train()
    before, counting = world.heads(), stage.fit

    def stop(error: BaseException) -> None:
        def stopping(*arguments: Any) -> Any:
            if arguments[4] == 1:
                raise error
            return counting(*arguments)

        world.out.unlink()
        monkeypatch.setattr(stage, "fit", stopping)
        with pytest.raises(type(error)):
            world.train()
        monkeypatch.setattr(stage, "fit", counting)

    untrained()
    stop(KeyboardInterrupt())
    assert untrained() == [0]
    assert world.train() == receipt
    assert untrained() == [1]  # seed 0 was trained anew before the kill
    stop(TrainingError("the loss is not finite"))
    assert untrained() == [0]
    assert world.heads() == before
    assert world.train() == receipt
    assert untrained() == []


# Kills itself with SIGKILL at an iteration of a seed: no handler runs, no file is closed.
KILLED = """
import os, signal, sys
from pathlib import Path
import heap.head.fit as fit
from heap.head.train import train
when, seed = int(sys.argv[1]), int(sys.argv[2])
real = fit.loss_terms
def killing(grouping, batch, settings, through, numbers, bank=None):
    if numbers == [seed, when]:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(grouping, batch, settings, through, numbers, bank)
fit.loss_terms = killing
train(*map(Path, sys.argv[3:7]), "cpu", Path(sys.argv[7]))
"""


def test_killed_twice_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL in the first seed before any checkpoint and in the second seed after one, then a run to the end."""
    worlds = [World(tmp_path / name, seeds=[0, 1], loss={"variant": "robust", "bank": 96}) for name in ("a", "b")]
    whole = worlds[0].train()
    killed = worlds[1]
    killed.freeze()
    rng = torch.Generator().manual_seed(os.getpid())  # another place each time: it must not matter
    for seed, low, high in ((0, 0, 3), (1, 4, 12)):
        when = int(torch.randint(low, high, (), generator=rng))
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(when), str(seed), killed.frozen, killed.reader.path, killed.out,
             killed.history, killed.means],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not killed.out.exists()
    assert list(killed.path.rglob("checkpoint.pt"))
    assert killed.train() == whole
    assert killed.heads() == worlds[0].heads()
    histories = [pd.read_csv(world.history).drop(columns=list(SPEED_COLUMNS)) for world in worlds]
    pd.testing.assert_frame_equal(*histories)


def test_too_few_photos_are_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.raw["models"]["photos"]["min_train_images"] = 21
    with pytest.raises(TrainingError, match="20 photos to train on, expected at least 21"):
        world.train()


def test_what_is_no_head_is_named(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    with pytest.raises(TrainingError, match="no trained head"):
        load(path, "cpu")
    path.write_bytes(b"nonsense")
    with pytest.raises(TrainingError, match="not a HEAP head"):
        load(path, "cpu")
    head = Head(8, HeadSettings(num_heads=2))
    save(tmp_path, head, {"dim": 9, "train": {"head": HeadSettings(num_heads=3).model_dump()}})
    with pytest.raises(TrainingError, match="not a HEAP head"):
        load(path, "cpu")
    (tmp_path / "m.json").write_text("{}")
    with pytest.raises(TrainingError, match=r"m\.json: not the receipt of a training"):
        load(tmp_path / "m.json", "cpu")


def test_a_receipt_does_not_lead_to_another_head(tmp_path: Path) -> None:
    world = World(tmp_path, seeds=[0], steps=1)
    world.train()
    (weights,) = tmp_path.rglob("head.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # a flipped bit: still a head, yet not this one
    with pytest.raises(TrainingError, match=r"not the head that .* speaks of \(another sha256\)"):
        load(world.out, "cpu")
    world.out.unlink()
    world.train()  # sees that the weights are not those that were trained, and trains again
    assert weights.read_bytes() == whole
    weights.unlink()
    with pytest.raises(TrainingError, match="is gone; delete"):
        load(world.out, "cpu")
