"""Targets that the head is warmed up with: weak guesses at the foreground, made from one photo without learning."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from skimage.filters import threshold_otsu

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
# FOUND's threshold on the cosine to the least attended patch.
_SEED_THRESHOLD = 0.3
# A patch is compared with this share of the border patches, those most like it: ground of several stuffs shows each
# on a part of the border. Measured on both test beds: .1 to .4 within .01 AUC.
_BORDER_SHARE = 0.2
# Smoothing looks at this many standard deviations of similarity around a patch; .25 to 1 are alike on both test beds.
_SMOOTHING = 0.5
# Smoothing takes about this many patches of a photo for all: 3 times fewer values, the same map.
_REFERENCES = 256


def attention_above_mean(attention: Floats) -> Floats:
    """Return 1 where a patch's mean attention over the heads is above the photo's mean, `(N,)` from `(N, heads)`."""
    mean = attention.mean(axis=1)
    return (mean > mean.mean()).astype(np.float32)


def found_seed(features: Floats, attention: Floats, weigh_heads: bool = True) -> Floats:
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


def contrast(features: Floats, attention: Floats, border: Mask) -> Floats:
    """Return how much each patch is unlike the photo's border and attended to, `(N,)`, alike for patches that look alike.

    Two weak guesses whose errors differ: attention favours textured parts and the centre, border contrast takes small
    parts of the ground for objects. Both are standardised, added, and averaged over similar patches (our choice, after
    the boundary prior of Wei et al. 2012 and Zhu et al. 2014).

    Args:
        features: frozen keys `(N, D)`; not centred, so that one photo is enough.
        attention: `(N, heads)`.
        border: `(N,)`, patches on the photo's edge.
    """
    unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12)
    edge = unit @ unit[border].T
    nearest = max(1, round(_BORDER_SHARE * edge.shape[1]))
    unlike = -np.partition(edge, edge.shape[1] - nearest, axis=1)[:, -nearest:].mean(axis=1)
    guess = _standard(unlike) + _standard(attention.mean(axis=1))
    step = max(1, len(unit) // _REFERENCES)
    # An odd step walks through all columns of a grid of even width.
    step += 1 - step % 2
    alike = unit @ unit[::step].T
    weights = np.exp((alike - alike.max(axis=1, keepdims=True)) / (_SMOOTHING * alike.std()).clip(1e-6))
    smoothed: Floats = (weights @ guess[::step] / weights.sum(axis=1)).astype(np.float32)
    return smoothed


def contrast_seed(features: Floats, attention: Floats, border: Mask) -> Floats:
    """Return 1 where `contrast` is above the photo's own threshold (Otsu), `(N,)`; 0 everywhere for a flat map."""
    values = contrast(features, attention, border)
    if np.ptp(values) < 1e-6:
        return np.zeros(len(values), np.float32)
    return (values > threshold_otsu(values)).astype(np.float32)


def _standard(values: Floats) -> Floats:
    return np.asarray((values - values.mean()) / values.std().clip(1e-12), np.float32)


def target(variant: str, features: Floats, attention: Floats, border: Mask) -> Floats:
    """Return the warm-up target `(N,)` of a variant: `pure`, `robust`, `contrast`, or `no_seed` (0.5, never used)."""
    if variant == "pure":
        return found_seed(features, attention)
    if variant == "robust":
        return attention_above_mean(attention)
    if variant == "contrast":
        return contrast_seed(features, attention, border)
    return np.full(len(features), 0.5, np.float32)
