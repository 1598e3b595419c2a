"""The head on features of a SUPERVISED CNN (MobileNetV2, ImageNet labels) of real photos: a test bed, never a result.

    python -m benchmarks.real_features --seeds 0 1 2 3 4 --out real.csv
    python -m benchmarks.real_features --recipes all --seeds 0 --coarse

Photos of ../shared: every second of ECSSD and 261 unlabelled ones to train on; the masks of those of ECSSD are `val`,
on which recipes are chosen, and teach the supervised linear reference. The other half of ECSSD is `test`. Features are
kept in the temporary folder; `supervised416` has all 416 values a patch, `supervised64` their first 64 principal
components, and `descriptors` the project's hand-made ones.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.headbed import bed as beds
from benchmarks.headbed.table import main
from benchmarks.real_features import features


def make(name: str, shared: Path, coarse: bool) -> beds.Bed:
    """Encode the photos, or read them back."""
    cache = Path(tempfile.gettempdir()) / "heapbed"
    found = features.parts(shared, cache, "descriptors" if name == "descriptors" else "mobilenetv2")
    if name == "supervised64":
        found = features.reduced(found, 64)
    parts = {part: beds.coarse(photos) if coarse else photos for part, photos in found.items() if part != "test"}
    return beds.build(name, parts | {"val": found["train"], "test": found["test"]}, "val")


if __name__ == "__main__":
    main(__doc__, ["supervised64", "supervised416", "descriptors"], make)
