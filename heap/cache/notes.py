"""The small files of a store that say what is in it: its description, and a note for each finished shard."""

from __future__ import annotations

import errno
import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from heap.errors import CacheError
from heap.files import dump_json, read_json, sealed, write_durable
from heap.receipts import Number, Positive, Receipt, Stamp, check

log = logging.getLogger("heap")

DESCRIPTION = "store.json"
IMAGES = "images.parquet"
# Read at once when a checksum is made: large enough for full speed.
_BLOCK = 8 * 2**20
_WHAT_TO_DO = {
    errno.ENOSPC: "make room (heap cache prune removes stores that no receipt points to) and run the same again",
    errno.EDQUOT: "your quota is used up: make room (heap cache prune) and run the same again",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there",
}


class Description(Receipt):
    """What a store's description must have."""

    fingerprint: str
    dim: Positive
    heads: Positive
    rows: Number
    slots: Number
    shards: Positive
    rows_per_shard: Positive
    files: dict[str, Stamp]


@contextmanager
def naming(folder: Path, what: str) -> Iterator[None]:
    """Turn an error of the file system into one that names the store and says what to do."""
    try:
        yield
    except OSError as error:
        todo = _WHAT_TO_DO.get(error.errno or 0, "repair this and run the same again")
        raise CacheError(
            f"{folder}: {what} could not be written ({error.strerror or error}); {todo}. Finished shards are kept"
        ) from error


def stamp(path: Path) -> dict[str, int]:
    """Return size and CRC-32 of a file: by which it is known later that it is still the file that was written."""
    crc = size = 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            crc, size = zlib.crc32(block, crc), size + len(block)
    return {"bytes": size, "crc32": crc}


def unchanged(path: Path, written: dict[str, int]) -> bool:
    """Return whether a file is there and has the stamp it was written with."""
    return size_of(path) == written["bytes"] and stamp(path) == written


def size_of(path: Path) -> int | None:
    """Return the size of a file in bytes, None where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def note_path(folder: Path, shard: int) -> Path:
    """Return the note that says a shard is done."""
    return folder / "shards" / f"{shard}.json"


def write_note(path: Path, content: dict[str, Any]) -> None:
    """Write a small JSON file with a checksum, so that damage to it is not taken for damage to what it speaks of."""
    write_durable(path, sealed(dump_json(content)).encode())


def read_note(folder: Path, shard: int) -> dict[str, Any] | None:
    """Return the note of a shard, None where there is none.

    Raises:
        DataError: the note is damaged.
    """
    path = note_path(folder, shard)
    return read_json(path) if path.is_file() else None


def done_note(folder: Path, shard: int) -> dict[str, Any] | None:
    """Return what the writer of a finished shard noted, or None; also where a file was cut or lost since."""
    note = read_note(folder, shard)
    for path, expected in (note or {"files": {}})["files"].items():
        if (found := size_of(folder / path)) != expected["bytes"]:
            sizes = f"{'no' if found is None else found} bytes, {expected['bytes']} were written"
            log.warning("%s: shard %d is not whole (%s: %s)", folder, shard, path, sizes)
            return None
    return note


def missing_shards(folder: Path, shards: int) -> list[int]:
    """Return those of a store's shards that no writer has finished, or that are not whole since."""
    return [shard for shard in range(shards) if done_note(folder, shard) is None]


def skipped_photos(folder: Path, shards: int) -> list[dict[str, str]]:
    """Return every photo left out, as {image_id, reason}, shard by shard."""
    return [item for n in range(shards) for item in (done_note(folder, n) or {"skipped": []})["skipped"]]


def read_description(folder: Path) -> dict[str, Any]:
    """Return `store.json` of a store: dataset, fingerprint, encoder, dim, heads, rows, slots, shards, files.

    Raises:
        CacheError: there is no store, or a file of that name describes none.
        DataError: its description is damaged.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise CacheError(f"{folder}: no feature store ({DESCRIPTION} is missing); run extract again")
    description: dict[str, Any] = read_json(path)
    check(description, Description, f"{path}: not the description of a store", CacheError)
    return description
