"""Trained heads on disk: a folder for each training, a folder in it for each seed, a receipt that says which to use.

    results/head/{model}.json                     receipt: the chosen head, why, the signs of all seeds
    results/head/{model}.csv                      history of all seeds
    results/head/{model}/{identity}/seed{n}/      head.safetensors, model.json, history.csv

The identity is a digest of all that decides the weights. So a training that fails or is killed leaves earlier heads as
they were, a setting that is put back finds its head again without computing, and another seed trains that seed only.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from heap import paths
from heap.errors import DAMAGE, TrainingError
from heap.files import atomic_path, digest, dump_json, file_sha256, parse_json, read_json, write_json
from heap.head.model import Head
from heap.receipts import Number, Receipt, read_receipt
from heap.settings.models import HeadSettings

HEAD = "head.safetensors"
HISTORY = "history.csv"
# Trainings kept for each model: enough to go back and forth between a few settings. A head of a ViT-S takes 15 MB.
KEPT = 5
# Settings of the stage that do not touch the weights of a seed's head.
_OUTSIDE = ("seeds", "resident_gb", "checkpoint_every")


class SeedReceipt(Receipt):
    """One seed's head."""

    seed: Number
    head_sha256: str


class TrainingReceipt(Receipt):
    """Which heads a training made, and which is used."""

    model: str
    identity: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    seed: Number
    why: str
    seeds: list[SeedReceipt]


def identity(stage: dict[str, Any], fingerprint: str) -> str:
    """Return the digest of what decides a head, apart from its seed.

    Args:
        stage: frozen settings of the stage.
        fingerprint: of the training features.
    """
    train = {key: value for key, value in stage["train"].items() if key not in _OUTSIDE}
    decides = {key: stage[key] for key in ("version", "train_split")}
    return digest({**decides, "train": train, "fingerprint": fingerprint})


def seed_folder(receipt: Path, identity: str, seed: int) -> Path:
    """Return the folder of one seed's head."""
    return paths.beside(receipt) / identity / f"seed{seed}"


def save(folder: Path, head: Head, description: dict[str, Any]) -> None:
    """Write `model.json` and, last, `head.safetensors`.

    The description also stands in the weights' own metadata, so that a file that was moved alone still says what it is.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in head.state_dict().items()}
    with atomic_path(folder / HEAD) as temporary:
        save_file(state, temporary, metadata={"heap": dump_json(description)})
        write_json(folder / "model.json", {**description, "head_sha256": file_sha256(temporary)})


def whole(folder: Path) -> bool:
    """Return whether a folder holds a head that was saved to its end, and not changed since."""
    if not ((folder / HEAD).is_file() and (folder / "model.json").is_file()):
        return False
    return bool(read_json(folder / "model.json").get("head_sha256") == file_sha256(folder / HEAD))


def weights_of(path: str | Path, seed: int | None = None) -> tuple[Path, dict[str, Any]]:
    """Return the weights' file that `path` stands for, and how it came to be chosen.

    Args:
        path: a training's receipt, or a `head.safetensors` itself.
        seed: which seed's head of the receipt; None takes the chosen one.

    Returns:
        The file; and `seeds` of the training, `seed_chosen` among them, `seed_why` this file (in words).

    Raises:
        TrainingError: the file, or the head that the receipt speaks of, is missing or another.
    """
    path = Path(path)
    if not path.is_file():
        raise TrainingError(f"{path}: no trained head; run train first")
    if path.suffix != ".json":
        return path, {"seeds": [], "seed_why": "its head was given as a file"}
    receipt = read_receipt(path, TrainingReceipt, "the receipt of a training", TrainingError)
    hashes = {row["seed"]: row["head_sha256"] for row in receipt["seeds"]}
    wanted = receipt["seed"] if seed is None else seed
    if wanted not in hashes:
        raise TrainingError(f"{path}: no head of seed {wanted} (there are: {', '.join(map(str, hashes))})")
    weights = seed_folder(path, receipt["identity"], wanted) / HEAD
    again = f"delete {path} and run snakemake again to train anew"
    if not weights.is_file():
        raise TrainingError(f"{path}: its head {weights} is gone; {again}")
    if file_sha256(weights) != hashes[wanted]:
        raise TrainingError(f"{weights}: not the head that {path} speaks of (another sha256); {again}")
    why = receipt["why"] if seed is None else "this seed was asked for"
    return weights, {"seeds": list(hashes), "seed_chosen": receipt["seed"], "seed_why": why}


def load(path: str | Path, device: str) -> tuple[Head, dict[str, Any]]:
    """Read a trained head and its description.

    Args:
        path: a training's receipt (the chosen head), or a `head.safetensors`.
        device: torch device.

    Returns:
        The head in evaluation mode, and its description.

    Raises:
        TrainingError: the file is missing or no HEAP head.
    """
    weights, _ = weights_of(path)
    try:
        with safe_open(weights, framework="pt") as file:
            metadata = file.metadata() or {}
        state = load_file(weights)
        description: dict[str, Any] = parse_json(metadata["heap"])
        head = Head(description["dim"], HeadSettings.model_validate(description["train"]["head"]))
        head.load_state_dict(state)
    except (*DAMAGE, SafetensorError) as error:
        raise TrainingError(f"{weights}: not a HEAP head ({error})") from error
    return head.to(torch.device(device)).eval(), description


def prune(receipt: Path, current: str) -> list[Path]:
    """Delete all but the last few trainings of a model and return what was deleted; `current` always stays."""
    folder = paths.beside(receipt)
    os.utime(folder / current)  # used now, also where nothing was computed
    trainings = [path for path in folder.iterdir() if path.is_dir() and re.fullmatch(r"[0-9a-f]{16}", path.name)]
    by_use = sorted(trainings, key=lambda path: path.stat().st_mtime, reverse=True)
    old = [path for path in by_use[KEPT:] if path.name != current]
    for path in old:
        shutil.rmtree(path)
    return old
