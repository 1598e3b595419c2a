"""A model's folder: found by any of its names, moved, and refused where it does not fit."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from discover.small import Trained
from safetensors.torch import load_file, save_file

import heap
from heap import paths
from heap.discover.encoder import open_for
from heap.discover.export import export
from heap.discover.find import find
from heap.discover.folder import Parts
from heap.discover.model import Model
from heap.encoders.vit import build
from heap.errors import EncoderError, ModelError
from heap.files import file_sha256


@pytest.fixture
def moved(trained: Trained, tmp_path: Path) -> Path:
    """An exported model on "another machine": nothing of the results lies near it."""
    export(trained.path("results/head/demo"), tmp_path / "here/model")
    return Path(shutil.copytree(tmp_path / "here/model", tmp_path / "there/a model"))


@pytest.mark.parametrize("name", ["head", "head/demo", "head/demo.json", "models/demo", "models/demo.json"])
def test_every_name_of_a_model_is_the_same_model(trained: Trained, model: Model, name: str) -> None:
    assert heap.load(trained.path(f"results/{name}"), device="cpu").identity == model.identity


def test_a_moved_folder_gives_the_same(trained: Trained, model: Model, moved: Path) -> None:
    loaded = heap.load(moved, device="cpu")
    photo = trained.photos / "val_0002.jpg"
    one, two = loaded.discover(photo), model.discover(photo)
    assert np.array_equal(one.saliency, two.saliency)
    assert one.table().equals(two.table())
    assert loaded.clusters == 3
    assert sorted(path.name for path in moved.iterdir()) == ["clusters.safetensors", "head.safetensors", "model.json"]


def test_the_last_trained_of_several_is_taken_and_said(
    trained: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(trained.path("results/head"), tmp_path / "results/head")
    receipts = tmp_path / "results/head"
    shutil.copytree(receipts / "demo", receipts / "newer")
    shutil.copy(receipts / "demo.json", receipts / "newer.json")
    os.utime(receipts / "demo.json", (1, 1))
    shutil.copytree(receipts / "demo", receipts / "ablation_no_guess")
    shutil.copy(receipts / "demo.json", receipts / "ablation_no_guess.json")  # the newest, and no model to use
    with caplog.at_level(logging.INFO, logger="heap"):
        found = find(receipts)
    assert found.source == str(receipts / "newer.json")
    assert "the model trained last is newer (there are also: demo)" in caplog.text
    # Nothing was clustered here: the model works, and says what it lacks.
    assert found.clusters is None
    assert "regions have no clusters" in caplog.text


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="none: no such file or folder; expected a folder made by `heap export`"):
        heap.load(tmp_path / "none")
    with pytest.raises(ModelError, match="holds no model"):
        heap.load(tmp_path)


def test_a_folder_that_is_not_whole_is_refused(moved: Path) -> None:
    (moved / "clusters.safetensors").unlink()
    with pytest.raises(ModelError, match=r"clusters\.safetensors: is missing; the folder was not copied whole"):
        find(moved)
    state = load_file(moved / "head.safetensors")
    save_file(state, moved / "head.safetensors")
    with pytest.raises(ModelError, match=r"head\.safetensors: has sha256 .*export the model again"):
        find(moved)
    told = json.loads((moved / "model.json").read_text())
    (moved / "model.json").write_text(json.dumps({**told, "version": 99}))
    with pytest.raises(ModelError, match="a model of version 99, this heap reads version 2"):
        find(moved)
    del told["reading"]
    (moved / "model.json").write_text(json.dumps(told))
    with pytest.raises(ModelError, match=r"model\.json: lacks reading"):
        find(moved)


def test_an_export_replaces_a_model_and_nothing_else(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    export(trained.path("results/head"), out)
    export(trained.path("results/head"), out)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/dear.txt").write_text("keep me")
    with pytest.raises(ModelError, match="letters: holds something else than a model"):
        export(trained.path("results/head"), tmp_path / "letters")
    assert (tmp_path / "letters/dear.txt").read_text() == "keep me"


def test_clusters_of_another_head_are_refused(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.path("results"), tmp_path / "results", ignore=shutil.ignore_patterns("features", "maps"))
    receipt = tmp_path / paths.head("demo")
    told = json.loads(receipt.read_text())
    head = receipt.parent / "demo" / told["identity"] / "seed0/head.safetensors"
    state = {**load_file(head), "mean": torch.ones(96)}
    metadata = {"heap": json.dumps(find(trained.path("results/head")).description)}
    save_file(state, head, metadata=metadata)
    told["seeds"][0]["head_sha256"] = file_sha256(head)
    receipt.write_text(json.dumps(told))
    with pytest.raises(ModelError, match=r"scenes\.parquet: clusters of another head \(sha256 .* than .*demo\.json"):
        find(receipt)


def test_another_encoder_than_the_one_asked_for_is_refused(moved: Path) -> None:
    assert heap.load(moved, encoder="descriptors", device="cpu").encoder.dim == 96
    with pytest.raises(ModelError, match=r"made with the encoder descriptors \(descriptors \(hand-made.* not dino_"):
        heap.load(moved, encoder="dino_vits8")


def with_vit(parts: Parts, recorded: dict[str, str | None], file: str = "auto") -> Parts:
    """The same model, as if its encoder had been a ViT with these weights."""
    encoder = {"kind": "vit", "architecture": "vit_tiny_patch16_224", "weights": file}
    description = {
        **parts.description, "encoder": "tiny, published weights", "encoder_settings": encoder, "weights": recorded,
        "dim": 192, "attention_kind": "cls",
    }  # fmt: skip
    return Parts(**{**vars(parts), "description": description})


def test_weights_of_another_checksum_are_refused_and_both_named(model: Model, tmp_path: Path) -> None:
    torch.manual_seed(0)
    file, other = tmp_path / "right.pth", tmp_path / "wrong.pth"
    torch.save(build("vit_tiny_patch16_224").state_dict(), file)
    torch.save(build("vit_tiny_patch16_224").state_dict(), other)
    recorded = {"source": "https://example.org/x.pth", "file": "resources/weights/x.pth", "sha256": file_sha256(file)}
    parts = with_vit(model.parts, recorded)
    encoder, batch = open_for(parts, "cpu", file, None)
    assert (encoder.dim, batch) == (192, 8)
    assert encoder.weights["sha256"] == recorded["sha256"]
    with pytest.raises(ModelError) as error:
        open_for(parts, "cpu", other, None)
    assert file_sha256(file) in str(error.value)
    assert file_sha256(other) in str(error.value)
    with pytest.raises(ModelError, match=r"gone\.pth does not exist"):
        open_for(parts, "cpu", tmp_path / "gone.pth", None)
    # Not given: where the settings say they are, and told with its checksum where they are not.
    absent = with_vit(model.parts, recorded, str(tmp_path / "absent.pth"))
    with pytest.raises(
        ModelError, match=rf"absent\.pth does not exist[\s\S]*--weights FILE \(sha256 {file_sha256(file)}"
    ):
        open_for(absent, "cpu", None, None)
    # The right file, but another width than the head was trained on.
    wide = Parts(**{**vars(parts), "description": {**parts.description, "dim": 384}})
    with pytest.raises(ModelError, match=r"values a patch: 384\), but the encoder that is there, .*, has 192"):
        open_for(wide, "cpu", file, None)


def test_descriptors_take_no_weights_and_a_device_that_is_not_there_is_an_error(moved: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no weights, found"):
        heap.load(moved, weights=tmp_path / "x.pth", device="cpu")
    with pytest.raises(EncoderError, match="unknown, expected auto, cuda, mps or cpu"):
        heap.load(moved, device="abacus")


def test_the_package_says_what_it_exports() -> None:
    for name in heap.__all__:
        assert getattr(heap, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        heap.lod  # type: ignore[attr-defined]  # noqa: B018
