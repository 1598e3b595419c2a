"""The picture of a search: the photo with the regions asked for, and next to it the nearest regions in their photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from heap.data.photos import read_photo
from heap.discover.picture import colour_of, outline
from heap.discover.result import Discovery, Region
from heap.discover.search import Collection
from heap.errors import DataError
from heap.files import atomic_path
from heap.report import pictures

TILE_PX = 240
COLUMNS = 4
GAP_PX = 8
CAPTION_PX = 34
FONT_PX = 13
PAPER, INK = (255, 255, 255), (40, 40, 40)
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def draw(
    path: Path, found: Discovery, queries: Sequence[Region], hits: pd.DataFrame, searched: Sequence[Collection]
) -> None:
    """Write the picture of a search.

    A query region and the hits that are most like it are outlined in one colour.

    Args:
        path: .png, .jpg or .webp.
        found: the photo searched with.
        queries: its regions that were asked for.
        hits: what `nearest` returned.
        searched: the collections.

    Raises:
        DataError: another suffix, or a hit's photo or map is not where the collection says.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: expected one of {', '.join(SUFFIXES)}")
    colours = {region.token: colour_of(row) for region, row in
               zip(queries, pictures.palette(len(queries)), strict=True)}  # fmt: skip
    by_name = {one.name: one for one in searched}
    tiles = [_query_tile(found, queries, colours)]
    captions = [f"searched with\n{Path(found.name).name}"]
    for _, hit in hits.iterrows():
        tiles.append(_hit_tile(by_name[hit["collection"]], hit, colours[hit["query"]]))
        captions.append(f"{hit['rank']}  cosine {hit['similarity']:.2f}  cluster {hit['cluster']}\n{hit['photo']}")
    with atomic_path(path) as temporary:
        sheet(tiles, captions).save(temporary)


def _query_tile(found: Discovery, queries: Sequence[Region], colours: dict[int, pictures.Colour]) -> pictures.Pixels:
    photo = found.photo.read(TILE_PX)
    masks = [pictures.resized(found.region_mask(region), photo.shape[:2]) for region in queries]
    tile = pictures.spotlight(photo, np.any(masks, axis=0), PAPER)
    for region, mask in zip(queries, masks, strict=True):
        tile[outline(mask)] = colours[region.token]
    return tile


def _hit_tile(collection: Collection, hit: pd.Series, colour: pictures.Colour) -> pictures.Pixels:
    maps = collection.maps_of[hit["dataset"]]
    image_id = str(hit["photo"])
    row = np.flatnonzero(maps.images["image_id"] == image_id)
    if not hit["file"] or len(row) != 1:
        raise DataError(f"{collection.name}: photo {image_id!r} of the clusters is not in its manifest and maps; "
                        "run snakemake again")  # fmt: skip
    photo = read_photo(Path(hit["file"]), max_px=TILE_PX)
    shown = maps.grid(int(row[0])).at((photo.shape[0], photo.shape[1]))
    mask = shown.enlarge(maps.region(int(row[0]))) == hit["token"]
    tile = pictures.spotlight(photo, mask, colour)
    tile[outline(mask)] = colour
    return tile


def sheet(tiles: Sequence[pictures.Pixels], captions: Sequence[str]) -> Image.Image:
    """Return pictures of at most `TILE_PX` in rows of `COLUMNS`, each with two lines of caption below it."""
    columns = min(COLUMNS, len(tiles))
    step_x, step_y = TILE_PX + GAP_PX, TILE_PX + CAPTION_PX + GAP_PX
    rows = -(-len(tiles) // columns)
    page = Image.new("RGB", (columns * step_x + GAP_PX, rows * step_y + GAP_PX), PAPER)
    pen = ImageDraw.Draw(page)
    # Matplotlib's own DejaVu Sans: Pillow's built-in font has no letters beyond ASCII, and photos' names do.
    font = ImageFont.truetype(Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf", FONT_PX)
    for number, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        x, y = GAP_PX + number % columns * step_x, GAP_PX + number // columns * step_y
        height, width = tile.shape[:2]
        page.paste(Image.fromarray(tile), (x + (TILE_PX - width) // 2, y + TILE_PX - height))  # right above its caption
        lines = [_fitted(pen, line, font) for line in caption.split("\n")]
        pen.multiline_text((x, y + TILE_PX + 2), "\n".join(lines), fill=INK, font=font, spacing=2)
    return page


def _fitted(pen: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont) -> str:
    """Return a text that is no wider than a tile; of a long path its end is kept, which tells photos apart."""
    if pen.textlength(text, font=font) <= TILE_PX:
        return text
    while text and pen.textlength("..." + text, font=font) > TILE_PX:
        text = text[1:]
    return "..." + text
