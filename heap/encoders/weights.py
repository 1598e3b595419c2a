"""Weights of an encoder: where they are, what they are, and reading them as data only."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from heap.encoders.checkpoint import load_state, read_state
from heap.errors import EncoderError
from heap.files import file_sha256, write_json
from heap.locks import alone_in
from heap.receipts import Weights, read_receipt
from heap.settings.architectures import shape_of

M = TypeVar("M", bound=torch.nn.Module)
# Random weights are drawn from one seed, so that two stores of the same `random` encoder hold the same features.
RANDOM_SEED = 0
log = logging.getLogger("heap")

WEIGHTS_FOLDER = Path("resources/weights")  # of the working folder; see `kept_at`


def locate(architecture: str, weights: str, sha256: str | None, says: str = "the config pins") -> Weights:
    """Find (for `auto`: download) the weights, read them once, and return their receipt.

    Args:
        architecture: a name of the registry, or a model of timm.
        weights: `auto`, `random`, or a file.
        sha256: checksum the file must have, or None.
        says: who states it, in words.

    Returns:
        `source` (a URL, `file` or `random`), `file`, `sha256`, and `checksum`: `pinned` (the config says it),
        `published` (the publisher does) or `unverified` (nobody does: any checkpoint may lie under that name).

    Raises:
        EncoderError: the file is missing, is no checkpoint or has another checksum; offline, what to download, from
            where, to which path.
    """
    if weights == "random":
        return Weights(source="random", file=None, sha256=None)
    stated = None
    if weights == "auto":
        url, name = published(architecture)
        path, source, stated = kept_at(name), url, _checksum_in(url)
        if not path.is_file():
            _download(url, path, architecture, sha256 or stated)
    else:
        path, source = Path(weights).expanduser(), "file"
        if not path.is_file():
            raise EncoderError(f"encoder {architecture}: weights file {path} does not exist")
    found = file_sha256(path)
    for expected, words in ((sha256, says), (stated, "its publisher states")):
        if not found.startswith(expected or ""):
            raise EncoderError(f"encoder {architecture}: {path} has sha256 {found}, {words} {expected}")
    read_state(path)
    checksum = "pinned" if sha256 else "published" if stated else "unverified"
    return Weights(source=source, file=str(path), sha256=found, checksum=checksum)


def kept_at(name: str) -> Path:
    """Return where published weights lie, or go: torch.hub's folder, which every working folder and project shares.

    A file in `WEIGHTS_FOLDER` of the working folder comes first: put there by hand, or by an earlier version.
    """
    own = WEIGHTS_FOLDER / name
    return own if own.is_file() else Path(torch.hub.get_dir()) / "checkpoints" / name


def _checksum_in(url: str) -> str | None:
    """Return the digits of the sha256 that a publisher states in a file's name, as torch.hub does (x-0676ba61.pth).

    The names of DINO and DINOv2 have none; timm and lightly-train, which load the same files, state none either.
    """
    stated = re.search(r"-([0-9a-f]{8,64})\.\w+$", url)
    return stated[1] if stated else None


def published(architecture: str) -> tuple[str, str]:
    """Return the URL of an architecture's published weights, and the name of their file.

    The publisher's own URL for names of the registry; timm's entry of the Hugging Face hub for other models of timm.

    Raises:
        EncoderError: timm does not know the model, or has no weights of it.
    """
    known = shape_of(architecture)
    if known is not None:
        hub = known.url.endswith("/model.safetensors")  # the same name for every model there
        return known.url, f"{known.timm}.safetensors" if hub else known.url.rsplit("/", 1)[1]
    from timm.models import get_pretrained_cfg, is_model

    try:
        config = get_pretrained_cfg(architecture) if is_model(architecture) else None
    except RuntimeError as error:  # a model that timm knows, with a tag that it does not
        raise EncoderError(f"encoder {architecture}: `weights: auto` finds no published weights ({error})") from error
    if config is None or not (config.hf_hub_id or config.url):
        raise EncoderError(
            f"encoder {architecture}: `weights: auto` finds no published weights (`heap encoders` lists "
            "the known, `heap encoders --timm PATTERN` timm's); give a checkpoint file"
        )
    if config.hf_hub_id:
        file = config.hf_hub_filename or "model.safetensors"
        name = config.hf_hub_id.rsplit("/", 1)[1]
        return f"https://huggingface.co/{config.hf_hub_id}/resolve/main/{file}", f"{name}{Path(file).suffix}"
    return config.url, config.url.rsplit("/", 1)[1]


def read_weights(path: str | Path) -> Weights:
    """Read the receipt of an encoder's weights: source, file, sha256.

    Raises:
        EncoderError: it is something else; names file and key.
    """
    return read_receipt(path, Weights, "the receipt of an encoder's weights", EncoderError)


def check_receipt(weights: Weights) -> str:
    """Return the path of weights that are still the file of their receipt.

    Raises:
        EncoderError: no file is named, it is gone, or another one lies under its name since.
    """
    path = Path(str(weights.file))
    again = "run the weights stage again (delete its receipt and run snakemake)"
    try:
        there = path.is_file()
    except OSError as error:  # a name of 5,000 letters
        raise EncoderError(f"weights file {str(path)[:200]}: {error.strerror}; {again}") from error
    if not there:
        raise EncoderError(f"weights file {path} is gone since its receipt was written; {again}")
    # All of it is read in any case, and hashing 350 MB takes less than a second: no need to trust times and sizes.
    if (found := file_sha256(path)) != weights.sha256:
        raise EncoderError(
            f"weights file {path} was replaced: its sha256 is {found}, the receipt says {weights.sha256}; {again}"
        )
    return str(path)


def weights_in_words(weights: Weights) -> str:
    """Return what a label says of the weights: random and unverified ones are named so."""
    if weights.source == "random":
        return "RANDOM weights (untrained)"
    checksum, digits = weights.checksum or "unverified", f"(sha256 {str(weights.sha256)[:12]})"
    if weights.source == "file":
        return f"{checksum} file {str(weights.file).rsplit('/', 1)[-1]} {digits}"
    return "published weights" if checksum != "unverified" else f"published weights, unverified {digits}"


def _download(url: str, path: Path, architecture: str, expected: str | None) -> None:
    """Download a file, and give it its name once it is a checkpoint and has the expected checksum, or its start."""
    try:
        with alone_in(path):  # every project shares the folder
            if not path.is_file():  # by another process, meanwhile
                _download_alone(url, path, architecture, expected)
    except OSError as error:
        raise EncoderError(f"encoder {architecture}: {path} cannot be written ({error})") from error


def _download_alone(url: str, path: Path, architecture: str, expected: str | None) -> None:
    from heap.data.download import download, part_of
    from heap.errors import FetchError

    whole = path.with_name(f"{path.name}.unchecked")
    try:
        if not whole.is_file():  # of a run that was killed while it was checked
            download(url, whole)
        found = file_sha256(whole)
        if not found.startswith(expected or ""):
            raise EncoderError(f"its sha256 is {found}, expected {expected}")
        read_state(whole)
        whole.replace(path)
        part_of(whole)[1].unlink(missing_ok=True)
    except EncoderError as error:
        whole.unlink()
        raise EncoderError(f"encoder {architecture}: what {url} sent is not used ({error})") from error
    except FetchError as error:
        raise EncoderError(
            f"encoder {architecture}: its weights could not be downloaded: {error}.\n"
            f"Download {url}\nby hand to {path},\n"
            "or set the encoder's key `weights` to a file that you have, or take an encoder of `kind: descriptors`, "
            "which needs none."
        ) from error


def with_weights(build: Callable[[], M], weights: Weights) -> M:
    """Build a model and load the weights that `locate` found; `random` ones are the same in every run.

    Raises:
        EncoderError: see `check_receipt`, `read_state` and `load_state`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        model = build()
    if weights.source != "random":
        path = check_receipt(weights)
        load_state(model, read_state(path), path)
    return model


def weights(frozen: Path, out: Path) -> None:
    """Stage weights: find (or download) an encoder's weights, check them, and write the receipt.

    Args:
        frozen: resolved settings of the stage.
        out: receipt: source, file, sha256.

    Raises:
        EncoderError: as `locate`.
    """
    from heap.settings import read_frozen

    settings = read_frozen(frozen, "weights")
    found = Weights(source="none", file=None, sha256=None)
    if settings["kind"] != "descriptors":
        found = locate(settings["architecture"], settings["weights"], settings["sha256"])
    write_json(out, found.as_json())
