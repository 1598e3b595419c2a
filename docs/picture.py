"""Make the README's picture from the demo's results: the first six test scenes, none chosen.

make demo && .venv/bin/python docs/picture.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from heap import paths
from heap.cache.maps import MapReader
from heap.data import manifest
from heap.data.photos import read_photo
from heap.report.pictures import heat, overlay

SCENES = 6


def main() -> None:
    """Write docs/demo.jpg: photo, saliency, found."""
    scenes = manifest.read(paths.manifest("scenes"))
    maps = MapReader(paths.maps("heap", "scenes"))
    columns = []
    for i in np.flatnonzero(maps.images["image_id"].isin(scenes.rows("val")["image_id"]))[:SCENES]:
        row = maps.images.iloc[i]
        photo = read_photo(scenes.root / row["path"])
        soft = maps.grid(i).saliency(maps.foreground(i))
        columns.append(np.vstack([photo, heat(soft), overlay(photo, soft > 0.5)]))
    picture = Image.fromarray(np.hstack(columns))
    picture.resize((picture.width * 5 // 8, picture.height * 5 // 8), Image.Resampling.LANCZOS).save(
        Path(__file__).with_name("demo.jpg"), quality=88, optimize=True
    )


if __name__ == "__main__":
    main()
