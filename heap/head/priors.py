"""Targets that the head is warmed up with: weak guesses at the foreground, made from one photo without learning."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Stored = npt.NDArray[np.float32] | npt.NDArray[np.float16]
# FOUND's threshold on the cosine to the least attended patch.
_SEED_THRESHOLD = 0.3


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


def target(variant: str, features: Stored, attention: Floats) -> Floats:
    """Return the warm-up target `(N,)` of a variant: `pure`, `robust`, or `no_seed` (all 0.5, never used)."""
    if variant == "pure":
        return found_seed(features, attention)
    if variant == "robust":
        return attention_above_mean(attention)
    return np.full(len(features), 0.5, np.float32)
