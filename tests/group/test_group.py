"""Stage group and the baselines: maps and regions of a store that was planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from head.planted import DIM, iou, planted_store, write_manifest
from head.training import train_model

from heap import paths
from heap.cache.maps import MapReader
from heap.cache.reader import FeatureReader
from heap.errors import DataError, TrainingError
from heap.files import read_json, write_json
from heap.group import regions
from heap.group.stage import group
from heap.head.folder import load
from heap.settings import frozen_text, parse
from heap.settings.config import read

GRIDS = ((14, 14), (10, 16))
HEAD = paths.head("photos")


Made = tuple[Path, FeatureReader, list[np.ndarray]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("group")
    reader, truth = planted_store(folder, 40, seed=0, grids=GRIDS)
    raw = read(Path(__file__).parents[2] / "config/config.yaml")
    raw["train"] |= {"seeds": [0, 1], "steps": 120, "batch_size": 16}
    config = parse(raw)
    (folder / "group.frozen.json").write_text(frozen_text(config, "group", "photos"))
    train_model(config, "photos", reader.path, write_manifest(folder / "manifest.parquet", reader), folder)
    group(
        folder / "group.frozen.json", reader.path, folder / HEAD, folder / "regions.parquet",
        folder / "maps" / "planted.json", "cpu",
    )  # fmt: skip
    return folder, reader, truth


def test_maps_find_the_planted_objects(made: Made) -> None:
    folder, _, truth = made
    maps = MapReader(folder / "maps" / "planted.json")
    found = [iou(maps.foreground(i).ravel() > 0.5, truth[i]) for i in range(len(maps))]
    assert np.mean(found) > 0.8
    assert maps.foreground(1).shape == GRIDS[1]
    assert maps.receipt.method == "heap"


def test_region_table_agrees_with_the_maps(made: Made) -> None:
    folder, reader, _ = made
    table = regions.read(folder / "regions.parquet")
    maps = MapReader(folder / "maps" / "planted.json")
    np.testing.assert_allclose(np.linalg.norm(table.embeddings, axis=1), 1, atol=1e-5)
    for i, name in enumerate(maps.images["image_id"]):
        mine = table.table[table.table["image_id"] == name]
        area = np.bincount(maps.region(i).ravel())
        share = {t: n / reader.patches(i) for t, n in enumerate(area) if n}
        assert dict(zip(mine["token"], mine["area_share"], strict=True)) == pytest.approx(share, abs=1e-6)
    assert table.info["encoder"] == "planted"
    assert table.table["region_id"].tolist() == list(range(len(table.table)))


def test_an_embedding_is_the_mean_of_the_patches_that_the_region_owns(made: Made) -> None:
    folder, reader, _ = made
    table, maps = regions.read(folder / "regions.parquet"), MapReader(folder / "maps" / "planted.json")
    head, _ = load(folder / HEAD, "cpu")
    for i, name in enumerate(maps.images["image_id"]):
        centred = reader.features(i).astype(np.float32) - head.mean.numpy().ravel()
        normed = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        for row, token in table.table.loc[table.table["image_id"] == name, "token"].items():
            mean = normed[maps.region(i).ravel() == token].mean(axis=0)
            np.testing.assert_allclose(table.embeddings[row], mean / np.linalg.norm(mean), atol=1e-5)


def test_batches_do_not_show(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, reader, _ = made
    monkeypatch.setattr("heap.group.stage._BATCH", 1)
    group(
        folder / "group.frozen.json", reader.path, folder / HEAD, folder / "one.parquet",
        folder / "one" / "planted.json", "cpu",
    )  # fmt: skip
    one, eight = MapReader(folder / "one" / "planted.json"), MapReader(folder / "maps" / "planted.json")
    for i in range(len(one)):
        np.testing.assert_allclose(one.foreground(i), eight.foreground(i), atol=1e-5)


def test_a_head_of_another_encoder_is_refused(made: Made) -> None:
    folder, reader, _ = made
    receipt = read_json(reader.path)
    other = folder / "other.json"
    write_json(other, {**receipt, "encoder": "another"})
    (folder / "other").symlink_to(folder / "planted")
    with pytest.raises(TrainingError, match="another encoder"):
        group(
            folder / "group.frozen.json",
            other,
            folder / HEAD,
            folder / "x.parquet",
            folder / "x.json",
            "cpu",
        )
    assert not (folder / "x.parquet").exists()


@pytest.mark.parametrize("content", [b"", b"PAR1 nonsense"])
def test_a_file_that_is_no_region_table_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "regions.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"regions\.parquet"):
        regions.read(path)


def test_region_table_round_trip(tmp_path: Path) -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    embeddings = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(5, DIM)))).numpy().astype(np.float32)
    table = pd.DataFrame({"region_id": np.arange(5), "image_id": list("aabbc")})
    regions.write(tmp_path / "r.parquet", regions.Regions(table, embeddings, {"dataset": "d"}))
    again = regions.read(tmp_path / "r.parquet")
    np.testing.assert_array_equal(again.embeddings, embeddings)
    assert again.table["image_id"].tolist() == list("aabbc")
    assert again.info == {"dataset": "d"}
