"""Stage group: a trained head over a dataset gives patch maps and regions. Other methods give maps alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from heap.cache.maps import write_maps
from heap.cache.reader import FeatureReader, check_encoder
from heap.encoders.open import choose_device
from heap.files import file_sha256
from heap.group.apply import group_photos
from heap.group.regions import Regions, write
from heap.head.batches import sample_of
from heap.head.folder import load, weights_of
from heap.head.model import Head
from heap.locks import alone
from heap.progress import track
from heap.settings import read_frozen, section
from heap.settings.stages import GroupSettings

_BATCH = 8


@alone("out_maps")
def group(
    frozen: Path,
    features: Path,
    head_path: Path,
    out_regions: Path,
    out_maps: Path,
    device: str | None,
) -> None:
    """Run the head over every photo of a store.

    Args:
        frozen: frozen settings of the stage.
        features: receipt of the dataset's features.
        head_path: receipt of a model, or a `head.safetensors`.
        out_regions: region table.
        out_maps: receipt of the patch maps.
        device: torch device, see `choose_device`.

    Raises:
        TrainingError: there is no such head, or it was trained on features of another encoder.
    """
    settings: GroupSettings = section(read_frozen(frozen, "group"), "group", GroupSettings)
    reader = FeatureReader(features)
    chosen = choose_device(device)
    weights, choice = weights_of(head_path)
    head, description = load(weights, chosen)
    check_encoder(head_path, description, reader)
    name = reader.receipt.dataset
    sha256 = file_sha256(weights)
    made_by = {"head_sha256": sha256, "model": description["model"], "seed": description["seed"], **choice}
    # Plain arrays until the end: a data frame a photo would take more memory than all that is in it.
    columns: dict[str, list[npt.NDArray[Any]]] = defaultdict(list)
    mapped = _mapped(reader, head, settings, chosen, columns)
    progress = out_maps.with_name(f"progress.{name}.json")
    maps = track(mapped, len(reader), "photos", f"grouping {name}", progress)
    write_maps(out_maps, reader, "heap", maps, made_by)
    listed = [len(tokens) for tokens in columns["token"]]
    table = pd.DataFrame(
        {
            "region_id": np.arange(sum(listed), dtype=np.int64),
            "image_id": np.repeat(reader.images["image_id"].to_numpy(object), listed),
            **{column: np.concatenate(columns[column]) for column in ("token", "area_share", "foreground")},
        }
    )
    info = {
        **{key: description[key] for key in ("model", "seed", "warnings")},
        "dataset": name,
        "encoder": reader.receipt.encoder,
        "appearance": reader.receipt.appearance,
        "tokens": head.settings.num_groups,
        "head_sha256": sha256,
    }
    write(out_regions, Regions(table, np.concatenate(columns["embedding"]), info))


def _mapped(
    reader: FeatureReader, head: Head, settings: GroupSettings, device: str, columns: dict[str, list[npt.NDArray[Any]]]
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.int16]]]:
    """Yield the map and the regions of each photo; what the region table has of them is added to the columns."""
    for start in range(0, len(reader), _BATCH):
        indices = range(start, min(start + _BATCH, len(reader)))
        for found in group_photos(head, [sample_of(reader, i, "no_seed") for i in indices], settings, device):
            columns["token"].append(found.tokens)
            columns["area_share"].append(found.area_share)
            columns["foreground"].append(found.score)
            columns["embedding"].append(found.embeddings)
            yield found.foreground, found.region
