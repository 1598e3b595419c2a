"""The ViT encoder equals the official DINO code, and refuses what is not its weights."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from timm.models.vision_transformer import VisionTransformer

from heap.encoders import vit, weights
from heap.errors import EncoderError
from heap.receipts import Weights
from heap.settings.models import VitEncoder

# What the golden README allows; a LayerNorm epsilon of 1e-5 in place of 1e-6 alone costs 5e-5.
TOLERANCE = 2e-5


def tiny(patch: int, dim: int, depth: int, heads: int) -> VisionTransformer:
    norm = partial(torch.nn.LayerNorm, eps=1e-6)
    return VisionTransformer(
        img_size=224, patch_size=patch, embed_dim=dim, depth=depth, num_heads=heads, num_classes=0, norm_layer=norm
    )


def golden_encoder(golden: Path, patch: int, facet: str = "key") -> vit.Vit:
    model = tiny(8, 48, 3, 3) if patch == 8 else tiny(16, 64, 4, 4)
    path = golden / "dino_parity" / f"dino_tiny_p{patch}.pth"
    weights.load_state(model, weights.read_state(path), str(path))
    # The architecture names the position rule; the model is the tiny one of the kit.
    settings = VitEncoder(kind="vit", architecture=f"dino_vits{patch}", weights=str(path), facet=facet)
    return vit.Vit(model, settings, Weights(source="file", file=str(path), sha256="0" * 64), "cpu")


def far(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_keys_attention_and_tokens_equal_official_dino(golden: Path) -> None:
    folder = golden / "dino_parity"
    index = json.loads((folder / "index.json").read_text())
    cases = index["cases"]
    assert cases
    for case in cases:
        name = case["file"]
        expected = np.load(folder / name)
        photo = np.asarray(Image.open(folder / case["input"]).convert("RGB"))[None]
        patch = case["patch_size"]
        found = golden_encoder(golden, patch).encode(photo)
        assert far(found.features[0], expected["keys"]) < TOLERANCE, name
        assert far(found.attention[0].T, expected["cls_attention"]) < TOLERANCE, name
        tokens = golden_encoder(golden, patch, "token").encode(photo)
        assert far(np.vstack([tokens.cls, tokens.features[0]]), expected["tokens"]) < TOLERANCE, name


def test_wrong_weights_are_listed(golden: Path, tmp_path: Path) -> None:
    state = weights.read_state(golden / "dino_parity" / "dino_tiny_p8.pth")
    del state["norm.bias"]
    state["extra"] = torch.zeros(1)
    state["cls_token"] = torch.zeros(1, 1, 47)
    with pytest.raises(EncoderError) as error:
        weights.load_state(tiny(8, 48, 3, 3), state, "some.pth")
    for part in (
        "some.pth",
        "missing: 1 (norm.bias)",
        "unexpected: 1 (extra)",
        "cls_token is (1, 1, 47), expected (1, 1, 48)",
    ):
        assert part in str(error.value)


def test_pinned_checksum_decides(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(EncoderError, match="the config pins"):
        weights.locate("dino_vits8", str(path), "0" * 64)
    assert weights.locate("dino_vits8", str(path), None).sha256 is not None


def test_block_out_of_range_tells_the_range() -> None:
    settings = VitEncoder(kind="vit", architecture="tiny", block=5)
    with pytest.raises(EncoderError, match="-3 to 2"):
        vit.Vit(tiny(8, 48, 3, 3), settings, Weights(source="random"), "cpu")


def test_sizes_of_one_grid_share_a_batch_exactly() -> None:
    encoder = vit.Vit(tiny(8, 48, 3, 3), VitEncoder(kind="vit", architecture="tiny"), Weights(source="random"), "cpu")
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((40, 56), (37, 50), (33, 49), (40, 51))]
    together = encoder.encode(photos)
    for number, photo in enumerate(photos):
        alone = encoder.encode(photo[None])
        assert far(together.features[number], alone.features[0]) < 1e-6
        assert far(together.attention[number], alone.attention[0]) < 1e-6
        assert far(together.cls[number], alone.cls[0]) < 1e-6
    with pytest.raises(ValueError, match="one grid"):
        encoder.encode([photos[0], photos[0][:32]])
