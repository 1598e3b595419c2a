"""A trained model on disk: one folder with weights, history, and a description that says what it may be used with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from heap.errors import TrainingError
from heap.files import atomic_path, dump_json, write_json
from heap.head.model import Head
from heap.settings.models import HeadSettings, TrainSettings


def save(path: Path, head: Head, description: dict[str, Any]) -> None:
    """Write `head.safetensors` at `path` and `model.json` beside it.

    The description also stands in the weights' own metadata, so that a file that was moved alone still says what it is.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in head.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary, metadata={"heap": dump_json(description)})
    write_json(path.parent / "model.json", description)


def load(path: str | Path, device: str) -> tuple[Head, dict[str, Any]]:
    """Read a trained head and its description.

    Raises:
        TrainingError: the file is missing or no HEAP head.
    """
    import json

    path = Path(path)
    if not path.is_file():
        raise TrainingError(f"{path}: no trained head; run train first")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        state = load_file(path)
        description: dict[str, Any] = json.loads(metadata["heap"])
        head = Head(description["dim"], HeadSettings.model_validate(description["train"]["head"]))
        head.load_state_dict(state)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise TrainingError(f"{path}: not a HEAP head ({error})") from error
    return head.to(device).eval(), description


class Checkpoint:
    """State of a training that was interrupted.

    Args:
        path: its file.
        identity: digest of all that decides the training; a checkpoint of another training is not resumed.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path, self.identity = path, identity

    def write(
        self,
        iteration: int,
        head: Head,
        optimiser: torch.optim.Optimizer,
        history: list[dict[str, float]],
        settings: TrainSettings,
    ) -> None:
        """Keep the state after `iteration` steps; `settings` are the calibrated ones."""
        state = {
            "identity": self.identity,
            "iteration": iteration,
            "head": head.state_dict(),
            "optimiser": optimiser.state_dict(),
            "history": history,
            "settings": settings.model_dump(mode="json"),
        }
        with atomic_path(self.path) as temporary:
            torch.save(state, temporary)

    def read(self) -> dict[str, Any] | None:
        """Return the state to resume from, or None."""
        if not self.path.is_file():
            return None
        state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        return state if state["identity"] == self.identity else None

    def remove(self) -> None:
        """Forget the state: the training is done."""
        self.path.unlink(missing_ok=True)


__all__ = ["Checkpoint", "load", "save"]
