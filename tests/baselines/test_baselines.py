"""The baselines on a planted store: plain methods by hand, the stage, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head.planted import iou, planted_store

from heap.baselines.found import found_seed
from heap.baselines.kmeans import kmeans
from heap.baselines.patches import Patches, component_of
from heap.baselines.stage import baseline
from heap.cache.maps import MapReader
from heap.cache.reader import FeatureReader
from heap.errors import CacheError, SettingsError
from heap.settings import Config, frozen_text, parse
from heap.settings.baselines import BASELINES, KmeansSettings
from heap.settings.config import read
from heap.stages import STAGES

GRIDS = ((14, 14), (10, 16))
Made = tuple[Path, FeatureReader, list[np.ndarray]]


def raw_config() -> dict[str, Any]:
    return read(Path(__file__).parents[2] / "config/config.yaml")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("baselines")
    reader, truth = planted_store(folder, 24, seed=0, grids=GRIDS)
    return folder, reader, truth


def run(made: Made, method: str, config: Config | None = None, workers: int = 1, out: str = "maps") -> MapReader:
    folder, reader, _ = made
    frozen = folder / f"{method}.frozen.json"
    frozen.write_text(frozen_text(config or parse(raw_config()), "maps", method))
    baseline(frozen, method, reader.path, folder / out / method / "planted.json", workers=workers)
    return MapReader(folder / out / method / "planted.json")


def test_plain_methods_by_hand(made: Made) -> None:
    assert run(made, "everything").foreground(0).min() == 1
    box = run(made, "centred_box").foreground(1)  # 10 x 16
    assert box[3:7, 4:12].min() == 1
    assert box[:2].max() == 0
    assert box[:, :4].max() == 0
    assert box.mean() == pytest.approx(0.25, abs=0.06)
    attention = run(made, "attention").foreground(0).ravel()
    mean = made[1].attention(0).mean(1)
    np.testing.assert_array_equal(attention, mean > mean.mean())


@pytest.mark.parametrize(("method", "least"), [("kmeans", 0.6), ("lost", 0.5), ("tokencut", 0.7), ("found_seed", 0.4)])
def test_methods_find_planted_objects(made: Made, method: str, least: float) -> None:
    # Objects share a direction that no stuff has, so whoever reads the features at all must find most of them.
    maps = run(made, method)
    found = [iou(maps.foreground(i).ravel() > 0.5, truth) for i, truth in enumerate(made[2])]
    assert np.mean(found) > least
    assert maps.receipt.as_json()["notes"] == {}
    assert set(np.unique(maps.foreground(0))) <= {0.0, 1.0}


@pytest.mark.parametrize("method", ["kmeans", "tokencut"])
def test_the_number_of_processes_does_not_show(made: Made, method: str) -> None:
    one, two = run(made, method), run(made, method, workers=2, out="two")
    for i in range(len(one)):
        np.testing.assert_array_equal(one.foreground(i), two.foreground(i))
    assert one.receipt.store == two.receipt.store


@pytest.mark.parametrize(("rows", "clusters"), [(4, 3), (1, 8)], ids=["three kinds", "as many clusters as patches"])
def test_clusters_that_are_attended_to_are_the_object(rows: int, clusters: int) -> None:
    # Three kinds of patches at right angles, in rows; only the middle kind is attended to more than the mean (0.4).
    features = np.repeat(np.eye(3, dtype=np.float32), rows, axis=0) * np.float32(5)
    attention = np.repeat(np.array([[0.1], [0.9], [0.2]], np.float32), rows, axis=0)
    answer = kmeans(Patches(features, attention, (3, rows)), KmeansSettings(clusters=clusters))
    assert answer.foreground.tolist() == [0] * rows + [1] * rows + [0] * rows


def test_the_component_of_a_patch() -> None:
    photo = Patches(np.zeros((6, 1), np.float32), np.zeros((6, 1), np.float32), (2, 3))
    mask = np.array([1, 0, 1, 0, 0, 1], bool)  # the corner at the left, and two in the right column
    assert component_of(2, mask, photo).tolist() == [0, 0, 1, 0, 0, 1]
    assert component_of(0, mask, photo).tolist() == [1, 0, 0, 0, 0, 0]


def test_founds_seed_needs_features_made_of_heads() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(12, 10)).astype(np.float32)
    assert found_seed(Patches(features, rng.random((12, 1)).astype(np.float32), (3, 4))).foreground.shape == (12,)
    with pytest.raises(CacheError, match="10 values a patch and 3 heads"):
        found_seed(Patches(features, rng.random((12, 3)).astype(np.float32), (3, 4)))


def test_notes_are_counted_in_the_receipt(made: Made) -> None:
    raw = raw_config()
    raw["baselines"] = {"tokencut": {"tau": -1.0}}  # every pair is linked
    maps = run(made, "tokencut", parse(raw), out="uncut")
    assert maps.receipt.as_json()["notes"] == {"no_cut": 24}
    assert maps.receipt.as_json()["settings"]["tau"] == -1.0
    assert maps.receipt.store != run(made, "tokencut").receipt.store


def test_wrong_names_and_settings_are_refused(made: Made) -> None:
    folder, reader, _ = made
    for method in ("tokencut", "found"):
        (folder / f"{method}.frozen.json").write_text(frozen_text(parse(raw_config()), "maps", method))
    with pytest.raises(SettingsError, match="'magic': unknown"):
        baseline(folder / "tokencut.frozen.json", "magic", reader.path, folder / "m.json")
    with pytest.raises(SettingsError, match="settings of tokencut, not of lost"):
        baseline(folder / "tokencut.frozen.json", "lost", reader.path, folder / "m.json")
    with pytest.raises(SettingsError, match="'found': needs a trained head"):
        baseline(folder / "found.frozen.json", "found", reader.path, folder / "m.json")
    with pytest.raises(SettingsError, match="'tokencut': takes no --head"):
        baseline(folder / "tokencut.frozen.json", "tokencut", reader.path, folder / "m.json", head=folder / "h")
    with pytest.raises(SettingsError, match="maps/heap"):
        frozen_text(parse(raw_config()), "maps", "heap")
    assert not (folder / "m.json").exists()


def test_every_method_is_described_in_the_help() -> None:
    assert all(f"{name} (" in STAGES["baseline"].does or f"{name}, " in STAGES["baseline"].does for name in BASELINES)
