"""Make the pictures of README and docs: the demo's first six test scenes, and photos of scikit-image.

make demo && .venv/bin/python docs/picture.py
.venv/bin/python docs/picture.py MODEL          # a model trained on photos: docs/photos.jpg too
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

import heap
from heap import paths
from heap.cache.maps import MapReader
from heap.data import manifest
from heap.data.photos import read_photo
from heap.report.pictures import heat, overlay

HERE = Path(__file__).parent
SCENES, SCENE_SHARE, PHOTO_PX = 6, 5 / 8, 240
# All its colour photographs with a stated free licence: NASA, SpaceX (public domain), van der Walt, Michetti (CC0).
FREE = ("astronaut", "chelsea", "coffee", "rocket")


def save(picture: Image.Image, name: str) -> None:
    """Write a picture next to this file."""
    picture.save(HERE / name, quality=88, optimize=True)


def demo() -> None:
    """Write demo.jpg: photo, saliency, found."""
    scenes = manifest.read(paths.manifest("scenes"))
    maps = MapReader(paths.maps("heap", "scenes"))
    columns = []
    for i in np.flatnonzero(maps.images["split"] == "val")[:SCENES]:
        row = maps.images.iloc[i]
        photo = read_photo(scenes.root / row["path"])
        soft = maps.grid(i).saliency(maps.foreground(i))
        columns.append(np.vstack([photo, heat(soft), overlay(photo, soft > 0.5)]))
    picture = Image.fromarray(np.hstack(columns))
    size = (round(picture.width * SCENE_SHARE), round(picture.height * SCENE_SHARE))
    save(picture.resize(size, Image.Resampling.LANCZOS), "demo.jpg")


def photos(model: str) -> None:
    """Write photos.jpg: each photo above what was found in it."""
    trained, columns = heap.load(model), []
    for name in FREE:
        photo = getattr(data, name)()
        found = np.asarray(trained.discover(photo).picture())
        size = (round(PHOTO_PX * photo.shape[1] / photo.shape[0]), PHOTO_PX)
        both = [np.asarray(Image.fromarray(one).resize(size, Image.Resampling.LANCZOS)) for one in (photo, found)]
        columns.append(np.vstack(both))
    save(Image.fromarray(np.hstack(columns)), "photos.jpg")


if __name__ == "__main__":
    if Path(paths.maps("heap", "scenes")).is_file():
        demo()
    for asked in sys.argv[1:]:
        photos(asked)
