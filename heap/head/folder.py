"""Trained heads on disk: one folder for each seed, and a receipt with a copy of the head that was chosen.

    results/heads/{model}/seed{n}/   head.safetensors, history.csv, survey.safetensors; by stage train
    results/head/{model}.json        which seed is used, why, the signs of all; by stage select
    results/head/{model}.csv         history of all seeds
    results/head/{model}/            head.safetensors, a copy of the chosen one

A training writes to its own folder alone. So one that fails or is killed leaves the chosen head as it was.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from torch import Tensor

from heap import paths
from heap.errors import DAMAGE, TrainingError
from heap.files import atomic_path, digest, dump_json, file_sha256, parse_json
from heap.head.diagnose import Maps
from heap.head.model import Head
from heap.receipts import Number, Receipt, read_receipt
from heap.settings.models import HeadSettings

HEAD = "head.safetensors"
# No weight is larger: features are float16, so their mean is below 65504, and what is trained stays near 1.
_LARGEST = 65504.0


class SeedReceipt(Receipt):
    """One seed's head."""

    seed: Number
    head_sha256: str


class TrainingReceipt(Receipt):
    """Which heads were trained, and which is used."""

    model: str
    seed: Number
    why: str
    head_sha256: str
    seeds: list[SeedReceipt]


def identity(stage: dict[str, Any], fingerprint: str, image_ids: list[str]) -> str:
    """Return the digest of what decides a head, apart from its seed: a checkpoint of another one is not resumed.

    Args:
        stage: frozen settings of the stage.
        fingerprint: of the training features.
        image_ids: the photos that are trained on.
    """
    return digest({"version": stage["version"], "train": stage["train"], "fingerprint": fingerprint, "ids": image_ids})


def save(path: Path, head: Head, description: dict[str, Any]) -> None:
    """Write a head with its description in the file's own metadata."""
    state = {name: value.detach().cpu().contiguous() for name, value in head.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary, metadata={"heap": dump_json(description)})


def save_survey(path: Path, maps: Maps) -> None:
    """Write the saliency maps of the photos that a head was surveyed on, for the comparison with other seeds."""
    arrays = {"values": np.concatenate(maps), "counts": np.array([len(one) for one in maps])}
    arrays["crc32"] = _crc32(arrays)
    with atomic_path(path) as temporary:
        save_arrays(arrays, temporary)


def _crc32(arrays: dict[str, np.ndarray]) -> np.ndarray:
    return np.array([zlib.crc32(arrays["values"].tobytes() + arrays["counts"].tobytes())])


def read_survey(path: Path) -> Maps:
    """Read what `save_survey` wrote.

    Raises:
        TrainingError: the file is missing or damaged.
    """
    try:
        arrays = load_arrays(path)
        if arrays["crc32"] != _crc32(arrays):
            raise ValueError("its checksum does not hold")
        return np.split(arrays["values"], np.cumsum(arrays["counts"])[:-1])
    except (*DAMAGE, SafetensorError) as error:
        raise TrainingError(f"{path}: not readable as the survey of a head ({error}); train this seed again") from error


def weights_of(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """Return the weights' file that `path` stands for, and how it came to be chosen.

    Args:
        path: a model's receipt, or a `head.safetensors` itself.

    Returns:
        The file; and `seeds` of the model, `seed_chosen` among them, `seed_why` this file (in words).

    Raises:
        TrainingError: the file, or the head that the receipt speaks of, is missing or another.
    """
    path = Path(path)
    if not path.is_file():
        raise TrainingError(f"{path}: no trained head; run train first")
    if path.suffix != ".json":
        return path, {"seeds": [], "seed_why": "its head was given as a file"}
    receipt = read_receipt(path, TrainingReceipt, "the receipt of a training", TrainingError)
    weights = paths.folder_of(path) / HEAD
    again = f"delete {path} and run snakemake again, which chooses again"
    if not weights.is_file():
        raise TrainingError(f"{path}: its head {weights} is gone; {again}")
    if file_sha256(weights) != receipt.head_sha256:
        raise TrainingError(f"{weights}: not the head that {path} speaks of (another sha256); {again}")
    seeds = [row.seed for row in receipt.seeds]
    return weights, {"seeds": seeds, "seed_chosen": receipt.seed, "seed_why": receipt.why}


def describe(weights: Path) -> dict[str, Any]:
    """Return the description in a head's file, without building the head.

    Raises:
        TrainingError: the file is missing or no HEAP head.
    """
    try:
        with safe_open(weights, framework="numpy") as file:
            description: dict[str, Any] = parse_json((file.metadata() or {})["heap"])
    except (*DAMAGE, SafetensorError) as error:
        raise TrainingError(f"{weights}: not a HEAP head ({error})") from error
    return description


def load(path: str | Path, device: str) -> tuple[Head, dict[str, Any]]:
    """Read a trained head and its description.

    Args:
        path: a model's receipt (the chosen head), or a `head.safetensors`.
        device: torch device.

    Returns:
        The head in evaluation mode, and its description.

    Raises:
        TrainingError: the file is missing, no HEAP head, or one of impossible values.
    """
    weights, _ = weights_of(path)
    description = describe(weights)
    try:
        state = load_file(weights)
        with torch.device("meta"):  # sizes are compared before anything of these sizes is made
            head = Head(description["dim"], HeadSettings.model_validate(description["train"]["head"]))
        head.load_state_dict(state, assign=True)
    except (*DAMAGE, SafetensorError) as error:
        raise TrainingError(f"{weights}: not a HEAP head ({error})") from error
    _check_values(weights, state)
    return head.float().to(torch.device(device)).eval(), description


def _check_values(weights: Path, state: dict[str, Tensor]) -> None:
    """Refuse values that no training gives; they would find nothing, in silence."""
    for name, value in state.items():
        if not bool((value.abs() <= _LARGEST).all()):  # false for NaN, too
            raise TrainingError(
                f"{weights}: {name} holds NaN or values beyond {_LARGEST:g}; the head is damaged or its training "
                "failed, train again"
            )
    if not float(state["temperature"]) > 0:
        raise TrainingError(f"{weights}: temperature is {float(state['temperature']):g}, expected above 0; train again")
