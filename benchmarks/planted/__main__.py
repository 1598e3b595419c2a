"""The head on planted features (design/method.md): real masks, invented features. Not DINO, so no figure predicts one.

    python -m benchmarks.planted --bed 0.7 1.0 1.5 W --seeds 0 1 2 --out planted.csv
    python -m benchmarks.planted --bed 1.0 --recipes all --seeds 0 --coarse

Half of the 300 ECSSD masks of ../shared are drawn 3 times to train on (`--coarse`: twice, a quarter of the patches) and
once more, with other noise, as `val`, on which recipes are chosen. The other half is `test`, whose classes also tell
whether the regions of like objects are alike. `1.0 two objects`: each photo's object and the next one's, side by side.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.headbed import bed as beds
from benchmarks.headbed.table import main
from benchmarks.planted import world
from benchmarks.real_features.features import pictures


def make(name: str, shared: Path, coarse: bool) -> beds.Bed:
    """Draw a level."""
    share, colour = world.masks_and_colours(shared / "data/ecssd")
    two = name.endswith("two objects")
    level = world.LEVELS[name.split()[0]]
    train = world.photos(level, share[0::2], colour[0::2], 2 if coarse else 3, 0, two)
    if not two:
        # Planted features are of the photos whose masks they have, every second draw of a photo mirrored.
        real = pictures(sorted((shared / "data/ecssd/images").glob("*.jpg"))[0::2])
        train = replace(train, pictures=np.concatenate([real, real[:, :, ::-1], real])[: len(train.features)])
    val = replace(world.photos(level, share[0::2], colour[0::2], 1, 77, two), classes=None)
    test = world.photos(level, share[1::2], colour[1::2], 1, 1, two)
    parts = {"train": beds.coarse(train) if coarse else train, "val": val, "test": test}
    return beds.build(f"planted {name}", parts, "val")


if __name__ == "__main__":
    main(__doc__, ["1.0", "0.7", "1.5", "W", "1.0 two objects"], make)
