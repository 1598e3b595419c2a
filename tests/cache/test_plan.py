"""The layout of the cache: each patch has one place, no photo crosses a shard, parts cover all shards once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heap.cache.plan import Plan, fingerprint, plan, refuse_large
from heap.data.photos import input_size

sizes = st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=60)


def table(shapes: list[tuple[int, int]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in range(len(shapes))],
            "path": [f"i{n}.jpg" for n in range(len(shapes))],
            "split": "",
            "height_px": [h for h, _ in shapes],
            "width_px": [w for _, w in shapes],
            "content": [f"{n:x}" for n in range(len(shapes))],
        }
    )


def laid(shapes: list[tuple[int, int]], patch: int = 8) -> Plan:
    return plan(table(shapes), patch, 100, lambda h, w: (h, w))


@settings(deadline=None)  # a loaded machine is no error
@given(sizes)
def test_rows_never_overlap_and_never_cross_a_shard(shapes: list[tuple[int, int]]) -> None:
    layout = laid(shapes)
    taken = np.zeros(layout.rows, int)
    for photo in layout.images.itertuples():
        n = photo.grid_h * photo.grid_w
        assert n == -(-photo.height_px // 8) * -(-photo.width_px // 8)
        taken[photo.offset : photo.offset + n] += 1
        assert photo.offset // layout.rows_per_shard == (photo.offset + n - 1) // layout.rows_per_shard == photo.shard
        assert photo.slot // layout.slots_per_shard == photo.shard
    assert taken.max() == 1
    assert layout.images["slot"].is_unique
    assert layout.rows_per_shard % layout.rows_per_chunk == 0


@settings(deadline=None)  # a loaded machine is no error
@given(sizes, st.integers(1, 20))
def test_parts_own_each_shard_once(shapes: list[tuple[int, int]], parts: int) -> None:
    layout = laid(shapes)
    owned = [shard for number in range(1, parts + 1) for shard in layout.part(number, parts)]
    assert sorted(owned) == list(range(layout.shards))


def test_by_hand() -> None:
    layout = laid([(16, 24), (8, 8), (17, 9)])  # 2 x 3, 1 x 1, 3 x 2 patches
    assert layout.images["grid_h"].tolist() == [2, 1, 3]
    assert layout.images["grid_w"].tolist() == [3, 1, 2]
    assert layout.rows_per_chunk == 6  # the median photo
    # By grid: the 1 x 1 comes first. A shard holds 6 rows, the largest photo.
    assert layout.images["shard"].tolist() == [1, 0, 2]
    assert layout.images["offset"].tolist() == [6, 0, 12]


def test_photos_of_one_grid_stand_together_in_the_manifest_s_order() -> None:
    # 2 x 3 and 3 x 2 patches by turns; sizes that differ by less than a patch have the same grid.
    layout = laid([(16, 24), (24, 16), (15, 17), (17, 9), (16, 24)])
    assert layout.images["image_id"].tolist() == ["i0", "i1", "i2", "i3", "i4"]
    by_offset = layout.images.sort_values("offset")
    assert by_offset["image_id"].tolist() == ["i0", "i2", "i4", "i1", "i3"]
    assert by_offset["slot"].is_monotonic_increasing


def test_a_part_outside_is_refused() -> None:
    with pytest.raises(ValueError, match="part 3 of 2"):
        laid([(8, 8)]).part(3, 2)


def test_fingerprint_tells_settings_weights_photos_and_version() -> None:
    photos = table([(8, 8), (16, 16)])
    first = fingerprint({"facet": "key"}, "abc", photos, 1)
    assert first == fingerprint({"facet": "key"}, "abc", photos, 1)
    other = photos.assign(content=["0", "2"])
    assert len({
        first, fingerprint({"facet": "query"}, "abc", photos, 1), fingerprint({"facet": "key"}, "abd", photos, 1),
        fingerprint({"facet": "key"}, "abc", other, 1), fingerprint({"facet": "key"}, "abc", photos, 2),
    }) == 5  # fmt: skip


def test_photos_of_too_many_patches_are_parted_from_the_others() -> None:
    photos = table([(8, 8), (24, 40), (16, 32)])  # 1, 15 and 8 patches
    kept, refused = refuse_large(photos, 8, lambda h, w: (h, w), 8)
    assert kept["image_id"].tolist() == ["i0", "i2"]
    (said,) = refused
    assert said["image_id"] == "i1"
    assert said["reason"].startswith("i1.jpg: 24 x 40 px are 15 patches, too many for one photo (max_patches: 8)")


@settings(deadline=None)  # a loaded machine is no error
@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(1, 5000), st.sampled_from([4, 8, 14, 16]))
def test_the_max_px_that_a_refusal_proposes_is_enough(height: int, width: int, limit: int, patch: int) -> None:
    kept, refused = refuse_large(table([(height, width)]), patch, lambda h, w: (h, w), limit)
    assert len(kept) + len(refused) == 1
    if refused:
        proposed = int(refused[0]["reason"].split("set max_px: ")[1].split(",")[0])
        grid = -(-np.array(input_size(height, width, proposed)) // patch)
        assert grid.prod() <= limit
