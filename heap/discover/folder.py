"""A trained model as one folder, which can be moved to another machine.

    head.safetensors        the head, byte for byte as it was trained
    README.md               the model card: encoder, data, licences, figures, limits
    clusters.safetensors    centroids of foreground and background clusters; absent where nothing was clustered
    model.json              everything else; written last, with the sha256 of the others and with a checksum of itself

The encoder's weights are not in it (their size, their licence): `model.json` says which they are, by checksum.
Everything in it is data; nothing is unpickled or run.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as as_safetensors

from heap import __version__
from heap.cluster.objects import View
from heap.cluster.table import BACKGROUND, FOREGROUND
from heap.discover.card import CARD, card
from heap.discover.model_json import ModelJson
from heap.errors import DAMAGE, ModelError
from heap.evaluate.comparison import Source
from heap.files import digest, file_sha256, named, read_json, sync, write_durable, write_json, write_text
from heap.head.folder import HEAD
from heap.receipts import check, in_words
from heap.settings.base import Count, Settings, Sides
from heap.settings.stages import GroupSettings, SegmentSettings

CLUSTERS = "clusters.safetensors"
MODEL = "model.json"
FORMAT = "heap-model"
# Raised when a folder of an earlier version would be read wrongly.
VERSION = 4  # 3: the identity is compared; 4: clusters of regions as they are seen
# What a model takes over of the description that stands in its head's file.
_OF_HEAD = (
    "model", "seed", "dim", "encoder", "encoder_settings", "attention_kind", "weights", "trained_on", "train",
    "polarity_flipped", "diagnostics", "warnings",
)  # fmt: skip


# More patches than any machine's memory takes at once: attention over them is 24 kB each.
_MOST_PATCHES = 2**20
# Settings of an encoder that say where weights are read from or how fast, and change no feature.
_NOT_VALUES = ("weights", "sha256", "batch_size", "patch_px")


class Reading(Settings):
    """How the photos that the head was trained on came to the encoder."""

    max_px: Count | None = None
    """Longest side; larger photos were scaled down."""
    resize_px: Sides | None = None
    """[height, width] of every photo, where they were all made one size."""
    max_patches: Annotated[int, Field(ge=1, le=_MOST_PATCHES)] = 65536
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


def save(folder: Path, parts: Parts, measured: Sequence[Source] = ()) -> dict[str, Any]:
    """Write a model's folder; an earlier model in its place is replaced, anything else is not.

    Args:
        folder: where it goes.
        parts: the model.
        measured: figures of its head, for the card.

    Returns:
        What stands in its `model.json`.

    Raises:
        ModelError: `folder` is there and holds something else.
        OSError: the disk is full or refuses; its `filename` is `folder`.
    """
    if folder.exists() and not is_model(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise ModelError(f"{folder}: holds something else than a model; name a new folder")
    folder = folder.resolve()  # a link stays, and its target is written
    with named(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Made in a folder of its own next to its place and moved there whole: a kill leaves the earlier model or none.
        with tempfile.TemporaryDirectory(prefix=f".{folder.name[:200]}.", dir=folder.parent) as work:
            made = Path(work) / "new"
            content = _write(made, parts)
            write_text(made / CARD, card(parts, measured))
            sync(made)
            if folder.exists():
                folder.replace(Path(work) / "old")
            made.replace(folder)
            sync(folder.parent)
    return content


def _write(work: Path, parts: Parts) -> dict[str, Any]:
    """Write the files to a new folder; return what stands in its `model.json`."""
    work.mkdir()
    shutil.copyfile(parts.head_file, work / HEAD)
    sync(work / HEAD)
    clusters: dict[str, Any] | None = None
    if parts.clusters is not None:
        content = as_safetensors({"centroids": np.ascontiguousarray(parts.clusters.values)})
        write_durable(work / CLUSTERS, content)  # save_file's own file could be read by its owner alone
        clusters = {
            "dataset": parts.clusters.dataset,
            "foreground": parts.clusters.foreground,
            "background": parts.clusters.background,
            "views": {kind: view.as_json() for kind, view in parts.clusters.views.items()},
            "sha256": file_sha256(work / CLUSTERS),
        }
    description = {
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
    write_json(work / MODEL, description)
    return description


def read(folder: Path) -> Parts:
    """Read a model's folder and check that it is whole.

    Raises:
        ModelError: it is no model, of another version, or a file of it is missing, damaged or another's.
    """
    found = read_json(folder / MODEL)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ModelError(f"{folder / MODEL}: not the description of a model")
    if found.get("version") != VERSION:
        raise ModelError(f"{folder}: a model of version {found.get('version')}, this heap reads version {VERSION}")
    check(found, ModelJson, f"{folder / MODEL}: not the description of a model", ModelError)
    try:
        reading = Reading.model_validate(found["reading"])
        group = GroupSettings.model_validate(found["group"])
        segment = SegmentSettings.model_validate(found["segment"])
    except ValidationError as error:
        raise ModelError(f"{folder / MODEL}: settings that are not valid ({in_words(error)})") from None
    _check_file(folder / HEAD, found["head_sha256"])
    clusters = None if found["clusters"] is None else _read_clusters(folder / CLUSTERS, found["clusters"], found["dim"])
    description = {key: found[key] for key in _OF_HEAD}
    parts = Parts(str(folder), folder / HEAD, found["head_sha256"], description, reading, group, segment, clusters)
    if parts.identity != found["identity"]:
        raise ModelError(
            f"{folder / MODEL}: was changed after it was written, or is another version's: its identity is "
            f"{parts.identity}, it says {found['identity']}; export the model again"
        )
    return parts


def _read_clusters(path: Path, found: dict[str, Any], dim: int) -> Centroids:
    """Read the centroids; sizes are compared before anything of these sizes is made."""
    model_json = path.with_name(MODEL)
    views = {kind: _read_view(model_json, kind, found["views"][kind], dim) for kind in (FOREGROUND, BACKGROUND)}
    _check_file(path, found["sha256"])
    expected = (found["foreground"] + found["background"], len(views[FOREGROUND].centre))
    try:
        with safe_open(path, framework="numpy") as file:
            shape = tuple(file.get_slice("centroids").get_shape())
            values = file.get_tensor("centroids").astype(np.float32) if shape == expected else None
    except (*DAMAGE, SafetensorError) as error:
        raise ModelError(f"{path}: not readable as centroids ({error})") from error
    if values is None:
        raise ModelError(f"{path}: centroids of shape {shape}, expected {expected}")
    if not np.isfinite(values).all():
        raise ModelError(f"{path}: centroids that are no finite numbers; export the model again")
    return Centroids(values, found["foreground"], found["background"], found["dataset"], views)


def _read_view(path: Path, kind: str, found: dict[str, Any], dim: int) -> View:
    """Return how regions of a kind are compared, after its sizes were compared with each other and with `dim`."""
    first, last, turn = found["first"], found["last"], found["turn"]
    size = last - first
    lengths = {len(found["centre"]), *([] if turn is None else [len(turn), *map(len, turn)])}
    if not first < last <= dim or lengths != {size}:
        raise ModelError(
            f"{path}: clusters.views.{kind} counts values {first} to {last} of {dim} and has a centre and a turn of "
            f"lengths {sorted(lengths)}, expected {size}"
        )
    with np.errstate(over="ignore"):  # refused below
        view = View.from_json(found)
    if not (np.isfinite(view.centre).all() and (view.turn is None or np.isfinite(view.turn).all())):
        raise ModelError(f"{path}: clusters.views.{kind} has values that float32 cannot hold")
    return view


def _check_file(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise ModelError(f"{path}: is missing; the folder was not copied whole, or export the model again")
    found = file_sha256(path)
    if found != sha256:
        raise ModelError(f"{path}: has sha256 {found}, its {MODEL} says {sha256}; export the model again")
