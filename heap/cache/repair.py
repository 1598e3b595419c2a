"""Forgetting what is damaged, so that the next extract computes just that again."""

from __future__ import annotations

from pathlib import Path

from heap.cache.lock import StoreLock
from heap.cache.notes import note_path
from heap.cache.reader import store_folder
from heap.cache.store import ARRAYS, open_array
from heap.cache.stores import fingerprint_of, receipt_of, remove
from heap.cache.verify import Finding
from heap.errors import CacheError


def repair(root: Path, dataset: str, findings: list[Finding]) -> list[str]:
    """Forget what is damaged, so that the next extract computes it again; returns what was done, for people.

    A damaged shard loses its note and its files. A store whose description or features are wrong is removed whole. The
    dataset's receipts go too, because they call complete what is not: that makes Snakemake run extract and gather.

    Raises:
        CacheError: the store is being written.
    """
    done: list[str] = []
    whole = {finding.store for finding in findings if finding.store is not None and finding.shard is None}
    for folder in sorted(whole):
        if folder.exists():
            if not remove(folder):
                raise CacheError(f"{folder}: is being written; repair it afterwards")
            done.append(f"removed {folder}")
    shards = {(f.store, f.shard) for f in findings if f.store is not None and f.shard is not None}
    for folder, shard in sorted(shards):
        if folder in whole:
            continue
        with StoreLock(folder) as lock:
            if not lock.try_shard(shard):
                raise CacheError(f"{folder}: shard {shard} is being written; repair it afterwards")
            note_path(folder, shard).unlink(missing_ok=True)
            for name in ARRAYS:
                (folder / name / open_array(folder, name).metadata.encode_chunk_key((shard, 0))).unlink(missing_ok=True)
        done.append(f"forgot shard {shard} of {folder}")
    damaged = {finding.store for finding in findings}
    receipts = [receipt_of(root, dataset), *sorted((root / f"{dataset}.parts").glob("*.json"))] if done else []
    for path in receipts:
        if path.is_file() and store_folder(root / dataset, fingerprint_of(path)) in damaged:
            path.unlink()
            done.append(f"removed the receipt {path}")
    return done
