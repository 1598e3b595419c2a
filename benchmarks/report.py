"""Size of the report page and how soon it can be used, with thousands of photos, in headless Chromium.

    python benchmarks/report.py                                # 1,000, 5,000 and 20,000 photos
    python benchmarks/report.py --photos 20000 --keep /tmp/page.html

The photos are real files (shared/data/ecssd, or --from) under as many names as are asked for; regions, clusters and
neighbours are drawn at random (eight regions a photo of 28 x 37 patches, 40 clusters). The page has no chosen photos
and no crops: those do not grow with the dataset (60 photos: 2 MB).
`build_cpu_s` is this process with its children. In the browser, from the disk: `interactive_s` from the start of the
navigation until the page's script has run; `cluster_s`, `next_s`, `region_s`: from the wish until the last picture is
drawn; `search_s`: typing a name over all regions; `heap_mb`: JavaScript's memory after that.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from measuring import PHOTOS, photo_files, show

from heap.cache.maps import MapReader, write_maps
from heap.cache.reader import FeatureReceipt
from heap.cluster.table import Clusters
from heap.data.manifest import Manifest
from heap.data.photos import photo_size
from heap.receipts import Weights
from heap.report.browse import browse
from heap.report.photos import Found
from heap.report.stage import Section, render
from heap.settings.stages import ReportSettings

REGIONS, CLUSTERS, NEIGHBOURS, GRID, PATCH_PX = 8, 20, 5, (28, 37), 8


def planted(folder: Path, files: list[Path], count: int) -> Found:
    """Return a dataset of `count` photos with regions in blocks, and clusters and neighbours at random."""
    rng = np.random.default_rng(0)
    sizes = [photo_size(path) for path in files]
    names = [f"collection/photo_{number:06d}.jpg" for number in range(count)]
    of = [number % len(files) for number in range(count)]
    height, width = (np.array([sizes[i][side] for i in of]) for side in (0, 1))
    images = pd.DataFrame(
        {
            "image_id": names, "split": "", "height_px": height, "width_px": width, "input_h_px": GRID[0] * PATCH_PX,
            "input_w_px": GRID[1] * PATCH_PX, "grid_h": GRID[0], "grid_w": GRID[1],
        }
    )  # fmt: skip

    def maps() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        y, x = np.mgrid[: GRID[0], : GRID[1]]
        for _ in range(count):
            centres = rng.random((REGIONS, 2)) * GRID
            nearest = np.hypot(y[..., None] - centres[:, 0], x[..., None] - centres[:, 1]).argmin(-1)
            yield np.full(y.size, 0.5, np.float32), nearest.ravel().astype(np.int16)

    receipt = FeatureReceipt.model_construct(
        dataset="planted", encoder="none", patch_px=PATCH_PX, attention_kind="cls", skipped=[],
        weights=Weights(source="random"), fingerprint="0",
    )  # fmt: skip
    path = folder / "maps/planted.json"
    write_maps(path, SimpleNamespace(receipt=receipt, images=images), "heap", maps(), {"model": "none"})  # type: ignore[arg-type]
    total = count * REGIONS
    photo = np.repeat(np.arange(count), REGIONS)
    cluster = rng.integers(0, 2 * CLUSTERS, total)
    corners = np.sort(rng.random((total, 2, 2)), axis=1).reshape(total, 4)
    table = pd.DataFrame(
        {
            "region_id": np.arange(total), "image_id": np.array(names, dtype=object)[photo],
            "token": np.tile(np.arange(REGIONS), count), "area_px": height[photo] * width[photo] // REGIONS,
            "box": list((corners * np.stack([width, height, width, height], -1)[photo]).astype(int)),
            "foreground": np.where(cluster < CLUSTERS, 0.9, 0.1), "cluster": cluster, "distance": rng.random(total),
            "nearest": list(rng.integers(0, total, (total, NEIGHBOURS))),
            "nearest_similarity": list(np.sort(rng.random((total, NEIGHBOURS)))[:, ::-1]),
        }
    )  # fmt: skip
    rows = pd.DataFrame(
        {
            "image_id": names, "path": [str(files[i].resolve()) for i in of], "height_px": height, "width_px": width,
            "split": "", "mask_path": None, "class_mask_path": None, "boxes": None, "crowd_boxes": None,
        },
        dtype=object,
    )  # fmt: skip
    info = {"dataset": "planted", "root": "/"}
    clusters = Clusters(table, np.zeros((0, 0), np.float32), {"k": {"foreground": CLUSTERS, "background": CLUSTERS}})
    return Found(Manifest(rows, info), MapReader(path), partial(MapReader, path), clusters, folder / "none", {})


def page_of(found: Found, room: int) -> tuple[str, dict[str, Any]]:
    """Return the page of a dataset, and what is in it."""
    ious = dict(zip(found.row_of, np.random.default_rng(1).random(len(found.maps)), strict=True))
    made = browse(found, ious, ReportSettings().thumbnail_px, room)
    section = Section(
        name=found.name, photos=made.photos, ranked_by="mask", has_boxes=False, cards=[], clusters=[],
        all_clusters=CLUSTERS, colours=[], browser=made, made=[], warnings=[], left_out=[],
    )  # fmt: skip
    page = render(
        name="planted", version="", encoders=[], tables=[], histories=[], sections=[section], warnings=[], about=""
    )
    return page, {"thumbnail_px": made.data["layout"]["side"], "pictured": made.pictured, "regions": made.regions}


# Resolves with the seconds until every canvas of the view that was asked for is drawn.
DRAWN = """
const [wish, done] = arguments, start = performance.now();
const look = () => {
  const all = Array.from(document.querySelectorAll("#gallery canvas")).filter((one) => one.checkVisibility());
  if (all.length && all.every((one) => one.dataset.drawn)) done((performance.now() - start) / 1000);
  else requestAnimationFrame(look);
};
for (const one of document.querySelectorAll("#gallery canvas")) one.remove();
location.hash = wish;
addEventListener("hashchange", look, { once: true });
"""
SEARCH = """
const start = performance.now(), one = document.querySelector("#gallery form").elements.text;
one.value = "_0019"; one.dispatchEvent(new Event("input", { bubbles: true }));
return (performance.now() - start) / 1000;
"""


def in_browser(path: Path) -> dict[str, float]:
    """Return how soon the page and its views are there."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        driver.set_script_timeout(120)
        driver.get(path.as_uri())
        assert driver.execute_script("return document.documentElement.classList.contains('ready')")
        interactive = driver.execute_script(
            "return performance.getEntriesByType('navigation')[0].domInteractive / 1000"
        )
        wishes = {
            "cluster_s": "#planted/cluster-3",
            "next_s": "#planted/cluster-3?page=2",
            "region_s": "#planted/region-77",
        }
        times = {name: driver.execute_async_script(DRAWN, wish) for name, wish in wishes.items()}
        driver.execute_async_script(DRAWN, "#planted/regions")
        search = driver.execute_script(SEARCH)
        heap = driver.execute_script("return performance.memory.usedJSHeapSize / 1e6")
        return {"interactive_s": interactive, **times, "search_s": search, "heap_mb": heap}
    finally:
        driver.quit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, nargs="+", default=[1000, 5000, 20000])
    parser.add_argument("--from", dest="source", type=Path, default=PHOTOS, help="Folder of photos.")
    parser.add_argument("--gallery-mb", type=float, default=ReportSettings().gallery_mb)
    parser.add_argument("--keep", type=Path, help="Write the last page here.")
    parser.add_argument("--out", type=Path, help="CSV.")
    arguments = parser.parse_args()
    files = photo_files(arguments.source, 300)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in arguments.photos:
            found = planted(Path(folder) / str(count), files, count)
            begun = sum(os.times()[:4])
            page, inside = page_of(found, int(1e6 * arguments.gallery_mb))
            built = sum(os.times()[:4]) - begun
            path = Path(folder) / f"{count}.html"
            path.write_text(page, encoding="utf-8")
            time.sleep(1)  # so that the disk is done before the browser begins
            row = {"photos": count, "page_mb": path.stat().st_size / 1e6, **inside, "build_cpu_s": built}
            rows.append({**row, **in_browser(path)})
            if arguments.keep:
                shutil.copy(path, arguments.keep)
    show(f"report page, {len(files)} files under other names", rows, arguments.out)


if __name__ == "__main__":
    main()
