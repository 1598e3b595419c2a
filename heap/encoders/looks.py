"""Which values of an encoder's features say what a patch looks like, as against how it stands in its photo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heap.encoders.descriptors import LOOKS


def looks(settings: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the first value and one past the last that tell kinds of things apart; None: all do.

    Hand-made descriptors spend most of their length on contrast with the rest of the photo, which finds objects and is
    the same for all kinds of them. Encoders that were trained keep no such values apart.

    Args:
        settings: of the encoder.
    """
    return (0, LOOKS) if settings.get("kind") == "descriptors" else None
