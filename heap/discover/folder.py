"""A trained model as one folder, which can be moved to another machine.

    head.safetensors        the head, byte for byte as it was trained
    clusters.safetensors    centroids of foreground and background clusters; absent where nothing was clustered
    model.json              everything else; written last, with the sha256 of the others

The encoder's weights are not in it (their size, their licence): `model.json` says which they are, by checksum.
Everything in it is data; nothing is unpickled or run.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as as_safetensors

from heap import __version__
from heap.cluster.objects import View
from heap.cluster.table import BACKGROUND, FOREGROUND
from heap.errors import DAMAGE, ModelError
from heap.files import digest, file_sha256, named, read_json, write_json
from heap.head.folder import HEAD
from heap.receipts import Number, Positive, Receipt, Weights, check
from heap.settings.base import Count, Settings, Sides
from heap.settings.stages import GroupSettings, SegmentSettings

CLUSTERS = "clusters.safetensors"
MODEL = "model.json"
FORMAT = "heap-model"
# Raised when a folder of an earlier version would be read wrongly.
VERSION = 2  # 2: with the view of the clusters
# What a model takes over of the description that stands in its head's file.
_OF_HEAD = (
    "model", "seed", "dim", "encoder", "encoder_settings", "attention_kind", "weights", "trained_on", "train",
    "polarity_flipped", "diagnostics", "warnings",
)  # fmt: skip


class _View(Receipt):
    first: Number
    last: Number
    centre: list[float]
    turn: list[list[float]] | None
    join_above: float | None


class _OfClusters(Receipt):
    views: dict[str, _View]
    dataset: str
    foreground: Number
    background: Number
    sha256: str


class _TrainedOn(Receipt):
    dataset: str


class ModelJson(Receipt):
    """What is relied on in a model's `model.json` beside its settings."""

    head_sha256: str
    clusters: _OfClusters | None
    model: str
    dim: Positive
    encoder: str
    encoder_settings: dict[str, Any]
    attention_kind: str
    weights: Weights
    trained_on: _TrainedOn
    warnings: list[str]


# Settings of an encoder that say where weights are read from or how fast, and change no feature.
_NOT_VALUES = ("weights", "sha256", "batch_size", "patch_px")


class Reading(Settings):
    """How the photos that the head was trained on came to the encoder."""

    max_px: Count | None = None
    """Longest side; larger photos were scaled down."""
    resize_px: Sides | None = None
    """[height, width] of every photo, where they were all made one size."""
    max_patches: Count = 65536
    """Photos of more patches are refused."""


@dataclass(frozen=True)
class Centroids:
    """Clusters that regions are assigned to.

    Attributes:
        values: `(kf + kb, values of the view)` float32 of length 1; the row is the cluster's number.
        foreground: kf.
        background: kb.
        dataset: whose regions were clustered.
        views: how embeddings of each kind are compared, and which regions are one object.
    """

    values: npt.NDArray[np.float32]
    foreground: int
    background: int
    dataset: str
    views: dict[str, View]


@dataclass(frozen=True)
class Parts:
    """What makes up a model, wherever it was found.

    Attributes:
        source: where it was found, for messages.
        head_file: the `head.safetensors`.
        head_sha256: its checksum.
        description: of the head (encoder and its settings, weights, attention kind, calibrated training, ...).
        reading: of photos.
        group: settings of the stage.
        segment: settings of the stage.
        clusters: None where nothing was clustered yet; regions then have cluster -1.
    """

    source: str
    head_file: Path
    head_sha256: str
    description: dict[str, Any]
    reading: Reading
    group: GroupSettings
    segment: SegmentSettings
    clusters: Centroids | None

    @property
    def identity(self) -> str:
        """Digest of all that decides what a photo gives, 16 hex digits."""
        clusters = self.clusters
        return digest(
            {
                "head": self.head_sha256,
                "weights": self.description["weights"]["sha256"] or self.description["weights"]["source"],
                "encoder": {k: v for k, v in self.description["encoder_settings"].items() if k not in _NOT_VALUES},
                "centroids": None if clusters is None else digest(np.round(clusters.values, 6).tolist()),
                "k": None if clusters is None else [clusters.foreground, clusters.background],
                "views": None if clusters is None else {k: view.as_json() for k, view in clusters.views.items()},
                "reading": self.reading.model_dump(mode="json"),
                "group": self.group.model_dump(mode="json"),
                "segment": self.segment.model_dump(mode="json"),
            }
        )


def is_model(folder: Path) -> bool:
    """Return whether a folder says that it is a model's."""
    if not (folder / MODEL).is_file():
        return False
    found = read_json(folder / MODEL)
    return isinstance(found, dict) and found.get("format") == FORMAT


def save(folder: Path, parts: Parts) -> dict[str, Any]:
    """Write a model's folder; an earlier model in its place is replaced, anything else is not.

    Returns:
        What stands in its `model.json`.

    Raises:
        ModelError: `folder` is there and holds something else.
        OSError: the disk is full or refuses; its `filename` is `folder`.
    """
    if folder.exists() and not is_model(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise ModelError(f"{folder}: holds something else than a model; name a new folder")
    # Made beside its place and moved there whole, so that a kill leaves the earlier model or none.
    work = folder.with_name(f".{folder.name}.part")
    try:
        with named(folder):
            told = _write(work, parts)
            if folder.exists():
                shutil.rmtree(folder)
            work.replace(folder)
    finally:
        if work.exists():
            shutil.rmtree(work)
    return told


def _write(work: Path, parts: Parts) -> dict[str, Any]:
    """Write the files to a fresh folder; return what stands in its `model.json`."""
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    shutil.copyfile(parts.head_file, work / HEAD)
    clusters: dict[str, Any] | None = None
    if parts.clusters is not None:
        content = as_safetensors({"centroids": np.ascontiguousarray(parts.clusters.values)})
        (work / CLUSTERS).write_bytes(content)  # save_file's own file could be read by its owner alone
        clusters = {
            "dataset": parts.clusters.dataset,
            "foreground": parts.clusters.foreground,
            "background": parts.clusters.background,
            "views": {kind: view.as_json() for kind, view in parts.clusters.views.items()},
            "sha256": file_sha256(work / CLUSTERS),
        }
    told = {
        "format": FORMAT,
        "version": VERSION,
        "heap": __version__,
        "identity": parts.identity,
        "head_sha256": parts.head_sha256,
        "clusters": clusters,
        "reading": parts.reading.model_dump(mode="json"),
        "group": parts.group.model_dump(mode="json"),
        "segment": parts.segment.model_dump(mode="json"),
        **{key: parts.description[key] for key in _OF_HEAD},
    }
    write_json(work / MODEL, told)
    return told


def read(folder: Path) -> Parts:
    """Read a model's folder and check that it is whole.

    Raises:
        ModelError: it is no model, of another version, or a file of it is missing, damaged or another's.
    """
    told = read_json(folder / MODEL)
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise ModelError(f"{folder / MODEL}: not the description of a model")
    if told.get("version") != VERSION:
        raise ModelError(f"{folder}: a model of version {told.get('version')}, this heap reads version {VERSION}")
    missing = [key for key in ("head_sha256", "clusters", "reading", "group", "segment", *_OF_HEAD) if key not in told]
    if missing:
        raise ModelError(f"{folder / MODEL}: lacks {', '.join(missing)}")
    check(told, ModelJson, f"{folder / MODEL}: not the description of a model", ModelError)
    try:
        reading = Reading.model_validate(told["reading"])
        group = GroupSettings.model_validate(told["group"])
        segment = SegmentSettings.model_validate(told["segment"])
    except ValidationError as error:
        raise ModelError(f"{folder / MODEL}: settings that are not valid ({error})") from error
    _check_file(folder / HEAD, told["head_sha256"])
    clusters = None if told["clusters"] is None else _read_clusters(folder / CLUSTERS, told["clusters"])
    description = {key: told[key] for key in _OF_HEAD}
    return Parts(str(folder), folder / HEAD, told["head_sha256"], description, reading, group, segment, clusters)


def _read_clusters(path: Path, told: dict[str, Any]) -> Centroids:
    _check_file(path, told["sha256"])
    try:
        values = load_file(path)["centroids"]
        views = {kind: View.from_json(told["views"][kind]) for kind in (FOREGROUND, BACKGROUND)}
    except (*DAMAGE, SafetensorError) as error:
        raise ModelError(f"{path}: not readable as centroids ({error})") from error
    expected = (told["foreground"] + told["background"], len(views[FOREGROUND].centre))
    if values.shape != expected:
        raise ModelError(f"{path}: centroids of shape {values.shape}, expected {expected}")
    return Centroids(values.astype(np.float32), told["foreground"], told["background"], told["dataset"], views)


def _check_file(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise ModelError(f"{path}: is missing; the folder was not copied whole, or export the model again")
    found = file_sha256(path)
    if found != sha256:
        raise ModelError(f"{path}: has sha256 {found}, its {MODEL} says {sha256}; export the model again")
