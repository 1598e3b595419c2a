"""What every encoder gives, whatever it is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from heap.receipts import Weights

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


class Running(Protocol):
    """A batch that an encoder has begun."""

    def result(self) -> Encoded:
        """Wait for the batch and return it."""
        ...


@dataclass(frozen=True)
class Computed:
    """A batch of an encoder that computes at once."""

    encoded: Encoded

    def result(self) -> Encoded:
        """Return it."""
        return self.encoded


class Encoder(ABC):
    """A frozen encoder.

    Attributes:
        label: how tables name it. An untrained or hand-made encoder says so here.
        patch_px: side of a patch.
        dim: D, values of a feature.
        heads: attention maps a photo.
        attention_kind: `cls`, or the documented substitute of encoders without a CLS token.
        appearance: first value of a feature and one past the last that say what a patch looks like, as against how it
            stands in its photo; they separate kinds of things. None: all do, as in every encoder that was trained.
        weights: where the weights came from.
        precision_error: how far half precision was from float32 on the first photos, see `heap.encoders.precision`.
    """

    label: str
    patch_px: int
    dim: int
    heads: int
    attention_kind: AttentionKind
    appearance: tuple[int, int] | None = None
    weights: Weights
    precision_error: dict[str, float] | None = None

    @abstractmethod
    def start(self, photos: Photos) -> Running:
        """Begin to encode uint8 RGB photos of one grid; each is padded alone, at right and bottom, to whole patches.

        On a GPU this returns before the features are there.
        """

    def encode(self, photos: Photos) -> Encoded:
        """Encode photos, see `start`."""
        return self.start(photos).result()
