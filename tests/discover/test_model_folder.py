"""A model's folder: found by any of its names, moved, and refused where it does not fit."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import os
import random
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from discover.small import Trained
from safetensors.torch import load_file, save_file

import heap
from heap import paths
from heap.discover.card import card
from heap.discover.encoder import open_for
from heap.discover.export import export
from heap.discover.find import find
from heap.discover.folder import Parts
from heap.discover.model import Model
from heap.encoders.vit import build
from heap.errors import DataError, EncoderError, HeapError, ModelError
from heap.evaluate import tables
from heap.evaluate.tables import Figure
from heap.files import file_sha256, read_json


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
    assert sorted(path.name for path in moved.iterdir()) == [
        "README.md",
        "clusters.safetensors",
        "head.safetensors",
        "model.json",
    ]


def test_the_last_trained_of_several_is_taken_and_said(
    trained: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(trained.path("results/head"), tmp_path / "results/head")
    receipts = tmp_path / "results/head"
    shutil.copytree(receipts / "demo", receipts / "newer")
    shutil.copy(receipts / "demo.json", receipts / "newer.json")
    os.utime(receipts / "demo.json", (1, 1))
    with caplog.at_level(logging.INFO, logger="heap"):
        found = find(receipts)
    assert found.source == str(receipts / "newer.json")
    assert "the model trained last is newer (there are also: demo)" in caplog.text
    # Nothing was clustered here: the model works, and says what it lacks.
    assert found.clusters is None
    assert "regions have no clusters" in caplog.text


def test_the_card_says_what_a_stranger_must_know(trained: Trained, model: Model, tmp_path: Path) -> None:
    shutil.copytree(trained.path("results"), tmp_path / "results", ignore=shutil.ignore_patterns("features", "maps"))
    head = tmp_path / "results/head"
    for name, sha256, value in (("demo", model.parts.head_sha256, 0.6251), ("other", "0" * 64, 0.9999)):
        figures = [Figure("scenes", "saliency", method, "multi", "iou", value, 4, 0, 0) for method in ("heap", "lost")]
        about = {"datasets": {"scenes": {"maps": {"heap": {"head_sha256": sha256}}}}, "warnings": []}
        tables.write(tmp_path / f"results/{name}_metrics.csv", figures, about)
    for path in (head, head / "demo", head / "demo.json"):
        export(path, tmp_path / "model")
        text = (tmp_path / "model/README.md").read_text()
        for words in (
            "hand-made",
            "trained on: 8 photos of scenes, split train; no label was read",
            "MIT",
            "62.5",
            "3 of foreground and 3 of background regions of scenes",
            "**warning:** foreground covers",
        ):
            assert words in text, words
        assert "LOST" not in text
        assert "100.0" not in text
    assert "None was measured" in (trained.path("results/models/demo") / "README.md").read_text()


def test_texts_of_a_model_are_no_markup(model: Model) -> None:
    strange = {**model.parts.description, "model": "<b>x</b> [y](z)\n# big", "encoder": "`descriptors`"}
    text = card(replace(model.parts, description=strange))
    assert text.startswith(r"# \<b\>x\</b\> \[y\](z) \# big: a HEAP model")
    vit = {**strange, "encoder_settings": {"kind": "vit", "architecture": "dino_vits8"}}
    assert "apache-2.0 (of the published weights" in card(replace(model.parts, description=vit))


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
    with pytest.raises(ModelError, match="a model of version 99, this heap reads version"):
        find(moved)
    del told["reading"]
    (moved / "model.json").write_text(json.dumps(told))
    with pytest.raises(ModelError, match=r"model\.json: not the description of a model \(reading: Field required"):
        find(moved)


@pytest.mark.parametrize("key", ["segment.threshold", "clusters.views.foreground.join_above", "identity"])
def test_a_changed_value_of_the_description_is_noticed(moved: Path, key: str) -> None:
    told = read_json(moved / "model.json")
    *way, last = key.split(".")
    part = told
    for name in way:
        part = part[name]
    part[last] = "0" if last == "identity" else part[last] + 0.125
    (moved / "model.json").write_text(json.dumps(told))
    with pytest.raises(ModelError, match=r"model\.json: was changed after it was written.*; export the model again"):
        heap.load(moved, device="cpu")


def test_a_flipped_bit_of_the_description_is_noticed(moved: Path) -> None:
    text = (moved / "model.json").read_text()
    (moved / "model.json").write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(DataError, match=r"model\.json: is damaged, or was edited"):
        heap.load(moved, device="cpu")


def leaves(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every part of a description; of a list itself and its first element."""
    if way:
        yield way
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*way, key))
    elif isinstance(value, list) and value:
        yield from leaves(value[0], (*way, 0))


# Of another type, sign, size; a path; what Python's JSON writes for an infinity.
STRANGE = [
    None, -1, 0, 1, 2**60, 10**40, 1e308, float("inf"), True, "x", "hf-hub:a/b", "local-dir:/etc", "/dev/zero", [], {},
    [[1.0]], [1e308] * 35, [10**9, 10**9],
]  # fmt: skip
ENCODERS = [
    {"kind": "vit", "architecture": "hf-hub:a/b", "weights": "random"},
    {"kind": "vit", "architecture": "local-dir:/etc"},
    {"kind": "cnn", "architecture": "local-dir:/etc", "supervision": "x", "stages": [-1], "patch_px": 8},
    {"kind": "vit", "architecture": "../../x", "weights": "random"},
    {"kind": "vit", "architecture": "vit_tiny_patch16_224", "weights": "/dev/zero"},
    {"kind": "other"},
]


def test_a_strangers_description_is_refused_or_works(
    moved: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every value of model.json replaced by strange ones: no traceback, no network, no great memory."""

    def no_network(*_: object) -> None:
        raise AssertionError("a model's folder opened a connection")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    file = moved / "model.json"
    content = read_json(file)
    # A stranger can state the identity that his values have.
    monkeypatch.setattr(Parts, "identity", property(lambda self: content["identity"]))
    places = [place for place in leaves(content) if place[0] not in ("train", "diagnostics")]  # which decide nothing
    assert len(places) > 50
    rng = random.Random(0)
    cases = [(place, rng.choice(STRANGE)) for place in rng.sample(places, 40)]
    cases += [(("encoder_settings",), value) for value in ENCODERS]
    for place, value in cases:
        changed = copy.deepcopy(content)
        part = changed
        for name in place[:-1]:
            part = part[name]
        part[place[-1]] = value
        file.write_text(json.dumps(changed))
        try:
            loaded = heap.load(moved, device="cpu")
        except ModelError:
            continue
        except DataError:
            assert value == float("inf"), (place, value)
            continue
        with contextlib.suppress(HeapError):
            loaded.discover(trained.photos / "val_0001.jpg")


def with_head(folder: Path, state: dict[str, torch.Tensor], description: dict[str, Any]) -> None:
    """Put another head into a model's folder, with the checksum and identity that it then has."""
    save_file(state, folder / "head.safetensors", metadata={"heap": json.dumps(description)})
    told = {**read_json(folder / "model.json"), "head_sha256": file_sha256(folder / "head.safetensors")}
    (folder / "model.json").write_text(json.dumps(told))
    with pytest.raises(ModelError, match="its identity is") as error:
        find(folder)
    told["identity"] = re.findall(r"its identity is (\w+)", str(error.value))[0]
    (folder / "model.json").write_text(json.dumps(told))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_a_head_of_values_that_no_training_leaves_is_refused(moved: Path, value: float) -> None:
    state = load_file(moved / "head.safetensors")
    state["score.weight"][0, 3] = value
    with_head(moved, state, find(moved).description)
    with pytest.raises(ModelError, match=r"head\.safetensors: score\.weight holds NaN or values beyond"):
        heap.load(moved, device="cpu")


@pytest.mark.parametrize("dim", [192, 2**40])
def test_a_head_of_another_size_than_it_says_is_refused(moved: Path, dim: int) -> None:
    with_head(moved, load_file(moved / "head.safetensors"), {**find(moved).description, "dim": dim})
    with pytest.raises(ModelError, match=r"head\.safetensors: not a HEAP head"):
        heap.load(moved, device="cpu")


def test_a_folder_is_found_from_within(moved: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(moved)
    assert heap.load(".", device="cpu").identity == model.identity
    (moved / "deep").mkdir()
    monkeypatch.chdir(moved / "deep")
    assert heap.load("..", device="cpu").identity == model.identity
    for none in (".", "/"):
        with pytest.raises(ModelError, match="holds no model"):
            heap.load(none)


def test_an_export_replaces_a_model_and_nothing_else(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    export(trained.path("results/head"), out)
    export(trained.path("results/head"), out)
    # Through a link its target is written, also one that is not there yet; a file of the user's stays.
    for name, target in (("link", "mine"), ("dangling", "new")):
        (tmp_path / name).symlink_to(tmp_path / target)
        (tmp_path / f".{target}.part").write_text("keep me")
        export(trained.path("results/head"), tmp_path / name)
        assert (tmp_path / name).is_symlink()
        assert find(tmp_path / target).identity == find(out).identity
        assert (tmp_path / f".{target}.part").read_text() == "keep me"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.part", ".new.part", "dangling", "link", "mine",
                                                                "new"]  # fmt: skip
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/dear.txt").write_text("keep me")
    with pytest.raises(ModelError, match="letters: holds something else than a model"):
        export(trained.path("results/head"), tmp_path / "letters")
    assert (tmp_path / "letters/dear.txt").read_text() == "keep me"


def test_clusters_of_another_head_are_refused(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.path("results"), tmp_path / "results", ignore=shutil.ignore_patterns("features", "maps"))
    receipt = tmp_path / paths.head("demo")
    told = json.loads(receipt.read_text())
    head = receipt.parent / "demo/head.safetensors"
    state = {**load_file(head), "mean": torch.ones(96)}
    metadata = {"heap": json.dumps(find(trained.path("results/head")).description)}
    save_file(state, head, metadata=metadata)
    told["head_sha256"] = file_sha256(head)
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


def test_weights_of_another_checksum_are_refused_and_both_named(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    file, other = tmp_path / "right.pth", tmp_path / "wrong.pth"
    torch.save(build("vit_tiny_patch16_224").state_dict(), file)
    torch.save(build("vit_tiny_patch16_224").state_dict(), other)
    recorded = {"source": "https://example.org/x.pth", "file": "resources/weights/x.pth", "sha256": file_sha256(file)}
    parts = with_vit(model.parts, recorded)
    encoder, batch = open_for(parts, "cpu", file, None)
    assert (encoder.dim, batch) == (192, 8)
    assert encoder.weights.sha256 == recorded["sha256"]
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
    # Nor is what lies under the published file's name, nor what its publisher sends today, another file.
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(heap.encoders.weights, "published", lambda name: ("https://example.org/x.pth", "x.pth"))
    monkeypatch.setattr(heap.data.download, "download", lambda url, to: shutil.copyfile(other, to))
    kept = tmp_path / "hub/checkpoints/x.pth"
    kept.parent.mkdir(parents=True)
    with pytest.raises(ModelError, match=f"what https.* sent is not used .*{file_sha256(other)}, expected"):
        open_for(parts, "cpu", None, None)
    assert [path.name for path in kept.parent.iterdir()] == [".x.pth.lock"]
    shutil.copyfile(other, kept)
    with pytest.raises(ModelError, match=f"x.pth has sha256 {file_sha256(other)}, the model was made with"):
        open_for(parts, "cpu", None, None)
    # The right file, but another width than the head was trained on.
    wide = Parts(**{**vars(parts), "description": {**parts.description, "dim": 384}})
    with pytest.raises(ModelError, match=r"values a patch: 384\), but the encoder that is there, .*, has 192"):
        open_for(wide, "cpu", file, None)


def test_a_random_encoder_of_another_size_is_refused_before_it_is_built(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a stranger's `vit_gigantic_patch14_clip_224`, 8 GB of weights were drawn first."""
    parts = with_vit(model.parts, {"source": "random", "file": None, "sha256": None}, "random")
    assert open_for(parts, "cpu", None, None)[0].dim == 192
    monkeypatch.setattr(heap.discover.encoder, "open_encoder", None)
    encoder = {**parts.description["encoder_settings"], "architecture": "vit_small_patch16_224"}
    other = Parts(**{**vars(parts), "description": {**parts.description, "encoder_settings": encoder}})
    with pytest.raises(ModelError, match=r"values a patch: 192\), but the encoder that is there, .*, has 384"):
        open_for(other, "cpu", None, None)


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
