"""Stage group: a trained head over a dataset gives patch maps and regions. Other methods give maps alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from heap import paths
from heap.cache.maps import write_maps
from heap.cache.reader import FeatureReader
from heap.encoders.open import choose_device
from heap.errors import TrainingError
from heap.files import file_sha256
from heap.group.regions import Regions, write
from heap.head.batches import collate, photo_of
from heap.head.folder import load, weights_of
from heap.progress import track
from heap.settings import read_frozen, section
from heap.settings.stages import GroupSettings

_BATCH = 8


def group(
    frozen: Path,
    features: Path,
    head_path: Path,
    out_regions: Path,
    out_maps: Path,
    device: str | None,
    seed: int | None = None,
) -> None:
    """Run the head over every photo of a store.

    Args:
        frozen: frozen settings of the stage.
        features: receipt of the dataset's features.
        head_path: receipt of a training, or a `head.safetensors`.
        out_regions: region table.
        out_maps: receipt of the patch maps.
        device: torch device, see `choose_device`.
        seed: take this seed's head of the training; None takes the chosen one.

    Raises:
        TrainingError: there is no such head, or it was trained on features of another encoder.
    """
    settings: GroupSettings = section(read_frozen(frozen, "group"), "group", GroupSettings)
    reader = FeatureReader(features)
    chosen = choose_device(device)
    weights, choice = weights_of(head_path, seed)
    head, description = load(weights, chosen)
    for key in ("encoder", "weights", "dim"):
        if description[key] != reader.receipt[key]:
            raise TrainingError(
                f"{head_path}: was trained on features of another encoder ({key}: {description[key]}) "
                f"than {features} holds ({reader.receipt[key]})"
            )
    rows: list[pd.DataFrame] = []
    embeddings: list[npt.NDArray[np.float32]] = []

    def photos() -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.int16]]]:
        for start in range(0, len(reader), _BATCH):
            indices = list(range(start, min(start + _BATCH, len(reader))))
            batch = collate([photo_of(reader, i, "no_seed") for i in indices])
            with torch.inference_mode():
                out = head(batch.features.to(chosen), batch.mask.to(chosen))
            for number, i in enumerate(indices):
                n = reader.patches(i)
                mass = out.mass[number].cpu().numpy()
                region = out.assignment[number, :, :n].argmax(dim=0).cpu().numpy().astype(np.int16)
                area = np.bincount(region, minlength=len(mass))
                keep = np.flatnonzero((mass / n >= settings.min_area) & (area > 0))
                rows.append(
                    pd.DataFrame(
                        {
                            "image_id": reader.images["image_id"].iat[i],
                            "token": keep.astype(np.int16),
                            "area_share": (mass[keep] / n).astype(np.float32),
                            "area_patches": area[keep].astype(np.int32),
                            "foreground": out.score[number].cpu().numpy()[keep].astype(np.float32),
                        }
                    )
                )
                values = torch.nn.functional.normalize(out.regions[number], dim=-1).cpu().numpy()
                embeddings.append(values[keep].astype(np.float32))
                yield out.foreground[number, :n].float().cpu().numpy(), region

    name = reader.receipt["dataset"]
    sha256 = file_sha256(weights)
    made_by = {"head_sha256": sha256, "model": description["model"], "seed": description["seed"], **choice}
    progress_file = paths.beside(out_maps).parent / f"progress.{name}.json"
    maps = track(photos(), len(reader), "photos", f"grouping {name}", progress_file)
    write_maps(out_maps, reader, "heap", maps, made_by)
    progress_file.unlink(missing_ok=True)
    table = pd.concat(rows, ignore_index=True)
    table.insert(0, "region_id", np.arange(len(table), dtype=np.int64))
    info = {
        "dataset": name,
        "model": description["model"],
        "encoder": reader.receipt["encoder"],
        "tokens": head.settings.tokens,
        "head_sha256": sha256,
        "seed": description["seed"],
        "warnings": description["warnings"],
    }
    write(out_regions, Regions(table, np.concatenate(embeddings), info))
