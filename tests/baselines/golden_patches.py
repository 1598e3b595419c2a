"""The peers' cases of golden/tokencut_lost as photos."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from heap.baselines.patches import Patches


def cases(golden: Path) -> Iterator[tuple[dict[str, Any], Patches]]:
    """Yield each case of the peers' with its photo: keys raw or centred as they fed them."""
    folder = golden / "tokencut_lost"
    for case in json.loads((folder / "expected.json").read_text())["cases"]:
        keys = np.load(folder / case["keys"])["keys"]
        if case["variant"] == "centred":
            keys = keys - keys.mean(axis=0)
        yield case, Patches(keys, np.ones((len(keys), 1), np.float32), tuple(case["grid_hw"]))
