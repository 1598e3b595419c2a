"""FOUND's head: its training targets, its losses and its training on planted features with photos to look at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from head.planted import iou, planted_store
from PIL import Image

from heap.baselines.found import FoundHead
from heap.baselines.patches import Patches
from heap.baselines.refine import Refine, Targets
from heap.baselines.stage import baseline
from heap.baselines.train_found import _distance, fit, order, train_found, warnings_of
from heap.cache.maps import MapReader
from heap.cache.reader import FeatureReader
from heap.data import manifest as manifests
from heap.errors import DataError, TrainingError
from heap.files import read_json, write_json
from heap.grid import PatchGrid
from heap.settings import frozen_text, parse
from heap.settings.baselines import FoundSettings
from heap.settings.config import read
from heap.workers import Crew

Made = tuple[Path, FeatureReader, list[np.ndarray]]
SETTINGS = {"steps": 45, "batch_size": 8, "seed_steps": 20}


def config() -> Any:
    raw = read(Path(__file__).parents[2] / "config/config.yaml")
    raw["baselines"] = {"found": SETTINGS}
    return parse(raw)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A planted store with photos in which the objects are bright, its manifest, and a trained head."""
    folder = tmp_path_factory.mktemp("found")
    reader, truth = planted_store(folder, 20, seed=0, grids=((14, 14), (10, 16)))
    rows = []
    rng = np.random.default_rng(0)
    for photo, inside in zip(reader.images.itertuples(), truth, strict=True):
        bright = np.kron(inside.reshape(photo.grid_h, photo.grid_w), np.ones((8, 8)))
        values = 60 + 120 * bright[..., None] + rng.integers(0, 20, (*bright.shape, 3))
        Image.fromarray(values.astype(np.uint8)).save(folder / photo.path, format="PNG")
        rows.append(
            {
                "image_id": photo.image_id, "path": photo.path, "height_px": photo.height_px,
                "width_px": photo.width_px, "split": "train", "content": "0" * 32, "mask_path": None,
                "class_mask_path": None, "boxes": None, "box_classes": None,
            }
        )  # fmt: skip
    about = {
        "dataset": "planted", "layout": "folder", "root": str(folder), "classes": [], "expected_images": None,
        "images": len(rows), "skipped": [], "warnings": [],
    }  # fmt: skip
    manifests.write(folder / "manifest.parquet", manifests.Manifest(pd.DataFrame(rows), about))
    (folder / "found.json").write_text(frozen_text(config(), "found", "photos"))
    (folder / "maps.json").write_text(frozen_text(config(), "maps", "found"))
    train(folder, reader, "head")
    return folder, reader, truth


def train(folder: Path, reader: FeatureReader, name: str) -> None:
    out = folder / f"{name}.safetensors"
    train_found(folder / "found.json", reader.path, folder / "manifest.parquet", out, folder / f"{name}.csv")


def test_targets_equal_founds_own_code(golden: Path) -> None:
    folder = golden / "bilateral_solver"
    stored = np.load(folder / "train_targets.npz")
    refine = Refine(folder)
    seen = 0
    for case in json.loads((folder / "train_targets.json").read_text())["cases"]:
        if not case["get_all_cc"]:
            continue  # FOUND trains on all components
        name = case["mask"]
        mask, accepted = refine(
            (case["image"], PatchGrid((224, 224), (224, 224), 8), stored[f"mask_{name}"].astype(bool))
        )
        np.testing.assert_array_equal(mask, stored[f"target_{name}_all"], err_msg=name)
        assert accepted == case["used"]
        seen += 1
    assert seen


def test_the_head_finds_what_its_seed_points_at(made: Made) -> None:
    folder, reader, truth = made
    baseline(folder / "maps.json", "found", reader.path, folder / "maps" / "planted.json", folder / "head.safetensors")
    maps = MapReader(folder / "maps" / "planted.json")
    found = np.mean([iou(maps.foreground(i).ravel() > 0.5, t) for i, t in enumerate(truth)])
    assert found > 0.7
    assert maps.receipt.as_json()["settings"]["steps"] == SETTINGS["steps"]
    head, description = FoundHead.load(folder / "head.safetensors", reader)
    assert head.weight.size + 1 == reader.dim + 1
    assert description["trained_on"]["photos"] == 20
    history = pd.read_csv(folder / "head.csv")
    before, after = history[history["iteration"] < 20], history[history["iteration"] >= 20]
    assert before["seed"].notna().all()
    assert before["self"].isna().all()
    assert after["seed"].isna().all()
    assert after["self"].notna().all()
    assert maps.receipt.as_json()["warnings"] == []
    assert history["solver"].iloc[-1] < history["solver"].iloc[0]


def test_two_trainings_are_one(made: Made) -> None:
    folder, reader, _ = made
    train(folder, reader, "again")
    assert (folder / "again.safetensors").read_bytes() == (folder / "head.safetensors").read_bytes()
    assert not list(folder.glob("progress.*"))


def test_no_flipped_bit_changes_a_head_in_silence(made: Made, tmp_path: Path) -> None:
    folder, reader, _ = made
    whole, path = (folder / "head.safetensors").read_bytes(), tmp_path / "head.safetensors"
    good, description = FoundHead.load(folder / "head.safetensors", reader)
    for at in range(0, len(whole), 37):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        try:
            head, its = FoundHead.load(path, reader)
        except TrainingError:
            continue
        assert (head.weight.tolist(), head.bias, its) == (good.weight.tolist(), good.bias, description), at


def test_a_mask_is_refined_once(made: Made) -> None:
    _, reader, truth = made
    asked = []

    def double(item: Any) -> tuple[np.ndarray, bool]:
        asked.append(item)
        return ~item[2], True

    with Crew(double, 1) as crew:
        targets = Targets(reader, crew)
        first = targets.of([0, 1, 0], [truth[0], truth[1], truth[0]])
        second = targets.of([1, 1], [truth[1], ~truth[1]])
    assert len(asked) == 3
    assert asked[1][:2] == ("p0001.jpg", PatchGrid((80, 128), (80, 128), 8))
    for (mask, accepted), expected in zip([*first, *second], [0, 1, 0, 1, None], strict=True):
        assert accepted
        np.testing.assert_array_equal(mask, ~truth[expected] if expected is not None else truth[1])


@pytest.mark.parametrize("standardise", [True, False])
def test_the_saved_head_reads_features_as_they_are_cached(made: Made, standardise: bool) -> None:
    # No step at all: the head is its random start, on standardised features or on plain ones.
    _, reader, _ = made
    settings = FoundSettings(steps=1, batch_size=1, learning_rate=1e-12, standardise=standardise)
    with Crew(lambda item: (item[2], True), 1) as crew:
        head, _ = fit(reader, [0, 1, 2], Targets(reader, crew), settings)
    torch.manual_seed(settings.seed)
    start = torch.nn.Linear(reader.dim, 1)
    rows = np.concatenate([reader.features(i) for i in range(3)])
    mean, spread = (rows.mean(axis=0), (rows - rows.mean(axis=0)).std()) if standardise else (0.0, 1.0)
    values = torch.from_numpy(((reader.features(0) - mean) / spread).astype(np.float32))
    expected = torch.sigmoid(start(values)).detach().numpy()[:, 0]
    photo = Patches.read(reader, 0)
    np.testing.assert_allclose(head(photo).foreground, expected, atol=1e-5)


def test_the_distance_by_hand() -> None:
    # Two photos of one and two patches: -log sigmoid(0), -log(1 - sigmoid(0)) and -log sigmoid(log 3) = -log 0.75.
    logits = torch.tensor([0.0, 0.0, np.log(3)])
    found = _distance(logits, [np.array([True]), np.array([[False, True]])])
    assert found.item() == pytest.approx((2 * np.log(2) - np.log(0.75)) / 3)


@pytest.mark.parametrize(("area", "words"), [(0.0, "marks 0.0%"), (0.3, None), (0.98, "marks 98.0%")])
def test_a_head_that_collapsed_says_so(area: float, words: str | None) -> None:
    found = warnings_of(area)
    assert (found == []) if words is None else (words in found[0] and "seed_steps" in found[0])


def test_an_epoch_is_every_photo_once_and_its_last_batch_is_short() -> None:
    batches = order([3, 5, 7, 9, 11], 2, seed=0)
    epochs = [[next(batches) for _ in range(3)] for _ in range(2)]
    for epoch in epochs:
        assert [len(batch) for batch in epoch] == [2, 2, 1]
        assert sorted(i for batch in epoch for i in batch) == [3, 5, 7, 9, 11]
    assert epochs[0] != epochs[1]


def test_the_map_is_the_sigmoid_of_a_line() -> None:
    photo = Patches(np.array([[1, 0], [0, 2]], np.float32), np.ones((2, 1), np.float32), (1, 2))
    answer = FoundHead(np.array([1, -1], np.float32), 0.5)(photo)
    np.testing.assert_allclose(answer.foreground, [1 / (1 + np.exp(-1.5)), 1 / (1 + np.exp(1.5))], rtol=1e-6)


def test_wrong_heads_and_inputs_are_refused(made: Made, tmp_path: Path) -> None:
    folder, reader, _ = made
    with pytest.raises(TrainingError, match=r"none\.safetensors: no trained head"):
        FoundHead.load(tmp_path / "none.safetensors", reader)
    (tmp_path / "text.safetensors").write_text("no head")
    with pytest.raises(TrainingError, match=r"text\.safetensors: not a head of FOUND"):
        FoundHead.load(tmp_path / "text.safetensors", reader)
    write_json(folder / "other.json", {**read_json(reader.path), "encoder": "another"})
    (folder / "other").symlink_to(folder / "planted")
    with pytest.raises(TrainingError, match="another encoder"):
        FoundHead.load(folder / "head.safetensors", FeatureReader(folder / "other.json"))
    write_json(folder / "other.json", {**read_json(reader.path), "dataset": "another"})
    with pytest.raises(DataError, match="is of planted, but"):
        train_found(
            folder / "found.json", folder / "other.json", folder / "manifest.parquet", tmp_path / "h", tmp_path / "c"
        )
    write_json(tmp_path / "few.json", {**read_json(folder / "found.json"), "min_train_images": 21})
    with pytest.raises(TrainingError, match="20 photos to train on, expected at least 21"):
        train_found(tmp_path / "few.json", reader.path, folder / "manifest.parquet", tmp_path / "h", tmp_path / "c")
