"""Checkpoints of anybody's training, read as data only, and loaded into a model exactly."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from heap.encoders.layouts import backbone_of, to_timm
from heap.errors import DAMAGE, EncoderError

log = logging.getLogger("heap")

# Names of a kind that an error lists; another architecture's file has hundreds.
_LISTED = 3
# Plain data that main_dino.py and others save with their weights.
_PLAIN: list[Any] = [argparse.Namespace]


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read every tensor of a checkpoint, by content (safetensors or torch.save), whatever its name ends in.

    Only data is read: safetensors, or pickles restricted to tensors (`weights_only`).

    Returns:
        Name to tensor; names of dictionaries within dictionaries are joined with dots (`teacher.backbone.norm.bias`).

    Raises:
        EncoderError: not a checkpoint, or it would need code to load.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            start = stream.read(40)
        if start[8:9] == b"{":  # behind the length of its header
            return load_file(path)
        with path.open("rb") as stream, safe_globals(_PLAIN):  # opened here: torch chooses the format by a name
            content: Any = torch.load(stream, map_location="cpu", weights_only=True)
    except (*DAMAGE, SafetensorError) as error:
        raise EncoderError(f"{path}: not readable as a checkpoint of tensors: {_reason(path, error)}") from error
    if not isinstance(content, Mapping):
        raise EncoderError(f"{path}: expected a state dict, found {type(content).__name__}")
    found: dict[str, Tensor] = {}
    _flatten(content, "", found)
    if not found:
        raise EncoderError(f"{path}: holds no tensor, expected a state dict (torch.save(model.state_dict(), file))")
    return found


def _flatten(content: Mapping[Any, Any], prefix: str, found: dict[str, Tensor]) -> None:
    for key, value in content.items():
        if isinstance(value, Tensor):
            found[f"{prefix}{key}"] = value
        elif isinstance(value, Mapping):
            _flatten(value, f"{prefix}{key}.", found)


def _reason(path: Path, error: Exception) -> str:
    """Return why a file cannot be read, in place of torch's text, whose advice is to run whatever is in the file."""
    if isinstance(error, OSError):
        return str(error.strerror or error)
    if path.stat().st_size == 0:
        return "the file is empty"
    try:
        with safe_globals(_PLAIN):
            code = get_unsafe_globals_in_checkpoint(path)
    except DAMAGE:
        code = []
    if code:
        more = f" and {len(code) - _LISTED} more" if len(code) > _LISTED else ""
        return (
            f"next to tensors it holds {', '.join(code[:_LISTED])}{more}, which are code and are not run; save the "
            "tensors alone: torch.save(model.state_dict(), file)"
        )
    with path.open("rb") as stream:
        start = stream.read(20)
    return f"it is damaged, or neither safetensors nor a file of torch.save (begins with {start!r})"


def load_state(model: torch.nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load the backbone of a checkpoint in official or timm layout into `model`, exactly; the rest of it is logged.

    A position embedding of another square grid than the architecture's is kept as it is, and the model takes its grid:
    it is resampled to each photo in any case.

    Raises:
        EncoderError: tensors are missing, unexpected or of another shape; gives their number and the first of each.
    """
    # Batch norm's count of training steps decides nothing, and converted checkpoints lack it.
    own = {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    prefix, inside = backbone_of(state, set(own))
    converted = to_timm(inside, set(own), source)
    found = {name: value for name, value in converted.state.items() if not name.endswith("num_batches_tracked")}
    if _take_grid(model, found):
        own = {name: value for name, value in model.state_dict().items() if name in own}
    _require_same(own, found, source)
    left = len(state) - len(found)
    if prefix or converted.dropped:
        parts = {name.split(".blocks")[0] for name in converted.dropped}
        parts |= {key.split(".")[0] for key in state if not key.startswith(prefix)}
        below, names = f" below {prefix!r}" if prefix else "", ": " * bool(parts) + ", ".join(sorted(parts)[:8])
        log.info("%s: took the tensors%s; %d tensors are no part of the backbone%s", source, below, left, names)
    model.load_state_dict(found, strict=False)  # all but the counts, as checked above
    if converted.periods is not None:
        _set_periods(model, converted.periods, source)


def _require_same(own: Mapping[str, Tensor], found: Mapping[str, Tensor], source: str) -> None:
    """Raise where names or shapes differ."""
    shapes = [
        f"{name} is {tuple(found[name].shape)}, expected {tuple(value.shape)}"
        for name, value in own.items()
        if name in found and found[name].shape != value.shape
    ]
    wrong = {"missing": sorted(set(own) - set(found)), "unexpected": sorted(set(found) - set(own)), "misshaped": shapes}
    problems = "; ".join(
        f"{what}: {len(names)} ({', '.join(names[:_LISTED])}{', ...' * (len(names) > _LISTED)})"
        for what, names in wrong.items()
        if names
    )
    if problems:
        raise EncoderError(f"{source}: not the weights of this architecture ({len(own)} tensors); {problems}")


def _take_grid(model: Any, found: Mapping[str, Tensor]) -> bool:
    """Give a ViT the grid that the position embedding of a checkpoint was trained with; False where it has that."""
    own, other = getattr(model, "pos_embed", None), found.get("pos_embed")
    if own is None or other is None or other.ndim != 3 or own.shape == other.shape:
        return False
    if own.shape[::2] != other.shape[::2]:
        return False
    prefix = 0 if model.no_embed_class else int(model.num_prefix_tokens)
    side = round((other.shape[1] - prefix) ** 0.5)
    if side < 1 or side**2 != other.shape[1] - prefix:
        return False
    patch_h, patch_w = model.patch_embed.patch_size
    model.set_input_size(img_size=(side * patch_h, side * patch_w))
    return True


def _set_periods(model: torch.nn.Module, periods: torch.Tensor, source: str) -> None:
    own = getattr(getattr(model, "rope", None), "periods", None)
    if own is None or own.shape != periods.shape:
        known = "none" if own is None else tuple(own.shape)
        raise EncoderError(f"{source}: rope_embed.periods is {tuple(periods.shape)}, the architecture has {known}")
    own.copy_(periods)
