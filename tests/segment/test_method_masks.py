"""A baseline's masks: one PNG a photo where its map is foreground, nothing else in the folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cluster.world import freeze, make
from PIL import Image

from heap.cache.maps import MapReader
from heap.grid import PatchGrid
from heap.segment.method_masks import method_masks
from heap.settings.stages import SegmentSettings


@pytest.mark.parametrize("workers", [1, 2])
def test_masks_are_the_upsampled_maps_above_the_threshold(tmp_path: Path, workers: int) -> None:
    world = make(tmp_path, ids=["plain", "deep/er/<b>", "$(touch x)", "-rf"])
    frozen = freeze(tmp_path, "segment", segment=SegmentSettings(threshold=0.6).model_dump(mode="json"))
    out = tmp_path / "masks/tokencut/tiny.json"
    stale = tmp_path / "masks/tokencut/tiny/of an earlier run.png"
    stale.parent.mkdir(parents=True)
    stale.touch()
    method_masks(frozen, world.maps, out, workers)
    maps = MapReader(world.maps)
    empty = 0
    for i, row in enumerate(maps.images.itertuples()):
        mask = np.asarray(Image.open(tmp_path / "masks/tokencut/tiny" / f"{row.image_id}.png"))
        input_hw, photo_hw = (row.input_h_px, row.input_w_px), (row.height_px, row.width_px)
        soft = PatchGrid(photo_hw, input_hw, maps.receipt.patch_px).saliency(maps.foreground(i))
        np.testing.assert_array_equal(mask, np.where(soft > 0.6, 255, 0))
        empty += not mask.any()
    assert not stale.exists()
    assert not list(tmp_path.rglob("progress*"))
    receipt = json.loads(out.read_text())
    assert receipt["images"] == 4
    assert receipt["empty_masks"] == empty
    assert receipt["method"] == maps.receipt.method
    assert receipt["threshold"] == 0.6
