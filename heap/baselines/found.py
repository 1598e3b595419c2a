"""FOUND's linear head: one weight a feature value and a bias (Simeoni et al., CVPR 2023), and its three losses.

It is trained by `train_found`, starting from FOUND's seed (`heap.head.priors.found_seed`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.special import expit

from heap.baselines.patches import Answer, Floats, Patches
from heap.cache.reader import FeatureReader, check_encoder
from heap.errors import CacheError, DataError, TrainingError
from heap.files import atomic_path, dump_json, parse_json, sealed, unsealed
from heap.head import priors


def found_seed(photo: Patches) -> Answer:
    """Return what is not FOUND's background seed.

    Raises:
        CacheError: the values of a feature cannot be shared out to the heads of the attention.
    """
    dim, heads = photo.features.shape[1], photo.attention.shape[1]
    if dim % heads:
        raise CacheError(
            f"found_seed: {dim} values a patch and {heads} heads of attention; FOUND weighs the values head by head, "
            "so the encoder's features must be the concatenation of its heads (facet key, query or value)"
        )
    return Answer(priors.found_seed(photo.features, photo.attention))


class FoundHead:
    """A trained head.

    Args:
        weight: `(D,)` float32.
        bias: one number.
    """

    def __init__(self, weight: Floats, bias: float) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, photo: Patches) -> Answer:
        """Return the probability of being foreground of each patch."""
        return Answer(expit(photo.features @ self.weight + np.float32(self.bias)))

    def save(self, path: Path, description: Mapping[str, Any]) -> None:
        """Write the head as safetensors with its description as metadata, sealed together."""
        bias = np.array([self.bias], np.float32)
        described = sealed(dump_json({**description, "weights_sha256": _sha256(self.weight, bias)}))
        with atomic_path(path) as temporary:
            save_file({"weight": self.weight, "bias": bias}, temporary, metadata={"found": described})

    @classmethod
    def load(cls, path: Path, reader: FeatureReader) -> tuple[FoundHead, dict[str, Any]]:
        """Read a head and its description.

        Args:
            path: the file.
            reader: features it is to be run on.

        Raises:
            TrainingError: no such file, no such head, a damaged one, or one trained on features of another encoder.
        """
        try:
            with safe_open(path, framework="np") as file:
                description: dict[str, Any] = parse_json(
                    unsealed((file.metadata() or {})["found"], path, required=True)
                )
                weight, bias = file.get_tensor("weight"), file.get_tensor("bias")
            if description["weights_sha256"] != _sha256(weight, bias):
                raise ValueError("the checksum of its weights does not hold")
        except FileNotFoundError:
            raise TrainingError(f"{path}: no trained head of FOUND; run train-found first") from None
        except (SafetensorError, DataError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise TrainingError(f"{path}: not a head of FOUND ({error})") from error
        check_encoder(path, description, reader)
        return cls(weight, float(bias[0])), description


def _sha256(*arrays: npt.NDArray[Any]) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
