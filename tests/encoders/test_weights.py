"""Where weights come from, in which layout they may be, and that the file of the receipt is the file that is read."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer

from heap.encoders import vit, weights
from heap.encoders.layouts import to_timm
from heap.encoders.position import Position
from heap.errors import EncoderError, FetchError
from heap.receipts import Weights
from heap.settings.models import VitEncoder

SMALL: dict[str, Any] = {
    "img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 0,
}  # fmt: skip
reg = partial(VisionTransformer, **SMALL, init_values=1e-5, reg_tokens=4, no_embed_class=True)
dinov3 = partial(
    Eva, **{**SMALL, "num_heads": 1}, use_rot_pos_emb=True, rope_type="dinov3", rope_temperature=100,
    rope_rotate_half=True, use_abs_pos_emb=False, num_reg_tokens=4, init_values=1e-5, use_fc_norm=False,
    dynamic_img_size=True,
)  # fmt: skip


def noisy(model: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.2 * torch.randn_like(value))
    return model.eval()


def load(model: Any, state: dict[str, torch.Tensor], path: Path) -> Any:
    torch.save(state, path)
    weights.load_state(model, weights.read_state(path), str(path))
    return model


def equal(one: Any, two: Any) -> bool:
    a, b = one.state_dict(), two.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def official_dinov2(model: Any) -> dict[str, torch.Tensor]:
    """The published layout of a model with registers: CLS and its position apart, a mask token besides."""
    state = {key: value.clone() for key, value in model.state_dict().items()}
    state["register_tokens"] = state.pop("reg_token")
    of_cls = torch.randn(1, 1, 16)
    state["pos_embed"] = torch.cat([of_cls, state["pos_embed"]], dim=1)
    state["cls_token"] = state["cls_token"] - of_cls
    return {**state, "mask_token": torch.zeros(1, 16)}


def test_dinov2_with_registers_official_and_timm_layout(tmp_path: Path) -> None:
    model = noisy(reg(), 0)
    again = load(reg(), official_dinov2(model), tmp_path / "official.pth")
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert equal(load(reg(), model.state_dict(), tmp_path / "timm.pth"), model)
    save_file(model.state_dict(), tmp_path / "timm.safetensors")
    third = reg()
    weights.load_state(third, weights.read_state(tmp_path / "timm.safetensors"), "timm.safetensors")
    assert equal(third, model)


def test_an_official_checkpoint_gives_the_official_tokens(tmp_path: Path) -> None:
    # DINOv2's prepare_tokens_with_masks: CLS and patches get positions, then registers stand between them.
    state = official_dinov2(noisy(reg(), 1))
    model = load(reg(), state, tmp_path / "official.pth")
    settings = VitEncoder(kind="vit", architecture="tiny", weights="random")
    encoder = vit.Vit(model, settings, Weights(source="random"), "cpu")
    patches = torch.randn(1, 16, 4, 4)
    tokens, _ = encoder.position.tokens(patches)
    flat = patches.flatten(2).transpose(1, 2)
    expected = torch.cat([state["cls_token"], flat], dim=1) + state["pos_embed"]
    expected = torch.cat([expected[:, :1], state["register_tokens"], expected[:, 1:]], dim=1)
    assert torch.allclose(tokens, expected, atol=1e-6)


def below(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in state.items()}


ZEROS = torch.zeros(2)
DINO_HEADS = {"dino_head.mlp.0.weight": ZEROS, "ibot_head.last_layer.weight": ZEROS}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda own, _: {"teacher": below("backbone.", own), "args": argparse.Namespace(arch="vit_small"), "epoch": 3},
        lambda own, other: {"student": below("module.backbone.", other), "teacher": below("backbone.", own)},
        lambda own, _: {"teacher": below("backbone.", own) | DINO_HEADS},
        lambda own, _: {"teacher": below("module.backbone.", own) | below("module.", DINO_HEADS)},
        lambda own, other: {"model": below("student.backbone.", other) | below("teacher.backbone.", own)},
        lambda own, _: {"teacher": {f"backbone.{k.replace('blocks.', 'blocks.0.')}": v for k, v in own.items()}},
        lambda own, _: below("_orig_mod.", own),
        lambda own, _: below("module._orig_mod.", own),
        lambda own, _: {"state_dict": below("model.", own) | {"criterion.weight": ZEROS}},
        lambda own, _: below("encoder.", own),
        lambda own, other: {
            "state_dict": below("module.momentum_encoder.", own | {"head.0.weight": ZEROS})
            | below("module.base_encoder.", other) | {"module.predictor.0.weight": ZEROS},
        },
        lambda own, other: {"state_dict": other, "state_dict_ema": own},
        lambda own, _: {"model": own | {"decoder_embed.weight": ZEROS, "decoder_blocks.0.norm1.weight": ZEROS}},
        lambda own, _: {"model": own, "optimizer": {"state": {0: {"exp_avg": ZEROS}}, "param_groups": [{"lr": 0.1}]}},
    ],
    ids=["main_dino", "ddp", "dinov2 heads", "ddp heads", "student and teacher", "chunks", "compiled", "compiled ddp",
         "lightning", "encoder", "moco", "ema", "mae", "optimizer"],
)  # fmt: skip
def test_checkpoints_of_peoples_own_trainings(tmp_path: Path, wrap: Callable[..., dict[str, Any]]) -> None:
    model, other = (noisy(VisionTransformer(**SMALL), seed) for seed in (0, 1))
    content = wrap(model.state_dict(), other.state_dict())
    assert equal(load(VisionTransformer(**SMALL), content, tmp_path / "w.pth"), model)


def test_what_was_taken_is_logged_and_what_does_not_belong_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = noisy(VisionTransformer(**SMALL), 0).state_dict()
    with caplog.at_level("INFO"):
        load(
            VisionTransformer(**SMALL),
            {"teacher": below("backbone.", own), "loss": {"centre": ZEROS}},
            tmp_path / "a.pth",
        )
    assert "took the tensors below 'teacher.backbone.'; 1 tensors are no part of the backbone: loss" in caplog.text
    deeper = own | {f"blocks.2.{key}": ZEROS for key in ("norm1.weight", "norm1.bias")}
    with pytest.raises(EncoderError, match=r"unexpected: 2 \(blocks\.2\.norm1\.bias, blocks\."):
        load(VisionTransformer(**SMALL), below("module.", deeper), tmp_path / "b.pth")


@pytest.mark.parametrize("make", [partial(VisionTransformer, **SMALL), reg], ids=["cls has a place", "registers"])
def test_a_position_embedding_of_another_grid_is_kept_and_resampled_to_each_photo(tmp_path: Path, make: Any) -> None:
    trained = noisy(make(img_size=48), 0)  # 6 x 6 patches, the architecture has 4 x 4
    model = load(make(), trained.state_dict(), tmp_path / "w.pth")
    assert equal(model, trained)
    patches = torch.randn(1, 16, 5, 7)
    one, two = (Position(m, "antialias").tokens(patches)[0] for m in (model, trained))
    assert torch.equal(one, two)
    rows = trained.pos_embed.shape[1]
    with pytest.raises(EncoderError, match=r"misshaped: 1 \(pos_embed is \(1, \d+, 16\), expected"):
        load(make(), {**trained.state_dict(), "pos_embed": torch.zeros(1, rows - 1, 16)}, tmp_path / "w.pth")


class Code:
    """Something that a checkpoint may not hold."""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"\x80\x04].", "damaged, or neither"),
        (b"<!DOCTYPE html><title>login</title>", r"begins with b'<!DOCTYPE html><titl'"),
        (b"version https://git-lfs.github.com/spec/v1", "begins with b'version https://git-"),
        ({"model": {"w": ZEROS}, "hyper": Code()}, r"holds [\w.]*test_weights\.Code, which are code"),
        ({"epoch": 3}, "holds no tensor"),
        ([ZEROS], "expected a state dict, found list"),
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused_without_torchs_advice(tmp_path: Path, content: Any, said: str) -> None:
    for name in ("w.pth", "w.safetensors"):
        path = tmp_path / name
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        with pytest.raises(EncoderError, match=f"{name}.*{said}") as error:
            weights.read_state(path)
        assert not re.search(r"weights_only|\x1b|\(\d*\)$", str(error.value))


def test_the_format_is_found_by_content_not_by_name(tmp_path: Path) -> None:
    state = noisy(VisionTransformer(**SMALL), 0).state_dict()
    save_file(state, tmp_path / "a.pth")
    torch.save(state, tmp_path / "b.safetensors")
    for name in ("a.pth", "b.safetensors"):
        assert weights.read_state(tmp_path / name).keys() == state.keys()


@pytest.mark.parametrize("bias", [True, False])
def test_dinov3_official_layout(tmp_path: Path, bias: bool) -> None:
    model = noisy(dinov3(qkv_bias=bias), 0)
    state: dict[str, torch.Tensor] = {"mask_token": torch.zeros(1, 16)}
    for key, value in model.state_dict().items():
        name = key.replace("reg_token", "storage_tokens")
        name = name.replace("gamma_1", "ls1.gamma").replace("gamma_2", "ls2.gamma")
        if not key.endswith(("q_bias", "v_bias")):
            state[name] = value
    for number in range(2):
        attn = model.blocks[number].attn
        none = torch.zeros(16)
        # The key's third of the bias is masked: whatever it holds, it counts nothing.
        parts = [attn.q_bias, torch.full((16,), torch.nan), attn.v_bias] if bias else [none, none, none]
        state[f"blocks.{number}.attn.qkv.bias"] = torch.cat(parts)
        state[f"blocks.{number}.attn.qkv.bias_mask"] = torch.zeros(48)
    rounded = model.rope.periods.bfloat16()
    state["rope_embed.periods"] = rounded
    again = load(dinov3(qkv_bias=bias), state, tmp_path / "official.pth")
    assert equal(again, model)
    # The official code runs with the periods of the file, which are rounded.
    assert torch.equal(again.rope.periods, rounded.float())
    assert not torch.equal(again.rope.periods, model.rope.periods)


def test_a_dinov3_bias_without_a_place_is_refused() -> None:
    model = dinov3(qkv_bias=False)
    state = {"storage_tokens": torch.zeros(1, 4, 16), "blocks.0.attn.qkv.bias": torch.ones(48)}
    with pytest.raises(EncoderError, match="_qkvb"):
        to_timm(state, set(model.state_dict()), "x.pth")


def test_leftovers_are_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = official_dinov2(noisy(reg(), 0))
    with caplog.at_level("INFO"):
        load(reg(), {**state, "head.weight": torch.zeros(3, 16)}, tmp_path / "w.pth")
    assert "2 tensors are no part of the backbone: head.weight, mask_token" in caplog.text


def test_a_file_of_another_architecture_is_counted_not_listed(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"\(30 tensors\); missing: 30 .*; unexpected: 900 .*\.\.\.\)$") as error:
        load(VisionTransformer(**SMALL), {f"layer{n}": torch.zeros(1) for n in range(900)}, tmp_path / "w.pth")
    assert "missing: 30 (blocks.0.attn.proj.bias" in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("architecture", "url", "name"),
    [
        ("dino_vits8", "https://dl.fbaipublicfiles.com/dino/dino_deitsmall8_pretrain/dino_deitsmall8_pretrain.pth",
         "dino_deitsmall8_pretrain.pth"),
        ("dinov2_vitb14_reg", "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_reg4_pretrain.pth",
         "dinov2_vitb14_reg4_pretrain.pth"),
        ("dinov3_vits16", "https://huggingface.co/timm/vit_small_patch16_dinov3.lvd1689m/resolve/main/model.safetensors",
         "vit_small_patch16_dinov3.lvd1689m.safetensors"),
        ("vit_base_patch16_224.mae", "https://huggingface.co/timm/vit_base_patch16_224.mae/resolve/main/model.safetensors",
         "vit_base_patch16_224.mae.safetensors"),
        ("mobilenetv2_100", "https://huggingface.co/timm/mobilenetv2_100.ra_in1k/resolve/main/model.safetensors",
         "mobilenetv2_100.ra_in1k.safetensors"),
    ],
)  # fmt: skip
def test_where_published_weights_are(architecture: str, url: str, name: str) -> None:
    assert weights.published(architecture) == (url, name)


@pytest.mark.parametrize("name", ["no_such_model", "vit_tiny_patch16_224.no_such_tag"])
def test_weights_that_nobody_published(name: str) -> None:
    with pytest.raises(EncoderError, match="finds no published weights"):
        weights.published(name)


def test_offline_the_error_says_what_from_where_to_which_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(url: str, to: Path) -> None:
        raise FetchError(f"{url}: no network")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("heap.data.download.download", offline)
    with pytest.raises(EncoderError) as error:
        weights.locate("dinov2_vits14", "auto", None)
    for part in ("dinov2_vits14", "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
                 f"{os.environ['TORCH_HOME']}/hub/checkpoints/dinov2_vits14_pretrain.pth", "no network"):  # fmt: skip
        assert part in str(error.value)
    # Put there by hand, it is found, and hashed.
    path = tmp_path / "resources" / "weights" / "dinov2_vits14_pretrain.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"<html>login</html>")
    with pytest.raises(EncoderError, match=r"vits14_pretrain\.pth: not readable as a checkpoint"):
        weights.locate("dinov2_vits14", "auto", None)
    torch.save({"a": ZEROS}, path)
    receipt = weights.locate("dinov2_vits14", "auto", None)
    assert receipt.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert receipt.checksum == "unverified"
    assert weights.locate("dinov2_vits14", "auto", receipt.sha256).checksum == "pinned"
    assert receipt.source == "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth"


@pytest.mark.parametrize(
    ("content", "stated", "said"),
    [
        (b"<html>login</html>", False, r"what https://x\.org/net\.pth sent is not used .*begins with b'<html>login"),
        (None, True, r"sent is not used \(its sha256 is [0-9a-f]{64}, expected 00000000"),
        (None, False, None),
    ],
    ids=["login page", "another checkpoint", "a checkpoint"],
)
def test_a_download_gets_its_name_once_it_is_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, stated: bool, said: str | None
) -> None:
    def serve(url: str, to: Path) -> None:
        to.write_bytes(content) if content is not None else torch.save({"a": ZEROS}, to)

    url = f"https://x.org/net{'-00000000' * stated}.pth"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("heap.data.download.download", serve)
    monkeypatch.setattr(weights, "published", lambda _: (url, "net.pth"))
    if said is None:
        assert weights.locate("net", "auto", None).checksum == "unverified"
    else:
        with pytest.raises(EncoderError, match=said):
            weights.locate("net", "auto", None)
    kept = tmp_path / "torch/hub/checkpoints"
    assert {path.name for path in kept.iterdir()} - {".net.pth.lock"} == ({"net.pth"} if said is None else set())
    if said is None:
        # From any other folder it is the same file, without a download.
        monkeypatch.delattr("heap.data.download.download")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert weights.locate("net", "auto", None).file == str(kept / "net.pth")


def test_a_checksum_that_the_publisher_states_in_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "resources/weights/net.pth"
    path.parent.mkdir(parents=True)
    torch.save({"a": ZEROS}, path)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(weights, "published", lambda _: (f"https://x.org/net-{digits[:8]}.pth", "net.pth"))
    assert weights.locate("net", "auto", None).checksum == "published"
    monkeypatch.setattr(weights, "published", lambda _: ("https://x.org/net-00000000.pth", "net.pth"))
    with pytest.raises(EncoderError, match=r"net\.pth has sha256 .*its publisher states 00000000"):
        weights.locate("net", "auto", None)


def test_a_file_replaced_under_the_same_name_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.pth"
    torch.save(noisy(VisionTransformer(**SMALL), 0).state_dict(), path)
    monkeypatch.setattr(vit, "build", lambda _name: VisionTransformer(**SMALL))
    settings = VitEncoder(kind="vit", architecture="tiny", weights=str(path))
    receipt = weights.locate("tiny", str(path), None)
    first = vit.load(settings, receipt, "cpu").encode(np.zeros((1, 32, 32, 3), np.uint8))
    again = vit.load(settings, receipt, "cpu").encode(np.zeros((1, 32, 32, 3), np.uint8))
    assert np.array_equal(first.features, again.features)
    torch.save(noisy(VisionTransformer(**SMALL), 1).state_dict(), path)
    with pytest.raises(EncoderError, match=r"mine\.pth was replaced.*run the weights stage again"):
        vit.load(settings, receipt, "cpu")
    path.unlink()
    with pytest.raises(EncoderError, match=r"mine\.pth is gone"):
        vit.load(settings, receipt, "cpu")


def test_labels_carry_how_the_encoder_was_trained() -> None:
    published = Weights(source="https://x/y.pth", file="y.pth", sha256="0" * 64, checksum="published")
    assert weights.weights_in_words(published.model_copy(update={"checksum": "pinned"})) == "published weights"
    for unknown in ("unverified", None):
        words = weights.weights_in_words(published.model_copy(update={"checksum": unknown}))
        assert words == "published weights, unverified (sha256 000000000000)"
    known = VitEncoder(kind="vit", architecture="dino_vits8")
    assert "RANDOM weights" in vit.label_of(known, Weights(source="random"))
    assert "unverified file mine.pth" in vit.label_of(known, Weights(source="file", file="/x/mine.pth", sha256="ab"))
    assert vit.label_of(known, published) == "dino_vits8 keys of block -1, published weights"
    other = VitEncoder(kind="vit", architecture="vit_small_patch16_224")
    assert vit.label_of(other, published).endswith("training not stated, published weights")
    stated = other.model_copy(update={"supervision": "SUPERVISED on ImageNet-21k"})
    assert vit.label_of(stated, published).endswith("SUPERVISED on ImageNet-21k, published weights")


def test_of_two_processes_one_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is every project's: both wrote into one `.part`, and the second found another file than it hashed."""
    sent: list[Path] = []

    def serve(url: str, to: Path) -> None:
        sent.append(to)
        time.sleep(0.05)
        torch.save({"a": ZEROS}, to)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("heap.data.download.download", serve)
    monkeypatch.setattr(weights, "published", lambda _: ("https://x.org/net.pth", "net.pth"))
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: weights.locate("net", "auto", None), range(2)))
    assert found[0] == found[1]
    assert len(sent) == 1
