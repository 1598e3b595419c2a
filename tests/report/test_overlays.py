"""One picture a photo, with everything found in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from cluster.world import freeze
from PIL import Image
from report.page import EVIL, prepared

from heap.report import pictures
from heap.report.overlays import write_pictures


def test_every_photo_gets_its_four_panels_and_stale_ones_go(tmp_path: Path) -> None:
    world = prepared(tmp_path, ids=EVIL)
    out = tmp_path / "pictures/tiny.json"
    stale = tmp_path / "pictures/tiny/gone.jpg"
    stale.parent.mkdir(parents=True)
    stale.touch()
    frozen = freeze(tmp_path, "pictures", pictures={"longest_px": 64})
    write_pictures(frozen, world.manifest, world.maps, tmp_path / "c.parquet", tmp_path / "masks/tiny.json", out)
    assert (out.parent / ".tiny.lock").is_file()  # held meanwhile
    files = {path.relative_to(stale.parent).as_posix() for path in stale.parent.rglob("*.jpg")}
    assert files == {f"{name}.jpg" for name in EVIL}
    told = json.loads(out.read_text())
    assert (told["images"], told["longest_px"], told["encoder"]) == (18, 64, "descriptors")
    # The first photo, 64 x 80: its object are 4 x 4 of 8 x 10 patches, from patch (2, 1).
    sheet = np.asarray(Image.open(stale.parent / f"{EVIL[0]}.jpg")).astype(int)
    height, width = (sheet.shape[0] - 8) // 2, (sheet.shape[1] - 8) // 2
    assert (height, width) == (51, 64)
    y, x = int(4 / 8 * height), int(3 / 10 * width)
    photo, saliency = sheet[y, x], sheet[y, width + 8 + x]
    regions, objects = sheet[height + 8 + y, x], sheet[height + 8 + y, width + 8 + x]
    assert np.abs(photo - (200, 60, 50)).max() < 40
    assert saliency[0] > 200 > 100 > saliency[2]  # the bright end of the scale
    colour = pictures.palette(3)[_cluster_of_first(tmp_path)].astype(int)
    assert np.abs(regions - (0.65 * colour + 0.35 * photo.mean())).max() < 30
    assert np.abs(objects - (0.75 * photo + 0.25 * colour)).max() < 30
    outside = sheet[height + 8 + height - 4, width + 8 + width - 4]
    assert outside.mean() < 0.65 * sheet[height - 4, width - 4].mean()


def _cluster_of_first(folder: Path) -> int:
    coco = json.loads((folder / "masks/tiny.json").read_text())
    return next(one["category_id"] - 1 for one in coco["annotations"] if one["image_id"] == 1)
