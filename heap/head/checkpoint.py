"""The state of a training that was interrupted: everything that decides the steps still to come."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from heap.errors import DAMAGE, TrainingError
from heap.files import atomic_path
from heap.head.bank import Bank
from heap.head.model import Head
from heap.settings.models import TrainSettings

# At the front of the file.
_SHA256_BYTES = 32


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
        bank: Bank | None,
    ) -> None:
        """Keep the state after `iteration` steps; `settings` are the calibrated ones."""
        state = {
            "identity": self.identity,
            "iteration": iteration,
            "head": head.state_dict(),
            "optimiser": optimiser.state_dict(),
            "history": history,
            "settings": settings.model_dump(mode="json"),
            "bank": None if bank is None else bank.state(),
        }
        # By way of memory: torch's own writer tells of a full disk in words that name neither disk nor file.
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with atomic_path(self.path) as temporary, temporary.open("wb") as stream:
            # torch does not compare the checksums of its own archive.
            stream.write(hashlib.sha256(buffer.getbuffer()).digest())
            stream.write(buffer.getbuffer())

    def read(self) -> dict[str, Any] | None:
        """Return the state to resume from, or None.

        Raises:
            TrainingError: the file is damaged.
        """
        if not self.path.is_file():
            return None
        content = self.path.read_bytes()
        try:
            if hashlib.sha256(content[_SHA256_BYTES:]).digest() != content[:_SHA256_BYTES]:
                raise ValueError("its checksum does not hold")
            buffer = io.BytesIO(content[_SHA256_BYTES:])
            state: dict[str, Any] = torch.load(buffer, map_location="cpu", weights_only=True)
            return state if state["identity"] == self.identity else None
        except DAMAGE as error:
            raise TrainingError(
                f"{self.path}: damaged, not readable as a checkpoint; delete it to train this seed from its start"
            ) from error

    def remove(self) -> None:
        """Forget the state: the training is done."""
        self.path.unlink(missing_ok=True)
