"""What is relied on in a model's `model.json`, which comes from a stranger: exact types, before anything is read."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from heap.receipts import Number, Positive, Receipt, Weights


class _View(Receipt):
    first: Number
    last: Positive
    centre: list[float]
    turn: list[list[float]] | None
    join_above: Annotated[float, Field(ge=-1, le=1)] | None


class _Views(Receipt):
    foreground: _View
    background: _View


class _OfClusters(Receipt):
    views: _Views
    dataset: str
    foreground: Number
    background: Number
    sha256: str


class _TrainedOn(Receipt):
    dataset: str


class ModelJson(Receipt):
    """What is relied on in a model's `model.json`; settings are checked by their own types."""

    identity: str
    head_sha256: str
    clusters: _OfClusters | None
    reading: dict[str, Any]
    group: dict[str, Any]
    segment: dict[str, Any]
    model: str
    seed: Number
    dim: Positive
    encoder: str
    encoder_settings: dict[str, Any]
    attention_kind: str
    weights: Weights
    trained_on: _TrainedOn
    train: dict[str, Any]
    polarity_flipped: bool
    diagnostics: dict[str, Any]
    warnings: list[str]
