"""Stage baseline: the patch maps of one method over a dataset, photos spread over the cores."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from heap.baselines.methods import Method, make
from heap.baselines.patches import Answer, Floats, Patches
from heap.cache.maps import write_maps
from heap.cache.reader import FeatureReader
from heap.errors import SettingsError
from heap.locks import alone
from heap.progress import track
from heap.settings import read_frozen
from heap.settings.baselines import BASELINES
from heap.workers import Reading, spread, workers_for

log = logging.getLogger("heap")


@alone("out_maps")
def baseline(
    frozen: Path,
    method: str,
    features: Path,
    out_maps: Path,
    head: Path | None = None,
    *,
    cores: int | None = None,
    workers: int | None = None,
) -> None:
    """Write the patch maps of a method over a store.

    The receipt counts under `notes` the photos where something did not go by the method's rule.

    Args:
        frozen: frozen settings of the method.
        method: its name.
        features: receipt of the dataset's features.
        out_maps: receipt of the maps.
        head: FOUND's trained head, for `found` alone.
        cores: that may be used; None asks.
        workers: processes; None chooses by cores, photos and method.

    Raises:
        SettingsError: no such method, or settings of another one.
        TrainingError: the head does not fit the features.
        CacheError: the features lack what the method needs.
    """
    own = read_frozen(frozen, "maps")
    reader = FeatureReader(features)
    if method in BASELINES and own["name"] != method:
        raise SettingsError(f"{frozen}: the frozen settings of {own['name']}, not of {method}")
    made = make(method, own["baseline"], head, reader)
    count = workers_for(len(reader), made.photos_per_worker, cores) if workers is None else workers
    name = reader.receipt.dataset
    notes: Counter[str] = Counter()
    job = Reading(partial(FeatureReader, features), partial(_map_of, made.run))
    answers = spread(job, range(len(reader)), count)
    progress = out_maps.with_name(f"progress.{name}.json")

    def maps() -> Iterator[tuple[Floats, None]]:
        for foreground, note in track(answers, len(reader), "photos", f"{method} on {name}", progress):
            notes.update([note] if note else [])
            yield foreground, None

    write_maps(out_maps, reader, method, maps(), made.info, notes)
    for note, photos in notes.items():
        log.warning("%s on %s: %s on %d of %d photos", method, name, note, photos, len(reader))


def _map_of(method: Method, reader: FeatureReader, i: int) -> Answer:
    return method(Patches.read(reader, i))
