"""From a patch grid to pixels, and back.

Bilinear with half-pixel centres (`align_corners=False`), the reading that the peers' `F.interpolate` follows. Written
as gathers and not through torch, because the workers that score photos then start without torch, and not as a matrix
product, because BLAS may round differently with another number of threads: figures must not.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import logit

Floats = npt.NDArray[np.float32]
Size = tuple[int, int]

# Maps hold probabilities; a patch of exactly 0 or 1 would outvote every neighbour if it became infinite. At +-15 the
# sigmoid is within 3e-7 of 0 or 1.
PROBABILITY_LOGIT_LIMIT = 15.0


def logits_of(probabilities: Floats) -> Floats:
    """Return the logits of a patch map of probabilities in [0, 1], clamped to +-15."""
    limited: Floats = np.clip(logit(probabilities), -PROBABILITY_LOGIT_LIMIT, PROBABILITY_LOGIT_LIMIT)
    return limited


def nearest(labels: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.uint8]:
    """Resize a label map `(h, w)` without mixing labels: source pixel `floor(i * h / H)`, OpenCV's nearest."""
    height, width = labels.shape
    if (height, width) == size:
        return labels
    rows = np.arange(size[0]) * height // size[0]
    columns = np.arange(size[1]) * width // size[1]
    return labels[rows[:, None], columns]


def bilinear_matrix(patches: int, patch_px: int, pixels: int) -> npt.NDArray[np.float64]:
    """Return `(pixels, patches)`: each pixel's weights of the patches along one axis, cropped to `pixels`."""
    low, high, share = _taps(patches, patches * patch_px, pixels)
    matrix = np.zeros((pixels, patches))
    every = np.arange(pixels)
    np.add.at(matrix, (every, low), 1.0 - share)
    np.add.at(matrix, (every, high), share)
    return matrix


def resize(values: Floats, full: Size, kept: Size) -> Floats:
    """Resize `(h, w)` to `full`, of which only the first `kept` rows and columns are computed."""
    low, high, share = _taps(values.shape[0], full[0], kept[0])
    below = share[:, None]
    rows = values[low] + (values[high] - values[low]) * below  # (kept_h, w)
    low, _, share = _taps(values.shape[1], full[1], kept[1])
    step = np.diff(rows, axis=1, append=rows[:, -1:])  # to the next column; 0 at the last, which has no next
    resized: Floats = step.take(low, axis=1)  # (kept_h, kept_w)
    resized *= share
    resized += rows.take(low, axis=1)
    return resized


def sigmoid(values: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)), written into `values`: a quarter of the time of scipy's expit on float32."""
    with np.errstate(over="ignore"):  # exp(200) is infinite in float32, and its reciprocal the 0 that is meant
        np.exp(np.negative(values, out=values), out=values)
    values += 1
    return np.reciprocal(values, out=values)


# Data sets have few sizes, or many at little cost: 4096 axes of 400 px are 20 MB.
@lru_cache(maxsize=4096)
def _taps(source: int, target: int, kept: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]:
    """Return for each of the first `kept` of `target` places its two source places and the share of the second."""
    place = np.maximum((np.arange(kept) + 0.5) * (source / target) - 0.5, 0.0)
    low = np.minimum(place.astype(np.intp), source - 1)
    return low, np.minimum(low + 1, source - 1), (place - low).astype(np.float32)
