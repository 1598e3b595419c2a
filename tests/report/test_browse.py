"""The gallery's columns say what the table of clusters says."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report.page import prepared

from heap.report.browse import NO_IOU, NOBODY, browse, neighbours
from heap.report.photos import Found, gather


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    world = prepared(tmp_path_factory.mktemp("world"), ids=[f"p{i}" for i in range(12)])
    (one,) = gather([world.manifest], [world.maps], [world.folder / "c.parquet"], [world.folder / "masks/tiny.json"])
    return one


@pytest.fixture(scope="module")
def data(found: Found) -> dict[str, Any]:
    return browse(found, {"p0": 0.5, "p3": 1.0, "p4": 0.0}, 64, 10**6).data


def column(data: dict[str, Any], name: str, kind: str = "<u2") -> np.ndarray:
    return np.frombuffer(base64.b64decode(data["columns"][name]), dtype=kind)


def test_regions_stand_photo_by_photo(found: Found, data: dict[str, Any]) -> None:
    table = found.clusters.table
    assert data["photos"] == [f"p{i}" for i in range(12)]
    assert column(data, "start", "<u4").tolist() == list(range(0, 37, 3))
    assert column(data, "id", "<u4").tolist() == list(range(36))
    assert column(data, "cluster").tolist() == table["cluster"].tolist()
    assert column(data, "distance") / 65535 * 2 == pytest.approx(table["distance"], abs=2e-5)
    assert column(data, "score") / 65535 == pytest.approx(table["foreground"], abs=1e-5)
    photo = found.maps.images.set_index("image_id").loc[table["image_id"]]
    assert column(data, "area") / 65535 == pytest.approx(
        table["area_px"].to_numpy() / (photo["height_px"] * photo["width_px"]).to_numpy(), abs=1e-5
    )
    box = column(data, "box").reshape(-1, 4) / 65535 * photo[["width_px", "height_px"] * 2].to_numpy()
    assert np.rint(box).astype(int).tolist() == [list(map(int, one)) for one in table["box"]]


def test_neighbours_are_places_in_the_page(found: Found, data: dict[str, Any]) -> None:
    nearest = column(data, "nearest", "<u4").reshape(36, -1)
    assert nearest.tolist() == [list(map(int, one)) for one in found.clusters.table["nearest"]]
    cosines = column(data, "similarity").reshape(36, -1) / 65535 * 2 - 1
    assert cosines == pytest.approx(np.array(found.clusters.table["nearest_similarity"].tolist()), abs=2e-5)


def test_a_neighbour_that_is_not_in_the_page_is_left_out() -> None:
    ids = np.array([10, 20, 30], dtype=np.int64)
    places, near = neighbours(ids, [[99, 30], [10, 30], []], [[0.9, 0.5], [1.0, -1.0], []])
    assert places.tolist() == [[2, NOBODY], [0, 2], [NOBODY, NOBODY]]
    assert near.tolist() == [[49151, 0], [65535, 0], [0, 0]]


def test_photos_without_truth_have_no_iou(data: dict[str, Any]) -> None:
    iou = column(data, "iou")
    assert iou[[0, 3, 4]].tolist() == [32767, 65534, 0]
    assert (np.delete(iou, [0, 3, 4]) == NO_IOU).all()


def test_a_page_that_cannot_hold_all_thumbnails_says_so(found: Found) -> None:
    made = browse(found, {}, 64, room=1)
    assert (made.photos, made.pictured, made.regions) == (12, 0, 36)


def test_photos_that_are_gone_from_the_manifest_take_their_regions_along(tmp_path: Path) -> None:
    world = prepared(tmp_path / "w", ids=[f"p{i}" for i in range(12)])
    (one,) = gather([world.manifest], [world.maps], [world.folder / "c.parquet"], [world.folder / "masks/tiny.json"])
    shorter = replace(one, manifest=replace(one.manifest, table=one.manifest.table.drop(index=0)))
    made = browse(shorter, {}, 64, 10**6)
    assert made.data["photos"] == [f"p{i}" for i in range(1, 12)]
    assert column(made.data, "id", "<u4").tolist() == list(range(3, 36))
    nearest = column(made.data, "nearest", "<u4")
    assert nearest[nearest != NOBODY].max() < 33
