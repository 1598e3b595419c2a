"""The gallery: for each foreground cluster its most typical regions, cut out of their photos."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from heap.cluster.table import FOREGROUND
from heap.data.photos import read_photo
from heap.evaluate.truth import photos_of
from heap.report import pictures
from heap.report.photos import Found, Picture, picture

CROPS = 12
# Clusters shown, the largest first: with k = 500 the page would hold nothing but crops.
CLUSTERS = 40
CROP_PX = 112
# Photos are read at this size before cropping: a region a sixth of it wide still fills its crop.
READ_PX = 640
# Clusters of so many regions or fewer are folded away, where there are larger ones.
FOLDED = 2
MARGIN = 0.12  # of the box, so that the region's surroundings can be seen


@dataclass(frozen=True)
class ClusterCard:
    """One cluster of the page.

    Attributes:
        number: of the cluster.
        colour: CSS colour.
        regions: how many it has.
        photos: in how many photos.
        crops: its most typical regions, each with its region_id.
        folded: whether it is shown only when asked for: one or two regions are seldom a kind of object.
    """

    number: int
    colour: str
    regions: int
    photos: int
    crops: list[tuple[int, Picture]]
    folded: bool


def css(colour: npt.NDArray[np.uint8]) -> str:
    """Return a colour as CSS."""
    return "rgb({} {} {})".format(*(int(value) for value in colour))


def typical(regions: pd.DataFrame, count: int = CROPS) -> pd.DataFrame:
    """Return the regions nearest to their cluster's centroid, as many photos among them as there are.

    Args:
        regions: of one cluster, rows of the table of clusters.
        count: how many.
    """
    visible = regions[regions["area_px"] > 0].sort_values(["distance", "region_id"])
    again = visible["image_id"].duplicated()
    return pd.concat([visible[~again], visible[again]]).head(count)


def cluster_cards(found: Found, colours: npt.NDArray[np.uint8]) -> list[ClusterCard]:
    """Return the foreground clusters of a dataset, the largest first; empty ones are left out."""
    table = found.clusters.table
    foreground = table[table["kind"] == FOREGROUND]
    files = {photo.image_id: photo.path for photo in photos_of(found.manifest.table, found.manifest.root)}
    cards = []
    for number, regions in list(foreground.groupby("cluster"))[:CLUSTERS]:
        cluster = int(str(number))
        known = regions[regions["image_id"].isin(files.keys() & found.row_of.keys())]
        crops = [
            (
                int(row["region_id"]),
                picture("", f"Region of {row['image_id']}", crop(found, row, files[row["image_id"]], colours[cluster])),
            )
            for _, row in typical(known).iterrows()
        ]
        photos = int(regions["image_id"].nunique())
        cards.append(ClusterCard(cluster, css(colours[cluster]), len(regions), photos, crops, len(regions) <= FOLDED))
    if all(one.folded for one in cards):  # then there is nothing else to show
        cards = [replace(one, folded=False) for one in cards]
    return cards


def crop(found: Found, region: pd.Series, path: str, colour: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a region cut out of its photo by its box and set off from its surroundings.

    Args:
        found: its dataset.
        region: its row in the table of clusters.
        path: of its photo, below the dataset's root.
        colour: of its outline.
    """
    row, grid = found.place(str(region["image_id"]))
    height, width = grid.photo_hw
    photo = read_photo(found.manifest.root / path, max_px=READ_PX)
    small = (photo.shape[0], photo.shape[1])
    mask = grid.at(small).enlarge((found.maps.region(row) == region["token"]).astype(np.uint8))
    x1, y1, x2, y2 = (float(side) for side in region["box"])
    margin = MARGIN * max(x2 - x1, y2 - y1)
    rows = _range((y1 - margin) * small[0] / height, (y2 + margin) * small[0] / height, small[0])
    columns = _range((x1 - margin) * small[1] / width, (x2 + margin) * small[1] / width, small[1])
    # Shrunk before the outline is drawn, which would fade otherwise.
    cut = pictures.shrink(photo[rows, columns], CROP_PX)
    cut_mask = pictures.shrink(mask[rows, columns], CROP_PX, nearest=True) > 0
    red, green, blue = (int(value) for value in colour)
    return pictures.spotlight(cut, cut_mask, (red, green, blue))


def _range(first: float, last: float, size: int) -> slice:
    """Return whole pixels from `first` to `last`, within the photo and at least one."""
    start = min(max(0, int(first)), size - 1)
    return slice(start, max(start + 1, min(size, int(np.ceil(last)))))
