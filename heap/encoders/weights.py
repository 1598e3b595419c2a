"""Weights of an encoder: where they are, what they are, and reading them as data only."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from heap.encoders.checkpoint import load_state, read_state
from heap.encoders.registry import shape_of
from heap.errors import EncoderError
from heap.files import file_sha256
from heap.receipts import Weights, read_receipt

M = TypeVar("M", bound=torch.nn.Module)
# Random weights are drawn from one seed, so that two stores of the same `random` encoder hold the same features.
RANDOM_SEED = 0
log = logging.getLogger("heap")

WEIGHTS_FOLDER = Path("resources/weights")


def locate(architecture: str, weights: str, sha256: str | None) -> dict[str, str | None]:
    """Find (for `auto`: download) the weights and return their receipt: source, file, sha256.

    Args:
        architecture: a name of the registry, or a model of timm.
        weights: `auto`, `random`, or a file.
        sha256: checksum the file must have, or None.

    Raises:
        EncoderError: the file is missing or has another checksum; offline, what to download, from where, to which path.
    """
    if weights == "random":
        return {"source": "random", "file": None, "sha256": None}
    if weights == "auto":
        url, name = published(architecture)
        path, source = WEIGHTS_FOLDER / name, url
        if not path.is_file():
            _download(url, path, architecture)
    else:
        path, source = Path(weights).expanduser(), "file"
        if not path.is_file():
            raise EncoderError(f"encoder {architecture}: weights file {path} does not exist")
    found = file_sha256(path)
    if sha256 is not None and found != sha256:
        raise EncoderError(f"encoder {architecture}: {path} has sha256 {found}, the config pins {sha256}")
    return {"source": source, "file": str(path), "sha256": found}


def published(architecture: str) -> tuple[str, str]:
    """Return the URL of an architecture's published weights, and the name of their file below `WEIGHTS_FOLDER`.

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


def read_weights(path: str | Path) -> dict[str, Any]:
    """Read the receipt of an encoder's weights: source, file, sha256.

    Raises:
        EncoderError: it is something else; names file and key.
    """
    return read_receipt(path, Weights, "the receipt of an encoder's weights", EncoderError)


def check_receipt(weights: Mapping[str, str | None]) -> str:
    """Return the path of weights that are still the file of their receipt.

    Raises:
        EncoderError: no file is named, it is gone, or another one lies under its name since.
    """
    path = Path(str(weights.get("file")))
    again = "run the weights stage again (`heap weights`, or delete its receipt and run snakemake)"
    try:
        there = path.is_file()
    except OSError as error:  # a name of 5,000 letters
        raise EncoderError(f"weights file {str(path)[:200]}: {error.strerror}; {again}") from error
    if not there:
        raise EncoderError(f"weights file {path} is gone since its receipt was written; {again}")
    # All of it is read in any case, and hashing 350 MB takes less than a second: no need to trust times and sizes.
    found = file_sha256(path)
    expected = weights.get("sha256")
    if found != expected:
        raise EncoderError(
            f"weights file {path} was replaced: its sha256 is {found}, the receipt says {expected}; {again}"
        )
    return str(path)


def weights_in_words(weights: Mapping[str, str | None], pinned: bool) -> str:
    """Return what a label says of the weights: random and unverified ones are named so."""
    if weights["source"] == "random":
        return "RANDOM weights (untrained)"
    if weights["source"] == "file":
        name = str(weights["file"]).rsplit("/", 1)[-1]
        return f"{'pinned' if pinned else 'unverified'} file {name} (sha256 {str(weights['sha256'])[:12]})"
    return "published weights"


def _download(url: str, path: Path, architecture: str) -> None:
    from heap.data.download import download
    from heap.errors import FetchError

    try:
        download(url, path)
    except FetchError as error:
        raise EncoderError(
            f"encoder {architecture}: its weights could not be downloaded ({error}).\n"
            f"Download {url}\nby hand to {path} (or set `weights` to a file)."
        ) from error


def with_weights(build: Callable[[], M], weights: Mapping[str, str | None]) -> M:
    """Build a model and load the weights that `locate` found; `random` ones are the same in every run.

    Raises:
        EncoderError: see `check_receipt`, `read_state` and `load_state`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        model = build()
    if weights["source"] != "random":
        path = check_receipt(weights)
        load_state(model, read_state(path), path)
    return model
