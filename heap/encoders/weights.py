"""Weights of an encoder: where they are, what they are, and reading them as data only."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from heap.encoders.registry import shape_of
from heap.errors import EncoderError
from heap.files import file_sha256

WEIGHTS_FOLDER = Path("resources/weights")
# Names under which training code wraps the network's own state dict; the teacher is what DINO publishes.
_WRAPPERS = ("teacher", "state_dict", "model")
_PREFIXES = ("module.", "backbone.")
# Parts of a checkpoint that belong to pre-training, not to the backbone.
_NOT_BACKBONE = ("head.", "fc.", "mask_token")


def locate(architecture: str, weights: str, sha256: str | None) -> dict[str, str | None]:
    """Find (for `auto`: download) the weights and return their receipt: source, file, sha256.

    Args:
        architecture: a name of the registry, or a ViT of timm.
        weights: `auto`, `random`, or a file.
        sha256: checksum the file must have, or None.

    Raises:
        EncoderError: the file is missing or has another checksum; offline, what to download, from where, to which path.
    """
    if weights == "random":
        return {"source": "random", "file": None, "sha256": None}
    if weights == "auto":
        known = shape_of(architecture)
        if known is None:
            raise EncoderError(
                f"encoder {architecture}: `weights: auto` knows only the architectures of `heap encoders`; "
                "give a checkpoint file"
            )
        path, source = WEIGHTS_FOLDER / known.url.rsplit("/", 1)[1], known.url
        if not path.is_file():
            _download(known.url, path, architecture)
    else:
        path, source = Path(weights).expanduser(), "file"
        if not path.is_file():
            raise EncoderError(f"encoder {architecture}: weights file {path} does not exist")
    found = file_sha256(path)
    if sha256 is not None and found != sha256:
        raise EncoderError(f"encoder {architecture}: {path} has sha256 {found}, the config pins {sha256}")
    return {"source": source, "file": str(path), "sha256": found}


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


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a checkpoint in official or timm layout as a flat state dict of the backbone.

    Only data is read: safetensors, or pickles restricted to tensors (`weights_only`).

    Raises:
        EncoderError: not a checkpoint, or it would need code to load.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError, SafetensorError) as error:
        raise EncoderError(f"{path}: not readable as a checkpoint of tensors ({error})") from error
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping):
        raise EncoderError(f"{path}: expected a state dict, found {type(state).__name__}")
    flat: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        name = str(key)
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        if name.startswith(_NOT_BACKBONE):
            continue
        if not isinstance(value, torch.Tensor):
            raise EncoderError(f"{path}: {key} is {type(value).__name__}, expected a tensor")
        flat[name] = value
    return flat


def load_state(model: torch.nn.Module, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Load `state` into `model`, exactly.

    Raises:
        EncoderError: lists every missing, unexpected and misshaped key.
    """
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    missing = sorted(set(wanted) - set(state))
    unexpected = sorted(set(state) - set(wanted))
    misshaped = [
        f"{name} is {tuple(state[name].shape)}, expected {shape}"
        for name, shape in wanted.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    problems = [
        f"{what}: {', '.join(names)}"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("misshaped", misshaped))
        if names
    ]
    if problems:
        raise EncoderError(f"{source}: not the weights of this architecture\n  " + "\n  ".join(problems))
    model.load_state_dict(dict(state))
