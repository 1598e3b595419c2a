"""The encoder that a model was trained with: found, checked to be the same, opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import TypeAdapter, ValidationError

from heap.cache.quantise import quantise, restore
from heap.cache.store import to_float16
from heap.discover.folder import Parts
from heap.encoders.base import Encoder
from heap.encoders.open import open_encoder
from heap.encoders.vit import Vit, build
from heap.encoders.weights import locate
from heap.errors import EncoderError, ModelError
from heap.files import file_sha256
from heap.receipts import Weights, in_words
from heap.settings.models import DescriptorEncoder, VitEncoder
from heap.settings.models import Encoder as EncoderSettings

# Photos encoded at once, whatever a model's file says: all of them are decoded in memory.
_MOST_AT_ONCE = 64


def open_for(parts: Parts, device: str, weights: str | Path | None, asked: str | None) -> tuple[Encoder, int]:
    """Return the encoder of a model, and how many photos it takes at once.

    Args:
        parts: the model.
        device: torch device.
        weights: file of the encoder's weights; None looks where the workflow puts them, and downloads them there.
        asked: architecture (or kind) that the caller expects; None takes the model's.

    Raises:
        ModelError: the model's encoder is another than the one asked for, or than the weights that are there.
    """
    description, settings = parts.description, encoder_settings(parts)
    own = settings.kind if isinstance(settings, DescriptorEncoder) else settings.architecture
    if asked is not None and asked != own:
        raise ModelError(f"{parts.source}: was made with the encoder {own} ({description['encoder']}), not {asked}")
    if isinstance(settings, DescriptorEncoder):
        if weights is not None:
            raise ModelError(f"{parts.source}: its encoder ({description['encoder']}) has no weights, found {weights}")
        receipt = Weights.model_validate(description["weights"])
    else:
        receipt = _weights(parts, settings.architecture, settings.weights, weights)
    try:
        if receipt.source == "random" and isinstance(settings, VitEncoder):
            # No file vouches for its size: sizes are compared before 8 GB of weights are drawn for a text's sake.
            with torch.device("meta"):
                sketch = build(settings.architecture)
            _check_sizes(parts, Vit(sketch, settings.model_copy(update={"precision": "float32"}), receipt, "meta"))
        encoder = open_encoder(settings, receipt, device)
    except EncoderError as error:
        raise ModelError(f"{parts.source}: its encoder {own} cannot be opened ({error})") from error
    _check_sizes(parts, encoder)
    return encoder, min(settings.batch_size, _MOST_AT_ONCE)


def _check_sizes(parts: Parts, encoder: Encoder) -> None:
    """Refuse an encoder of other sizes than the one that the model was made with."""
    description = parts.description
    for what, found, expected in (
        ("values a patch", encoder.dim, description["dim"]),
        ("attention", encoder.attention_kind, description["attention_kind"]),
    ):
        if found != expected:
            raise ModelError(
                f"{parts.source}: was made with {description['encoder']} ({what}: {expected}), "
                f"but the encoder that is there, {encoder.label}, has {found}"
            )


def encoder_settings(parts: Parts) -> EncoderSettings:
    """Return the settings of a model's encoder.

    Raises:
        ModelError: they are not valid.
    """
    try:
        return TypeAdapter(EncoderSettings).validate_python(parts.description["encoder_settings"])
    except ValidationError as error:
        raise ModelError(f"{parts.source}: encoder_settings are not valid ({in_words(error)})") from None


def _weights(parts: Parts, architecture: str, configured: str, given: str | Path | None) -> Weights:
    """Return the receipt of weights that are the model's own, wherever they lie."""
    recorded = Weights.model_validate(parts.description["weights"])
    label = parts.description["encoder"]
    if recorded.source == "random":
        if given is not None:
            raise ModelError(f"{parts.source}: was made with {label}, but weights were given: {given}")
        return recorded
    if given is not None:
        file = Path(given).expanduser()
        if not file.is_file():
            raise ModelError(f"{parts.source}: the weights file {file} does not exist")
        sha256 = file_sha256(file)
    else:
        try:
            found = locate(architecture, configured, recorded.sha256, "the model was made with")
        except EncoderError as error:
            raise ModelError(
                f"{parts.source}: the weights of its encoder are not there ({error})\n"
                f"They may also be given: weights=FILE, --weights FILE (sha256 {recorded.sha256})"
            ) from error
        file, sha256 = Path(str(found.file)), str(found.sha256)
    if sha256 != recorded.sha256:
        raise ModelError(
            f"{parts.source}: was made with {label}, weights of sha256 {recorded.sha256}; "
            f"{file} is another encoder, sha256 {sha256}"
        )
    return recorded.model_copy(update={"file": str(file)})


def as_stored(features: npt.NDArray[np.float32], storage: str, name: str) -> npt.NDArray[np.float16]:
    """Return features `(N, D)` as they come back from the cache: what the head was trained on, and is given.

    Raises:
        CacheError: values that the cache could not hold.
    """
    if storage == "uint8":
        return restore(*quantise(features, name)).astype(np.float16)
    return to_float16(features, name)
