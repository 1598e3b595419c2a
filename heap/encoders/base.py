"""What every encoder gives, whatever it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

AttentionKind = Literal["cls", "centre_border_prior", "feature_norm"]
"""`cls` is the real one; the substitutes are of descriptors (`centre_border_prior`) and of CNNs (`feature_norm`)."""
Floats = npt.NDArray[np.float32]
# Photos of one grid: an array `(B, H, W, 3)` of one size, or a list of `(H, W, 3)` whose sizes may differ.
Photos = npt.NDArray[np.uint8] | list[npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class Encoded:
    """Features of a batch of photos of one grid.

    Attributes:
        features: `(B, N, D)` float32, N = grid_h * grid_w patches in row-major order.
        attention: `(B, N, heads)` float32, how much each patch is attended to; all values are at least 0.
        cls: `(B, D)` float32, one vector for the whole photo (CLS token; the mean feature where there is none).
    """

    features: Floats
    attention: Floats
    cls: Floats


class Encoder(Protocol):
    """A frozen encoder.

    Attributes:
        label: how tables name it. An untrained or hand-made encoder says so here.
        patch_px: side of a patch.
        dim: D, values of a feature.
        heads: attention maps a photo.
        attention_kind: `cls`, or the documented substitute of encoders without a CLS token.
        appearance: first value of a feature and one past the last that say what a patch looks like, as against how it
            stands in its photo; they tell kinds of things apart. None: all do, as in every encoder that was trained.
        weights: where the weights came from, with `sha256` where there is a file.
    """

    label: str
    patch_px: int
    dim: int
    heads: int
    attention_kind: AttentionKind
    appearance: tuple[int, int] | None
    weights: dict[str, str | None]

    def encode(self, photos: Photos) -> Encoded:
        """Encode uint8 RGB photos of one grid; each is padded alone, at right and bottom, to whole patches.

        An encoder that computes on a device of its own may also have `start(photos)`, which only begins and whose
        answer's `result()` waits for what `encode` returns.
        """
        ...
