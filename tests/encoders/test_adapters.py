"""Every kind of ViT against an independent plain forward: timm's own, at its native size, read by hooks and by hand.

Published weights cannot be had in tests, so the models are tiny and random; each has some trait that moves values.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from timm.layers import apply_rot_embed_cat
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer

from heap.encoders import vit
from heap.encoders.position import interpolate_position
from heap.errors import EncoderError
from heap.receipts import Weights
from heap.settings.architectures import ARCHITECTURES, PositionRule, position_rule
from heap.settings.models import VitEncoder

SIDE_PX, PATCH = 32, 8  # a native grid of 4 x 4
SMALL: dict[str, Any] = {
    "img_size": SIDE_PX, "patch_size": PATCH, "embed_dim": 24, "depth": 3, "num_heads": 3, "num_classes": 0,
}  # fmt: skip
EVA: dict[str, Any] = {**SMALL, "use_rot_pos_emb": True, "use_fc_norm": False}
MODELS = {
    "dino": partial(VisionTransformer, **SMALL),
    "dinov2": partial(VisionTransformer, **SMALL, init_values=1e-5),
    "dinov2 with registers": partial(VisionTransformer, **SMALL, init_values=1e-5, reg_tokens=4, no_embed_class=True),
    "registers with positions": partial(VisionTransformer, **SMALL, reg_tokens=2),
    "q and k normalised": partial(VisionTransformer, **SMALL, qk_norm=True),
    "normalised before the blocks": partial(VisionTransformer, **SMALL, pre_norm=True),
    "no bias": partial(VisionTransformer, **SMALL, qkv_bias=False),
    "dinov3": partial(
        Eva, **EVA, rope_type="dinov3", rope_temperature=100, rope_rotate_half=True, use_abs_pos_emb=False,
        num_reg_tokens=4, qkv_bias=False, init_values=1e-5, dynamic_img_size=True,
    ),
    "dinov3 with biases": partial(
        Eva, **EVA, rope_type="dinov3", rope_temperature=100, rope_rotate_half=True, use_abs_pos_emb=False,
        num_reg_tokens=4, qkv_bias=True, init_values=1e-5, dynamic_img_size=True,
    ),
    "eva02": partial(Eva, **EVA, qkv_fused=False, swiglu_mlp=True, scale_mlp=True),
    "rotary learnt for each block": partial(
        Eva, **EVA, attn_type="rope", rope_type="mixed", no_embed_class=True, init_values=1e-4
    ),
}  # fmt: skip


def make(name: str, seed: int = 0) -> Any:
    """A model whose every parameter matters: layer scales, norms and prefix tokens are random too."""
    torch.manual_seed(seed)
    model = MODELS[name]().eval()
    with torch.no_grad():
        for key, value in model.named_parameters():
            value.add_(
                0.3 * torch.randn_like(value) if value.dim() > 1 or "gamma" in key else 0.1 * torch.randn_like(value)
            )
    return model


def encoder(model: Any, facet: str, block: int = -1, architecture: str = "tiny") -> vit.Vit:
    settings = VitEncoder.model_validate(
        {"kind": "vit", "architecture": architecture, "weights": "random", "facet": facet, "block": block}
    )
    return vit.Vit(model, settings, Weights(source="random"), "cpu")


def photos(height: int, width: int, count: int = 2) -> Any:
    return np.random.default_rng(1).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def pixels(images: Any) -> torch.Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((torch.from_numpy(images).float() / 255 - mean) / std).permute(0, 3, 1, 2)


def by_hand(model: Any, images: Any, block: int) -> dict[str, torch.Tensor]:
    """Facets and CLS attention of one block: timm's forward runs, a hook keeps what enters the block's attention."""
    seen: dict[str, Any] = {}
    attn, prefix, heads = model.blocks[block].attn, model.num_prefix_tokens, model.blocks[block].attn.num_heads

    def entering(_module: Any, arguments: Any, keywords: Any) -> None:
        seen["x"], seen["rope"] = arguments[0], keywords.get("rope")

    def leaving(_module: Any, _arguments: Any, output: torch.Tensor) -> None:
        seen["token"] = output

    hooks = [
        attn.register_forward_pre_hook(entering, with_kwargs=True),
        model.blocks[block].register_forward_hook(leaving),
    ]
    with torch.no_grad():
        features = model.forward_features(pixels(images))
        for hook in hooks:
            hook.remove()
        if attn.qkv is None:
            q, k, v = attn.q_proj(seen["x"]), attn.k_proj(seen["x"]), attn.v_proj(seen["x"])
        else:
            qkv = attn.qkv(seen["x"])
            if getattr(attn, "q_bias", None) is not None:
                qkv = qkv + torch.cat([attn.q_bias, torch.zeros_like(attn.q_bias), attn.v_bias])
            q, k, v = qkv.chunk(3, dim=2)
        found = {"query": q, "key": k, "value": v}
        batch, length, dim = q.shape
        q, k = (t.reshape(batch, length, heads, dim // heads).permute(0, 2, 1, 3) for t in (q, k))
        q, k = attn.q_norm(q), attn.k_norm(k)
        if seen["rope"] is not None:
            half = attn.rotate_half
            q, k = (
                torch.cat([t[:, :, :prefix], apply_rot_embed_cat(t[:, :, prefix:], seen["rope"], half=half)], dim=2)
                for t in (q, k)
            )
        attention = (q @ k.transpose(2, 3) / (dim // heads) ** 0.5).softmax(dim=3)
        last = block % len(model.blocks) == len(model.blocks) - 1
        found["token"] = features if last else seen["token"]
        found["attention"] = attention[:, :, 0, prefix:].permute(0, 2, 1)
    return found


def close(found: Any, expected: torch.Tensor) -> None:
    difference = np.abs(found - expected.numpy()).max() / np.abs(expected.numpy()).max()
    assert difference < 2e-5, difference


@pytest.mark.parametrize("block", [-1, 1])
@pytest.mark.parametrize("facet", ["key", "query", "value", "token"])
@pytest.mark.parametrize("name", MODELS)
def test_facets_and_attention_equal_a_plain_forward(name: str, facet: str, block: int) -> None:
    model = make(name)
    images = photos(SIDE_PX, SIDE_PX)
    expected = by_hand(model, images, block)
    found = encoder(model, facet, block).encode(images)
    prefix = model.num_prefix_tokens
    assert found.features.shape == (2, 16, 24)
    close(found.features, expected[facet][:, prefix:])
    close(found.cls, expected[facet][:, 0])
    close(found.attention, expected["attention"])
    assert np.all(found.attention.sum(axis=1) < 1)  # the softmax runs over CLS and registers too


@pytest.mark.parametrize("name", ["dinov3", "dinov3 with biases"])
def test_rotary_models_on_a_photo_that_is_not_square(name: str) -> None:
    # DINOv3 has no position embedding and timm runs it on any grid: 3 x 5 patches, rows and columns kept apart.
    model = make(name)
    images = photos(24, 40)
    expected = by_hand(model, images, -1)
    for facet in ("key", "token"):
        found = encoder(model, facet).encode(images)
        assert found.features.shape == (2, 15, 24)
        close(found.features, expected[facet][:, model.num_prefix_tokens :])
        close(found.attention, expected["attention"])
    turned = encoder(model, "key").encode(np.ascontiguousarray(images.transpose(0, 2, 1, 3)))
    assert (
        np.abs(turned.attention.reshape(2, 5, 3, 3) - found.attention.reshape(2, 3, 5, 3).transpose(0, 2, 1, 3)).max()
        > 1e-3
    )


@pytest.mark.parametrize("name", ["eva02", "rotary learnt for each block", "registers with positions"])
def test_other_models_on_a_photo_that_is_not_square_equal_timm_resized(name: str) -> None:
    # timm brings these models to another size by set_input_size, with its own rule for the position embedding.
    images = photos(24, 40)
    found = encoder(make(name), "token").encode(images)
    resized = make(name)
    resized.set_input_size((24, 40))
    expected = by_hand(resized, images, -1)
    close(found.features, expected["token"][:, resized.num_prefix_tokens :])
    close(found.attention, expected["attention"])


def test_grids_may_alternate() -> None:
    one = encoder(make("dinov2 with registers"), "key")
    first, _, again = (one.encode(photos(h, w)) for h, w in ((24, 40), (40, 24), (24, 40)))
    assert np.array_equal(first.features, again.features)
    assert np.array_equal(first.attention, again.attention)


def official_dinov2(position: torch.Tensor, grid_h: int, grid_w: int, offset: float, antialias: bool) -> torch.Tensor:
    """DINOv2's interpolate_pos_encoding in own words, for the patches alone."""
    side = int(position.shape[1] ** 0.5)
    square = position.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    if offset:
        scale = {"scale_factor": ((grid_h + offset) / side, (grid_w + offset) / side)}
        out = F.interpolate(square, **scale, mode="bicubic", antialias=antialias)
    else:
        out = F.interpolate(square, size=(grid_h, grid_w), mode="bicubic", antialias=antialias)
    return out.permute(0, 2, 3, 1).reshape(1, grid_h * grid_w, -1)


@pytest.mark.parametrize(("architecture", "offset", "antialias"),
                         [("dinov2_vits14", 0.1, False), ("dinov2_vitb14_reg", 0.0, True)])  # fmt: skip
def test_dinov2_positions_follow_its_hub_entries(architecture: str, offset: float, antialias: bool) -> None:
    position = torch.randn(1, 1 + 37 * 37, 8, generator=torch.Generator().manual_seed(0))
    rule: PositionRule = position_rule(architecture)
    found = interpolate_position(position, 1, 21, 33, (37, 37), rule)
    assert torch.equal(found[:, :1], position[:, :1])
    assert torch.allclose(found[:, 1:], official_dinov2(position[:, 1:], 21, 33, offset, antialias), atol=1e-6)
    other: PositionRule = "antialias" if rule == "offset" else "offset"
    assert (found - interpolate_position(position, 1, 21, 33, (37, 37), other)).abs().max() > 0.05


def test_a_native_grid_keeps_its_positions_and_a_wrong_count_is_named() -> None:
    position = torch.randn(1, 1 + 12, 4)
    assert torch.equal(interpolate_position(position, 1, 3, 4, (3, 4), "antialias"), position)
    # 4 x 3 has as many patches and is another grid.
    assert not torch.equal(interpolate_position(position, 1, 4, 3, (3, 4), "antialias"), position)
    with pytest.raises(EncoderError, match="13 rows, expected 1 \\+ 4 x 4"):
        interpolate_position(position, 1, 3, 4, (4, 4), "offset")


def test_timm_names_take_their_publishers_rule() -> None:
    assert position_rule("vit_small_patch8_224.dino") == "offset"
    assert position_rule("vit_small_patch14_reg4_dinov2.lvd142m") == "antialias"
    assert position_rule("vit_small_patch16_224") == "antialias"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_table_tells_what_timm_builds(name: str) -> None:
    known = ARCHITECTURES[name]
    with torch.device("meta"):
        model = vit.build(name)
    assert model.patch_embed.patch_size == (known.patch_px, known.patch_px)
    assert (model.embed_dim, len(model.blocks), model.blocks[0].attn.num_heads) == (
        known.dim,
        known.blocks,
        known.heads,
    )
    assert model.num_prefix_tokens == 1 + known.registers
    # Nothing but DINOv3's rotary embedding is without a position embedding; eps decides the fifth digit.
    assert (model.pos_embed is None) == name.startswith("dinov3")
    assert model.blocks[0].norm1.eps == (1e-5 if name.startswith("dinov3") else 1e-6)
    assert model.pretrained_cfg["mean"] == (0.485, 0.456, 0.406)


def test_pixels_are_normalised_as_the_model_was_trained() -> None:
    model, images = make("dino"), photos(SIDE_PX, SIDE_PX)
    usual = encoder(model, "key").encode(images)
    model.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    halves = encoder(model, "key").encode(images)
    assert np.abs(halves.features - usual.features).max() > 0.05
    with torch.no_grad():
        patches = (torch.from_numpy(images).float().permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
        x = model._pos_embed(model.patch_embed(patches))
        for block in model.blocks[:-1]:
            x = block(x)
        expected = model.blocks[-1].attn.qkv(model.blocks[-1].norm1(x))[:, 1:, 24:48]
    close(halves.features, expected)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (partial(VisionTransformer, **SMALL, class_token=False, global_pool="avg"), "no CLS token"),
        (partial(Eva, **EVA, attn_type="rope", qkv_fused=False, num_kv_heads=1), "heads share keys"),
        (partial(Eva, **EVA, use_post_norm=True), "EvaBlockPostNorm"),
        (partial(VisionTransformer, **{**SMALL, "patch_size": (8, 4)}), "8 x 4 px, expected squares"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(model: Any, words: str) -> None:
    with pytest.raises(EncoderError, match=words):
        encoder(model(), "key")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("deit_tiny_distilled_patch16_224", "VisionTransformerDistilled"),
        ("resnet18", "kind: cnn"),
        ("no_such_model", "timm cannot build it"),
    ],
)
def test_names_that_are_no_readable_vit(name: str, words: str) -> None:
    assert issubclass(VisionTransformerDistilled, VisionTransformer)  # so a mere isinstance would let it through
    with torch.device("meta"), pytest.raises(EncoderError, match=words):
        vit.build(name)


@pytest.mark.parametrize(("facet", "projections", "mlps"), [("key", 0, 0), ("value", 0, 0), ("token", 1, 1)])
def test_only_what_the_facet_needs_of_its_block_is_computed(facet: str, projections: int, mlps: int) -> None:
    model = make("dinov2")
    calls = {"qkv": 0, "mlp": 0, "later": 0}

    def count(what: str) -> Any:
        def hook(*_: Any) -> None:
            calls[what] += 1

        return hook

    model.blocks[1].attn.qkv.register_forward_hook(count("qkv"))  # key and value take a slice of its weight
    model.blocks[1].mlp.register_forward_hook(count("mlp"))
    model.blocks[2].register_forward_hook(count("later"))
    encoder(model, facet, block=1).encode(photos(SIDE_PX, SIDE_PX))
    assert calls == {"qkv": projections, "mlp": mlps, "later": 0}
    assert not model.blocks[1].attn.k_norm._forward_hooks  # the token's hooks are gone


def test_a_batch_is_encoded_in_passes_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    one, images = encoder(make("dinov2 with registers"), "token"), photos(SIDE_PX, 40, count=5)
    whole = one.encode(images)
    monkeypatch.setattr(vit, "_CPU_TOKENS", 45)  # two photos of 20 patches a pass
    passes: list[int] = []
    one.model.blocks[0].register_forward_hook(lambda *arguments: passes.append(len(arguments[2])))
    parted = one.encode(images)
    assert passes == [2, 2, 1]
    close(parted.features, torch.from_numpy(whole.features))
    close(parted.attention, torch.from_numpy(whole.attention))
    close(parted.cls, torch.from_numpy(whole.cls))
