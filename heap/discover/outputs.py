"""The folder of results of `heap predict`: one writer, one set of options, a record for each photo that is done.

OUT/.heap-predict.json        the options of the run; marks the folder, so that its masks are never taken for photos
OUT/.done/{digest}.json       record of a photo, written after its pictures, with their checksums
OUT/.done/{digest}.npz        its patch maps and regions, for the page
OUT/..done.lock               held while a run writes
OUT/.done/part.*              what is being written: all that a killed run can leave, removed by the next run
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heap import __version__
from heap.data.folder import PREDICT_RECORD
from heap.errors import DataError
from heap.files import digest, file_sha256, read_json, sync, write_json
from heap.locks import alone_in
from heap.receipts import Number, Positive, Receipt, check

log = logging.getLogger("heap")

DONE = ".done"
INSTANCES, OBJECTS, PHOTOS = "instances.json", "objects", "photos.csv"
PAGE = "index.html"
TABLES = (INSTANCES, f"{OBJECTS}.parquet", f"{OBJECTS}.csv", PHOTOS, PAGE)


class _Found(Receipt):
    """One object of a record."""

    cluster: int
    area: Number
    bbox: list[int]
    score: float


class _Record(Receipt):
    """What is relied on in the record of a photo."""

    id: str
    content: str
    options: dict[str, Any]
    pictures: dict[str, str]
    size: list[Positive]
    foreground: float
    objects: list[_Found]


@dataclass(frozen=True)
class Outputs:
    """The folder of results.

    Attributes:
        folder: where it lies.
        options: what decides a photo's results besides the photo.
    """

    folder: Path
    options: dict[str, Any]

    @contextlib.contextmanager
    def claimed(self, ids: Collection[str]) -> Iterator[None]:
        """Hold the folder for a run over the photos `ids`; wait for another run that holds it.

        Raises:
            DataError: it has results of other options for photos that this run leaves out.
        """
        (self.folder / DONE).mkdir(parents=True, exist_ok=True)
        with alone_in(self.folder / DONE):
            for path in (self.folder / DONE).iterdir():
                if path.name.startswith((".", "part.")):
                    path.unlink()
            self._take_over(ids)
            yield

    def _take_over(self, ids: Collection[str]) -> None:
        """Replace the record of an earlier run; its tables go where they speak of other options."""
        path = self.folder / PREDICT_RECORD
        try:
            earlier = read_json(path) if path.exists() else None
        except DataError:  # damaged: each photo's own record says its options
            earlier = None
        before = earlier.get("options") if isinstance(earlier, dict) else None
        if isinstance(before, dict) and before != self.options:
            records = [record for file in (self.folder / DONE).glob("*.json") if (record := _read(file)) is not None]
            left_out = sorted({record["id"] for record in records} - set(ids))
            if left_out:
                differ = sorted(key for key in self.options if before.get(key) != self.options[key])
                raise DataError(
                    f"{self.folder}: holds results of other options ({', '.join(differ)}) for {len(left_out)} photos "
                    f"that are not among these, {left_out[0]!r} for one; name another folder, or delete this one"
                )
            log.info("%s: was made with other options; every photo is computed again", self.folder)
            for name in TABLES:
                (self.folder / name).unlink(missing_ok=True)
        write_json(path, {"written_by": "heap predict", "version": __version__, "options": self.options})

    def record(self, image_id: str) -> Path:
        """Return the path of a photo's record: by a digest, because an id may be as long as a file name can be."""
        return self.folder / DONE / f"{digest({'id': image_id}, 32)}.json"

    def regions(self, image_id: str) -> str:
        """Return the name of the file of a photo's patch maps and regions, below the folder."""
        return f"{DONE}/{self.record(image_id).stem}.npz"

    def done(self, image_id: str, content: str, pictures: Collection[str]) -> dict[str, Any] | None:
        """Return the record of a photo that an earlier run finished, unless anything of it changed since.

        Args:
            image_id: of the photo.
            content: hash of its file.
            pictures: paths below the folder that must be there.
        """
        record = _read(self.record(image_id))
        if record is None or [record[key] for key in ("id", "content", "options")] != [image_id, content, self.options]:
            return None
        for name in pictures:
            path = self.folder / name
            if not path.is_file() or file_sha256(path) != record["pictures"].get(name):
                return None
        return record

    def place(self, name: str, write: Callable[[Path], None]) -> str:
        """Write a file by way of `.done/`, where a killed run's leftovers are known to be ours; return its sha256."""
        path = self.folder / name
        part = self.folder / DONE / f"part{path.suffix}"
        write(part)
        sync(part)
        sha256 = file_sha256(part)
        path.parent.mkdir(parents=True, exist_ok=True)
        part.replace(path)
        return sha256

    def finish(self, image_id: str, content: str, pictures: dict[str, str], found: dict[str, Any]) -> dict[str, Any]:
        """Write the record of a photo after its pictures (path and sha256 of each)."""
        for name in pictures:
            sync((self.folder / name).parent)
        record = {"id": image_id, "content": content, "options": self.options, "pictures": pictures, **found}
        write_json(self.record(image_id), record)
        return record


def _read(path: Path) -> dict[str, Any] | None:
    """Return a record; None where there is none, or a damaged one, whose photo is then computed again."""
    try:
        found: dict[str, Any] = read_json(path)
        check(found, _Record, f"{path}: not the record of a photo")
    except DataError as error:
        if path.exists():
            log.warning("%s; the photo is computed again", error)
        return None
    return found
