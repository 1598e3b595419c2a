"""Cached equals uncached: what the head says of cached features is what it says of the live encoder's.

A cached value is the live one rounded to float16, so it lies within half a unit in the last place: 2^-11 of its size,
or 2^-25 where it is subnormal. To first order an output of the head then moves by at most the sum, over all values of
the photo, of |derivative| times that. No output may move further; 10 % are added for the second order.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_cache import Tiny

from heap.data.photos import read_photo
from heap.encoders.open import open_encoder
from heap.encoders.weights import read_weights
from heap.head.batches import collate, make_sample, sample_of
from heap.head.model import Head
from heap.settings.models import HeadSettings

PHOTOS = 4


def head_for(dim: int, mean: np.ndarray) -> Head:
    torch.manual_seed(0)
    head = Head(dim, HeadSettings(num_groups=6, temperature=0.07))
    head.mean.copy_(torch.from_numpy(mean))
    return head.eval()


@pytest.mark.parametrize("encoder", ["descriptors", "test_vit.r160_in1k"])
def test_the_heads_output_from_the_cache_is_that_on_the_live_encoder(tmp_path: Path, encoder: str) -> None:
    tiny = Tiny(tmp_path / "tiny", photos=PHOTOS, encoder=encoder)
    reader = tiny.make()
    name = tiny.config.encoder_of("photos")
    live = open_encoder(tiny.config.encoders[name], read_weights(tiny.folder / "weights.json"), "cpu")
    head = head_for(reader.dim, np.concatenate([reader.features(i) for i in range(PHOTOS)]).mean(axis=0))
    largest = 0.0
    for i in range(PHOTOS):
        row = reader.images.iloc[i]
        encoded = live.encode(read_photo(tiny.photos / row["path"])[None])
        features, attention = encoded.features[0], encoded.attention[0]

        np.testing.assert_array_equal(reader.features(i), features.astype(np.float16).astype(np.float32))
        np.testing.assert_array_equal(reader.attention(i), attention)
        grid = (int(row["grid_h"]), int(row["grid_w"]))
        rounded = make_sample(features.astype(np.float16), attention, grid, "no_seed", i)
        a, b = collate([sample_of(reader, i, "no_seed")]), collate([rounded])
        with torch.inference_mode():
            cached, exact = head(a.features, a.mask), head(b.features, b.mask)
        assert torch.equal(cached.foreground, exact.foreground), "bit for bit, as group runs it"
        assert torch.equal(cached.regions, exact.regions)

        # In float64, so that the head's own rounding does not hide the cache's.
        double = head_for(reader.dim, head.mean.numpy()).double()
        mask = torch.ones(1, len(features), dtype=torch.bool)
        x = torch.from_numpy(features).double()[None].requires_grad_()
        shifted = torch.from_numpy(reader.features(i)).double()[None]
        unit = torch.clamp(x.detach().abs() * 2**-11, min=2**-25)
        assert (shifted - x.detach()).abs().le(unit).all()
        before, after = double(x, mask), double(shifted, mask)
        for of in ("foreground", "score", "mass"):
            values, changed = getattr(before, of)[0], getattr(after, of)[0]
            for value, other in zip(values, changed, strict=True):
                (slope,) = torch.autograd.grad(value, x, retain_graph=True)
                bound = (slope.abs() * unit).sum().item()
                assert abs(value.item() - other.item()) <= 1.1 * bound + 1e-12
                if of == "foreground":
                    largest = max(largest, abs(value.item() - other.item()))
    print(f"{encoder}: a patch's foreground probability moves by {largest:.2g} at most")
    assert 0 < largest < 1e-3
