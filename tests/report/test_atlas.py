"""Sheets of thumbnails and region maps: each photo in its cell, within the room there is."""

from __future__ import annotations

import base64
import io
from functools import partial

import numpy as np
import pytest
from cluster.world import COLOURS, GROUND, OBJECT, SKY, World, make
from PIL import Image

from heap.cache.maps import MapReader
from heap.report.atlas import LEAST_PX, MAP_CELLS, NO_REGION, Entry, Layout, Sheet, layout_for, sheets


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make(tmp_path_factory.mktemp("world"), ids=[f"p{i}" for i in range(5)])


def entries(world: World, tokens: tuple[int, ...] = (GROUND, SKY, OBJECT)) -> list[Entry]:
    return [Entry(i, world.folder / f"files/{i}.png", tokens) for i in range(len(world.ids))]


def pixels(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def made(world: World, room: int, layout: Layout) -> list[Sheet]:
    return sheets(entries(world), partial(MapReader, world.maps), layout, room, "thumbnails of tiny")


def test_thumbnails_shrink_with_the_photos_and_stop_at_the_least() -> None:
    assert layout_for(100, 32_000_000, 256).side_px == 256
    # 32 MB / 20,000 photos are 1,200 bytes after base64: 4,800 pixels, 80 x 60.
    assert layout_for(20_000, 32_000_000, 256).side_px == 80
    assert layout_for(10**6, 32_000_000, 256).side_px == LEAST_PX
    assert layout_for(0, 32_000_000, 256).side_px == 256
    assert [layout_for(1, 10**9, side).per_row for side in (64, 128, 200, 1024)] == [8, 4, 2, 1]


def test_each_photo_stands_in_its_cell(world: World) -> None:
    layout = Layout(64, 2)
    first, second = made(world, 10**7, layout)
    assert [len(sheet.sizes) for sheet in (first, second)] == [4, 1]
    sheet = pixels(first.thumbnails)
    assert sheet.shape == (128, 128, 3)
    for number in range(4):
        y, x = divmod(number, 2)
        width, height, map_w, map_h = first.sizes[number]
        assert max(width, height) == 64
        cells = pixels(first.maps)[y * MAP_CELLS :, x * MAP_CELLS :][:map_h, :map_w]
        # The planted object, in the order in which its token was listed, where the mask has it.
        mask = Image.fromarray(world.masks[number]).resize((map_w, map_h), Image.Resampling.NEAREST)
        assert np.array_equal(cells == 2, np.asarray(mask))
        thumbnail = sheet[y * 64 :, x * 64 :][:height, :width]
        inside = np.asarray(Image.fromarray(world.masks[number]).resize((width, height), Image.Resampling.NEAREST))
        assert np.abs(thumbnail[inside].mean(axis=0) - COLOURS[number % 3]).max() < 25


def test_a_region_that_is_not_listed_has_no_number(world: World) -> None:
    (sheet,) = sheets(entries(world, (OBJECT,)), partial(MapReader, world.maps), Layout(64, 8), 10**7, "thumbnails")
    assert set(np.unique(pixels(sheet.maps))) == {0, NO_REGION}


def test_once_the_room_is_full_only_maps_follow(world: World) -> None:
    layout = Layout(64, 1)
    every = made(world, 10**7, layout)
    room = sum(len(sheet.thumbnails) + len(sheet.maps) for sheet in every[:3])
    kept = made(world, room, layout)
    assert [bool(sheet.thumbnails) for sheet in kept] == [True, True, True, False, False]
    assert [sheet.maps for sheet in kept] == [sheet.maps for sheet in every]


def test_workers_make_the_same_sheets(world: World) -> None:
    alone, together = (
        sheets(entries(world), partial(MapReader, world.maps), Layout(64, 2), 10**7, "thumbnails", workers)
        for workers in (1, 2)
    )
    assert together == alone
