"""Project core-hours, memory and bytes of many photos from what scale.py measured.

    python benchmarks/projection.py    # docs/explanation/scale_fit.csv and docs/explanation/scale_bytes.csv
    python benchmarks/projection.py --measured scale.csv --encode-s 0.43 --feature-kb 602

The photos are taken to be 224 x 224 px, encoded by ViT-S/8: 4.08 times the patches and the pixels of the scenes that
were measured, and 384 values a patch instead of 96. What a stage takes grows with patches, pixels or patches x values;
the factors are at `GROWS`. Encoding and the bytes of its features are measured on ViT-S/8 itself and given as options.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import pandas as pd
from measuring import show

REPOSITORY = Path(__file__).resolve().parents[1]
PHOTOS = {"ImageNet": 1_281_167, "a billion": 1_000_000_000}
PATCHES = 784 / 192  # also pixels: 224 x 224 against 96 x 128
VALUES = 384 / 96
# Stages whose work is per photo, and how much more of it a photo of 224 px is. Training takes a fixed number of steps;
# smoothing, in group, compares patches with patches.
GROWS = {"manifest": 1.0, "group": PATCHES**2 * VALUES, "cluster": 1.0, "segment": PATCHES, "evaluate": PATCHES}
# First attempts' mem_mb in workflow/rules.
ASKED_MB = {
    "manifest": 2000, "extract": 8000, "train": 16000, "group": 8000, "cluster": 8000, "segment": 8000,
    "evaluate": 8000, "report": 8000,
}  # fmt: skip
# Regions a photo (scenes, 16 tokens), and pairs of vectors of 384 values a core compares in a second: 50,000 with each
# other took two cores 30 s (heap/cluster/index.py).
REGIONS = 7.8
PAIRS_PER_S = 50_000**2 / 60
# Cells looked into for a recall of .95: 4 at a million regions of varied kinds (clustering.py --million). It hangs on
# the features: of directions without kinds, nearly all.
SEARCHED = 4
# Snakemake's own process is this large and hides what a smaller job takes.
HIDDEN_MB = 205
# Embeddings of 384 values in place of 96, in memory so many times: group makes them, cluster has table and index.
EMBEDDINGS = {"group": 1, "cluster": 2}


def search_s(photos: int) -> float:
    """Core-seconds of the inverted file of 2 sqrt(n) cells: training, adding and searching all its n regions.

    Training takes six steps over 64 vectors a cell; adding compares a region with every cell, searching with every cell
    and with those in the cells that are looked into.
    """
    n = REGIONS * photos
    cells = 2 * math.sqrt(n)
    return (6 * 64 * cells**2 + n * (2 * cells + SEARCHED * n / cells)) / PAIRS_PER_S


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--measured", type=Path, default=REPOSITORY / "docs/explanation/scale.csv", help="what scale.py wrote"
    )
    parser.add_argument("--encode-s", type=float, default=0.43, help="core-seconds of a photo, pipeline.py --cpu-time")
    parser.add_argument("--feature-kb", type=float, default=602, help="kB of a photo's features, codecs.py")
    asked = parser.parse_args()
    measured = asked.measured
    fit = pd.read_csv(measured.with_name(f"{measured.stem}_fit.csv")).set_index("stage")
    sizes = pd.read_csv(measured.with_name(f"{measured.stem}_bytes.csv")).iloc[0]
    most = int(pd.read_csv(measured)["photos"].max())

    hours: list[dict[str, Any]] = [
        {"stage": "extract", **{name: asked.encode_s * n / 3600 for name, n in PHOTOS.items()}}
    ]
    for stage, grows in GROWS.items():
        a_photo_s = grows * fit.loc[stage, "ms a photo"] / 1000
        hours.append({"stage": stage, **{name: a_photo_s * n / 3600 for name, n in PHOTOS.items()}})
    hours.append({"stage": "cluster: nearest regions", **{name: search_s(n) / 3600 for name, n in PHOTOS.items()}})
    show("core-hours", hours, None)

    memory: list[dict[str, Any]] = []
    for stage, asked_mb in ASKED_MB.items():
        peak_mb, a_photo_kb = fit.loc[stage, "MB"], fit.loc[stage, "kB a photo"]
        if peak_mb < HIDDEN_MB:
            continue
        a_photo_kb += EMBEDDINGS.get(stage, 0) * REGIONS * 4 * (384 - 96) / 1000
        beyond = {name: (peak_mb + a_photo_kb * (n - most) / 1000) / 1000 for name, n in PHOTOS.items()}
        full = most + (asked_mb - peak_mb) / a_photo_kb * 1000
        memory.append({"stage": stage, "kB a photo": a_photo_kb, "mem_mb": asked_mb, "enough for": full, **beyond})
    show("memory: photos for which a first attempt has enough, and GB needed", memory, None)

    kb = {
        "features": asked.feature_kb,
        "maps of one method": sizes["maps of one method"] * PATCHES / 1000,
        "regions": (sizes["regions"] + REGIONS * 4 * (384 - 96)) / 1000,
        # The small index measured holds float32; one of so many regions holds float16.
        "clusters and index": (sizes["clusters"] + REGIONS * (2 * 384 - 4 * 96)) / 1000,
        "masks (PNG)": sizes["masks (PNG)"] * PATCHES / 1000,
        "masks (COCO JSON)": sizes["masks (COCO JSON)"] * math.sqrt(PATCHES) / 1000,  # outlines
        "manifest": sizes["manifest"] / 1000,
    }
    rows = [
        {"what": what, "kB": one, **{name: one * n / 1e6 for name, n in PHOTOS.items()}} for what, one in kb.items()
    ]
    show("bytes: kB a photo, GB in all", rows, None)


if __name__ == "__main__":
    main()
