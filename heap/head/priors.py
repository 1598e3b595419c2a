"""Targets that the head is warmed up with: weak guesses at the foreground, made from one photo without learning."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from skimage.filters import threshold_multiotsu, threshold_otsu

Floats = npt.NDArray[np.float32]
Stored = npt.NDArray[np.float32] | npt.NDArray[np.float16]
Mask = npt.NDArray[np.bool_]
# FOUND's threshold on the cosine to the least attended patch.
_SEED_THRESHOLD = 0.3
# A patch is compared with this share of the border patches, those most like it: background of several stuffs shows each
# on a part of the border. Measured AUC for .1/.2/.4: real features .950/.954/.953, planted W .949/.964/.981.
_BORDER_SHARE = 0.2
# Width of the smoothing in standard deviations of the photo's similarities: the scale differs between encoders. IoU of
# the prior for .25/.5/1: real features .491/.520/.517, planted W .838/.885/.893.
_SMOOTHING = 0.5
# Smoothing averages over at most this many patches: all of a photo of 224 px. 512 and 256 of them cost up to .02 IoU on
# planted features and nothing on real ones; all of a large photo would cost its square.
_REFERENCES = 1024
_GOLDEN = (5**0.5 - 1) / 2


def attention_above_mean(attention: Floats) -> Floats:
    """Return 1 where a patch's mean attention over the heads is above the photo's mean, `(N,)` from `(N, heads)`."""
    mean = attention.mean(axis=1)
    return (mean > mean.mean()).astype(np.float32)


def found_seed(features: Stored, attention: Floats, weigh_heads: bool = True) -> Floats:
    """Return 0 on FOUND's background seed and 1 elsewhere.

    The background seed is every patch similar to the least attended one. Heads with sharp attention count more
    (Simeoni et al., CVPR 2023, `bkg_seg.py`; matched on golden data).

    Args:
        features: frozen keys `(N, D)`, not centred: on centred ones the seed takes 53-80 % of a photo.
        attention: CLS attention `(N, heads)`.
        weigh_heads: FOUND's weights of the heads; off, all count alike.

    Returns:
        `(N,)` float32.
    """
    values = features.astype(np.float64)
    attended = attention.astype(np.float64)
    heads = attended.shape[1]
    # Encoders whose "attention" is one substitute map have one head over the whole feature.
    keys = values.reshape(len(values), heads, -1)
    beta = np.ones(heads)
    if weigh_heads and heads > 1:
        share = (attended > attended.mean()).mean(axis=0)
        beta = np.log((share + 1e-10).sum() / (share + 1e-10))
    weighed = (keys * beta[None, :, None]).reshape(len(values), -1)
    weighed /= np.linalg.norm(weighed, axis=1, keepdims=True).clip(1e-12)
    least = int((attended * beta).sum(axis=1).argmin())
    background = weighed @ weighed[least] > _SEED_THRESHOLD
    return (~background).astype(np.float32)


def contrast(features: Stored, attention: Floats, border: Mask) -> Floats:
    """Return how much each patch is unlike the photo's border and attended to, alike for like patches, `(N,)`.

    Two weak guesses whose errors differ: attention favours textured parts and the centre, border contrast takes small
    parts of the background for objects. Both are standardised, added, and averaged over similar patches (our choice,
    after the boundary prior of Wei et al. 2012 and Zhu et al. 2014).

    Args:
        features: frozen keys `(N, D)`; not centred, so that one photo is enough.
        attention: `(N, heads)`.
        border: `(N,)`, patches on the photo's edge.
    """
    values = features.astype(np.float32)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True).clip(1e-12)
    edge = unit @ unit[border].T
    nearest = max(1, round(_BORDER_SHARE * edge.shape[1]))
    unlike = -np.partition(edge, edge.shape[1] - nearest, axis=1)[:, -nearest:].mean(axis=1)
    guess = _standard(unlike) + _standard(attention.mean(axis=1))
    return over_alike(guess, unit, _SMOOTHING)


def over_alike(values: Floats, unit: Floats, width: float) -> Floats:
    """Return each patch's mean of some values over its photo's patches, weighted by how alike they are.

    Args:
        values: what is averaged, `(N,)`, or several at once, `(N, M)`; the means have the same shape.
        unit: features of length 1, `(N, D)`.
        width: the weight is exp(cosine / (width * standard deviation of the photo's cosines)), so that encoders of
            another scale are smoothed alike; smaller looks at fewer patches.
    """
    seen = references(len(unit))
    alike = unit @ unit[seen].T
    weights = np.exp((alike - alike.max(axis=1, keepdims=True)) / (width * alike.std()).clip(1e-6))
    averaged: Floats = ((weights @ values[seen]).T / weights.sum(axis=1)).T.astype(np.float32)
    return averaged


def references(patches: int) -> npt.NDArray[np.int64]:
    """Return the patches that stand for all of a photo, ascending: one of each of `_REFERENCES` runs of equal length.

    Its place in the run follows the golden ratio, so rows and columns are seen evenly whatever the grid's width: every
    16th patch of a grid of 64 columns would see four of them.
    """
    count = min(patches, _REFERENCES)
    edges = np.arange(count + 1) * patches // count
    return edges[:-1] + (np.arange(count) * _GOLDEN % 1 * np.diff(edges)).astype(np.int64)


def contrast_seed(features: Stored, attention: Floats, border: Mask) -> Floats:
    """Return 1 where `contrast` says object, 0 where it says ground, 0.5 where it is not sure, `(N,)`.

    A photo's patches are ground below its threshold (Otsu) and object above the upper one of its two (Otsu's for three
    classes); what lies between is left to the losses. A flat map is 0.5 everywhere.
    """
    values = contrast(features, attention, border)
    # Otsu's thresholds stand between the filled bins of a histogram: a map of few values has fewer of them.
    filled = np.count_nonzero(np.histogram(values, 256)[0]) if np.ptp(values) > 1e-6 else 1
    if filled < 2:
        return np.full(len(values), 0.5, np.float32)
    low = float(threshold_otsu(values))
    high = max(low, float(threshold_multiotsu(values, 3)[1])) if filled > 2 else low
    return np.where(values > high, 1.0, np.where(values > low, 0.5, 0.0)).astype(np.float32)


def _standard(values: Floats) -> Floats:
    return np.asarray((values - values.mean()) / values.std().clip(1e-12), np.float32)


def target(variant: str, features: Stored, attention: Floats, border: Mask) -> Floats:
    """Return the warm-up target `(N,)` of a variant: `pure`, `robust`, `contrast`, or `no_seed` (0.5, never used)."""
    if variant == "pure":
        return found_seed(features, attention)
    if variant == "robust":
        return attention_above_mean(attention)
    if variant == "contrast":
        return contrast_seed(features, attention, border)
    return np.full(len(features), 0.5, np.float32)
