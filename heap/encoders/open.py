"""From settings to a running encoder, and the device it runs on."""

from __future__ import annotations

import os
import re

import torch

from heap.encoders.base import Encoder
from heap.errors import EncoderError
from heap.receipts import Weights
from heap.settings.models import CnnEncoder, DescriptorEncoder
from heap.settings.models import Encoder as EncoderSettings


def choose_device(asked: str | None = None) -> str:
    """Return the torch device to use: `asked`, else $HEAP_DEVICE, else `auto` (cuda, mps, cpu in this order).

    A number may follow (`cuda:1`).

    Raises:
        EncoderError: the device asked for is not there. Nothing else is used in its place.
    """
    asked = asked or os.environ.get("HEAP_DEVICE") or "auto"
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if asked == "auto":
        return next(name for name, ok in there.items() if ok)
    kind = asked.split(":")[0]
    if kind not in there:
        raise EncoderError(f"device {asked!r}: unknown, expected auto, cuda, mps or cpu")
    seen = ", ".join(name for name, ok in there.items() if ok)
    if not there[kind]:
        raise EncoderError(f"device {asked!r} was asked for, but torch sees none (it sees: {seen})")
    number = asked.removeprefix(kind)
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if number and not (re.fullmatch(r":\d+", number) and int(number[1:]) < count):
        raise EncoderError(f"device {asked!r}: expected {kind}, or {kind}:0 to {kind}:{count - 1}")
    return asked


def open_encoder(settings: EncoderSettings, weights: Weights, device: str) -> Encoder:
    """Return the encoder that `settings` describe, with the weights of their receipt."""
    if isinstance(settings, DescriptorEncoder):
        from heap.encoders.descriptors import Descriptors

        return Descriptors(settings)
    if isinstance(settings, CnnEncoder):
        from heap.encoders import cnn

        return cnn.load(settings, weights, device)
    from heap.encoders import vit

    return vit.load(settings, weights, device)
