"""`heap predict`: masks, pictures and tables of people's photos by a trained model, resumable.

    OUT/masks/{id}.png            0 background, 255 object, at the photo's own size
    OUT/overlays/{id}.jpg         the photo with its objects outlined
    OUT/instances.json            COCO instances of all photos
    OUT/objects.parquet, .csv     one row an object
    OUT/index.html                a page of all photos, clusters and regions, complete in one file
    OUT/photos.csv                one row a photo: what became of it, and why it could not be read

A photo is done once its record is there (`heap.discover.outputs`). The record names the photo's content and the
options, so a changed photo, or another model, is computed again. The tables are made of the records at the end.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from heap.data.folder import PREDICTED
from heap.data.manifest import measure, printable
from heap.discover.images import Opened, open_photo
from heap.discover.model import Model
from heap.discover.outputs import PAGE, Outputs
from heap.discover.page import save_regions, write_page
from heap.discover.photos import PhotoFile, listed
from heap.discover.result import Discovery
from heap.discover.tables import write_tables
from heap.errors import PhotoError
from heap.prefetch import Prefetch
from heap.progress import Progress
from heap.segment.instances import annotation
from heap.segment.names import mask_names
from heap.segment.stage import write_mask
from heap.workers import cores_allowed

log = logging.getLogger("heap")

MASKS, OVERLAYS = PREDICTED
# Longest side of an overlay: fills a screen, at some 200 kB.
OVERLAY_PX = 1024
JPEG_QUALITY = 90
# Raised when what a record or a picture holds changes, so that earlier ones are made again.
VERSION = 2


@dataclass(frozen=True)
class Outcome:
    """What a run of `predict` came to.

    Attributes:
        photos: in all.
        computed: by this run.
        kept: found done by an earlier one.
        unreadable: (photo, reason) of those that could not be read.
        objects: found in all.
    """

    photos: int
    computed: int
    kept: int
    unreadable: list[tuple[str, str]]
    objects: int


def predict(
    model: Model, inputs: Sequence[Path], out: Path, max_px: int | None = None, overlays: bool = True, page: bool = True
) -> Outcome:
    """Find the objects of photos with a model and write what was found.

    Args:
        model: the model.
        inputs: photos, and folders of photos (nested or not).
        out: folder of the results; photos below it are left out.
        max_px: longest side that is encoded; None takes the model's.
        overlays: write a picture of each photo's objects.
        page: write a page of all photos, clusters and regions.

    Raises:
        DataError: there is no photo, two would have one name, or `out` holds results of other options or another run.
    """
    photos = listed(inputs, out)
    ids = [photo.item.image_id for photo in photos]
    mask_names(ids)
    options = {"version": VERSION, "model": model.identity, "max_px": max_px or model.max_px}
    work = _Work(model, Outputs(out, options), max_px, overlays, page)
    with work.outputs.claimed(ids):
        return work.run(photos)


@dataclass(frozen=True)
class _Work:
    model: Model
    outputs: Outputs
    max_px: int | None
    overlays: bool
    page: bool

    def run(self, photos: Sequence[PhotoFile]) -> Outcome:
        records: dict[str, dict[str, Any]] = {}
        unreadable: dict[str, str] = {}
        todo: list[tuple[PhotoFile, str]] = []
        threads, size = cores_allowed(), self.model.batch_size
        with Prefetch(self.found_before, photos, threads, 2 * threads) as before:
            for photo, (content, record) in zip(photos, before, strict=True):
                if isinstance(content, PhotoError):
                    _note(unreadable, photo, content)
                elif record is not None:
                    records[photo.item.image_id] = record
                else:
                    todo.append((photo, content))
        kept = len(records)
        log.info("%d photos, of which %d are done and %d cannot be read", len(photos), kept, len(unreadable))
        progress = Progress(len(todo), "photos", "predicting photos") if todo else None
        try:
            # The next batch is decoded while one is computed.
            with Prefetch(self.open, todo, threads, 2 * size) as opened:
                while batch := list(islice(opened, size)):
                    good = [(photo, content, one) for photo, content, one in batch if isinstance(one, Opened)]
                    for photo, _, one in batch:
                        if isinstance(one, PhotoError):
                            _note(unreadable, photo, one)
                    found = self.model.discover_opened([one for _, _, one in good])
                    for (photo, content, _), discovery in zip(good, found, strict=True):
                        records[photo.item.image_id] = self.write(photo, content, discovery)
                    if progress is not None:
                        progress.step(len(batch))
        finally:
            if progress is not None:
                progress.close()
        coco = write_tables(self.outputs, self.model, photos, records, unreadable)
        reasons = [(printable(photo.item.path), unreadable[photo.item.image_id]) for photo in photos
                   if photo.item.image_id in unreadable]  # fmt: skip
        if self.page:
            write_page(self.outputs, self.model, [p for p in photos if p.item.image_id in records], coco, reasons)
        else:
            (self.outputs.folder / PAGE).unlink(missing_ok=True)  # of an earlier run, over other photos
        return Outcome(len(photos), len(records) - kept, kept, reasons, len(coco["annotations"]))

    def found_before(self, photo: PhotoFile) -> tuple[str | PhotoError, dict[str, Any] | None]:
        """Return the hash of a photo, and its record where an earlier run finished it."""
        try:
            content = measure(photo.root, photo.item)[2]
        except PhotoError as error:
            return error, None
        mask, overlay = _names(photo)
        files = [mask, self.outputs.regions(photo.item.image_id), *([overlay] if self.overlays else [])]
        return content, self.outputs.done(photo.item.image_id, content, files)

    def open(self, job: tuple[PhotoFile, str]) -> tuple[PhotoFile, str, Opened | PhotoError]:
        try:
            return *job, open_photo(job[0].file, None, self.model.limits(self.max_px))
        except PhotoError as error:
            return *job, error

    def write(self, photo: PhotoFile, content: str, found: Discovery) -> dict[str, Any]:
        """Write a photo's pictures, then its record."""
        mask, overlay = _names(photo)
        regions = self.outputs.regions(photo.item.image_id)
        pictures = {
            mask: self.outputs.place(mask, lambda path: write_mask(path, found.mask)),
            regions: self.outputs.place(regions, lambda path: save_regions(path, found)),
        }
        if self.overlays:
            picture = found.picture(OVERLAY_PX)
            pictures[overlay] = self.outputs.place(overlay, lambda path: picture.save(path, quality=JPEG_QUALITY))
        else:
            (self.outputs.folder / overlay).unlink(missing_ok=True)  # of an earlier photo or model
        return self.outputs.finish(photo.item.image_id, content, pictures, {
            "size": list(found.size),
            "foreground": round(float(found.mask.mean()), 6),
            "objects": [{"cluster": one.cluster, **annotation(one, 0, 0)} for one in found.instances],
        })  # fmt: skip


def _names(photo: PhotoFile) -> tuple[str, str]:
    """Return the paths of a photo's mask and overlay below the folder of results."""
    return f"{MASKS}/{photo.item.image_id}.png", f"{OVERLAYS}/{photo.item.image_id}.jpg"


def _note(unreadable: dict[str, str], photo: PhotoFile, error: PhotoError) -> None:
    log.warning("skipped: %s", error)
    unreadable[photo.item.image_id] = printable(str(error))
