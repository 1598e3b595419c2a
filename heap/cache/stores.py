"""Every store below a folder: what it is, whether a receipt points to it, and removing those that none does."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heap.cache.lock import StoreLock
from heap.cache.notes import DESCRIPTION, note_path, read_description, size_of
from heap.cache.store import read_images
from heap.errors import CacheError, HeapError
from heap.files import read_json

# A temporary file of a living writer is seconds old; one of this age was left by a killed one.
LEFTOVER_AGE_S = 86_400.0
_PRUNED = ".pruned"


@dataclass(frozen=True)
class Store:
    """One store as `heap cache list` shows it.

    Attributes:
        dataset: name of its folder.
        folder: the store.
        encoder: label of the encoder, "" where the description is gone.
        photos: in its plan.
        patches: in its plan.
        size_bytes: on disk.
        written: when its newest file was written, seconds since the epoch.
        done: shards finished.
        shards: shards in all.
        current: the dataset's receipt (or, before there is one, a part's) points to it.
        newer: it was written after the dataset's receipt, or there is none: its own may be yet to be written.
        busy: a process is writing to it.
        problem: why it cannot be described, "" where it can.
    """

    dataset: str
    folder: Path
    encoder: str
    photos: int
    patches: int
    size_bytes: int
    written: float
    done: int
    shards: int
    current: bool
    newer: bool
    busy: bool
    problem: str = ""

    @property
    def state(self) -> str:
        """What a person wants to know of it, in a few words."""
        if self.problem:
            return f"damaged: {self.problem}"
        words = "complete" if self.done == self.shards else f"{self.done} of {self.shards} shards"
        if self.busy:
            return f"{words}, being written"
        if not self.current and self.done == self.shards:
            return f"{words}, without a receipt yet" if self.newer else "stale: no receipt points to it"
        return words

    @property
    def fingerprint(self) -> str:
        """Name of the store."""
        return self.folder.stem


def receipt_of(root: Path, dataset: str) -> Path:
    """Return the receipt of a dataset's features below `root` (see `heap.paths.features`)."""
    return root / f"{dataset}.json"


def datasets_in(root: Path, wanted: list[str]) -> list[str]:
    """Return the datasets that have a folder of stores or a receipt below `root`, or those of `wanted`.

    Raises:
        CacheError: one of `wanted` has neither.
    """
    there = {path.name for path in root.glob("*") if path.is_dir() and any(path.glob("*.zarr"))}
    there |= {path.stem for path in root.glob("*.json")}
    unknown = sorted(set(wanted) - there)
    if unknown:
        raise CacheError(
            f"{root}: no features of {', '.join(unknown)} (there are: {', '.join(sorted(there)) or 'none'})"
        )
    return sorted(wanted or there)


def pointed_to(root: Path, dataset: str) -> set[str]:
    """Return the fingerprints that the dataset's receipts point to.

    The receipts of parts count where the dataset has none yet, or an older one: then they wait to be gathered.

    Raises:
        DataError: a receipt is damaged. Nothing may be called stale then.
    """
    receipt = receipt_of(root, dataset)
    found: set[str] = set()
    since = float("-inf")
    if receipt.is_file():
        found.add(fingerprint_of(receipt))
        since = receipt.stat().st_mtime
    for part in sorted((root / f"{dataset}.parts").glob("*.json")):
        if part.stat().st_mtime > since:
            found.add(fingerprint_of(part))
    return found


def find_stores(root: Path, datasets: list[str]) -> list[Store]:
    """Return every store of the datasets, in order of name."""
    pointed = {dataset: pointed_to(root, dataset) for dataset in datasets}
    return [
        _describe(folder, dataset, folder.stem in current)
        for dataset, current in pointed.items()
        for folder in sorted((root / dataset).glob("*.zarr"))
    ]


def _describe(folder: Path, dataset: str, current: bool) -> Store:
    """Describe one store by names and sizes, without reading features."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(size_of(path) or 0 for path in files)
    written = max((path.stat().st_mtime for path in files), default=folder.stat().st_mtime)
    receipt = receipt_of(folder.parent.parent, dataset)
    newer = not receipt.is_file() or written > receipt.stat().st_mtime
    with StoreLock(folder) as lock:
        busy = lock.path.exists() and not lock.try_all()
    try:
        described = read_description(folder)
        images = read_images(folder)
    except HeapError as error:
        problem = str(error) if (folder / DESCRIPTION).is_file() else "never begun, or its description is gone"
        return Store(dataset, folder, "", 0, 0, size, written, 0, 0, current, newer, busy, problem)
    shards = int(described["shards"])
    patches = int((images["grid_h"].astype("int64") * images["grid_w"]).sum())
    done = sum(note_path(folder, shard).is_file() for shard in range(shards))
    encoder = str(described.get("encoder", ""))
    return Store(dataset, folder, encoder, len(images), patches, size, written, done, shards, current, newer, busy)


def as_record(store: Store) -> dict[str, Any]:
    """Return what `heap cache list --json` prints of a store."""
    return {
        "dataset": store.dataset,
        "store": str(store.folder),
        "fingerprint": store.fingerprint,
        "encoder": store.encoder,
        "photos": store.photos,
        "patches": store.patches,
        "bytes": store.size_bytes,
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(store.written)),
        "shards_done": store.done,
        "shards": store.shards,
        "current": store.current,
        "being_written": store.busy,
        "state": store.state,
    }


def prunable(stores: list[Store], now: float, keep_days: float, unfinished: bool) -> list[Store]:
    """Return the stores to remove: no receipt points to them, nobody writes them, and they are old enough.

    An unfinished store is usually an extraction that was interrupted and is to go on, and a whole one that is newer
    than the dataset's receipt may wait for its own: they are kept unless `unfinished`.
    """
    return [
        store
        for store in stores
        if not store.current
        and not store.busy
        and now - store.written >= keep_days * 86_400
        and (unfinished or (not store.problem and not store.newer and store.done == store.shards))
    ]


def remove(folder: Path) -> bool:
    """Remove a store; False where a process is writing it.

    It loses its name first, so that a removal that is interrupted leaves no half store behind.
    """
    with StoreLock(folder) as lock:
        if not lock.try_all():
            return False
        gone = folder.with_name(f".{folder.name}{_PRUNED}")
        folder.replace(gone)
        lock.path.unlink(missing_ok=True)
    shutil.rmtree(gone)
    return True


def leftovers(root: Path, datasets: list[str], now: float) -> list[Path]:
    """Return what killed writers and interrupted removals left next to the stores; young ones may be another's work."""
    found = []
    for dataset in datasets:
        for path in sorted((root / dataset).glob(".*")):
            old = now - path.stat().st_mtime >= LEFTOVER_AGE_S
            if path.suffix == ".lock":
                if old and not (root / dataset / f"{path.stem.removeprefix('.')}.zarr").exists():
                    found.append(path)
            elif old and (path.suffix == _PRUNED or path.is_file()):
                found.append(path)
    return found


def fingerprint_of(receipt: Path) -> str:
    """Return the fingerprint of the store that a receipt, or that of a part, points to.

    Raises:
        CacheError, DataError: it is damaged, or something else.
    """
    content = read_json(receipt)
    if not isinstance(content, dict) or "fingerprint" not in content:
        raise CacheError(f"{receipt}: not the receipt of a feature store")
    return str(content["fingerprint"])
