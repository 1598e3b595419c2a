"""`heap predict`: masks, pictures and tables of people's photos by a trained model, resumable.

    OUT/masks/{id}.png            0 background, 255 object, at the photo's own size
    OUT/overlays/{id}.jpg         the photo with its objects outlined
    OUT/instances.json            COCO instances of all photos
    OUT/objects.parquet, .csv     one row an object
    OUT/photos.csv                one row a photo: what became of it, and why it could not be read
    OUT/.done/                    one record a photo, written after its pictures: what a rerun finds done

A record names the photo's content and the model, so a changed photo, or another model, is computed again. The tables
are made of the records at the end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from heap import __version__
from heap.data import folder
from heap.data.items import Item
from heap.data.manifest import measure, printable
from heap.data.photos import SUFFIXES
from heap.discover.images import Opened, open_photo
from heap.discover.model import Model
from heap.discover.result import Discovery
from heap.errors import DataError, PhotoError
from heap.files import atomic_path, digest, read_json, write_json
from heap.progress import Progress
from heap.segment.instances import annotation
from heap.segment.names import mask_names, mask_path
from heap.segment.stage import Categories, write_mask
from heap.spreadsheet import write_csv
from heap.workers import cores_allowed

log = logging.getLogger("heap")

MASKS, OVERLAYS, DONE = "masks", "overlays", ".done"
INSTANCES, OBJECTS, PHOTOS = "instances.json", "objects", "photos.csv"
# Longest side of an overlay: fills a screen, at some 200 kB.
OVERLAY_PX = 1024
JPEG_QUALITY = 90
# Raised when what a record or a picture holds changes, so that earlier ones are made again.
VERSION = 1


@dataclass(frozen=True)
class Photo:
    """A photo to look at.

    Attributes:
        root: folder its path is relative to.
        item: id and path.
    """

    root: Path
    item: Item

    @property
    def file(self) -> Path:
        """Where it lies."""
        return self.root / self.item.path


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
    model: Model, inputs: Sequence[Path], out: Path, max_px: int | None = None, overlays: bool = True
) -> Outcome:
    """Look at photos with a model and write what was found.

    Args:
        model: the model.
        inputs: photos, and folders of photos (nested or not).
        out: folder of the results; photos below it are not looked at.
        max_px: longest side that is encoded; None takes the model's.
        overlays: write a picture of each photo's objects.

    Raises:
        DataError: there is no photo, or two would have one name.
    """
    photos = listed(inputs, out)
    mask_names(photo.item.image_id for photo in photos)
    key = {"version": VERSION, "model": model.identity, "max_px": max_px or model.max_px}
    work = _Work(model, out, key, max_px, overlays)
    records: dict[str, dict[str, Any]] = {}
    unreadable: dict[str, str] = {}
    kept = 0
    todo: list[tuple[Photo, str]] = []
    with ThreadPoolExecutor(cores_allowed()) as pool:
        for photo, content in zip(photos, pool.map(_content, photos), strict=True):
            if isinstance(content, PhotoError):
                _note(unreadable, photo, content)
            elif (record := work.done(photo, content)) is not None:
                records[photo.item.image_id] = record
                kept += 1
            else:
                todo.append((photo, content))
        log.info("%d photos, of which %d are done and %d cannot be read", len(photos), kept, len(unreadable))
        progress = Progress(len(todo), "photos", "looking at photos") if todo else None
        try:
            for batch, opened in _ahead(pool, work.open, todo, model.batch_size):
                good = [(photo, content, one) for (photo, content), one in zip(batch, opened, strict=True)
                        if isinstance(one, Opened)]  # fmt: skip
                for (photo, _), one in zip(batch, opened, strict=True):
                    if isinstance(one, PhotoError):
                        _note(unreadable, photo, one)
                found = model.discover_opened([one for _, _, one in good])
                for (photo, content, _), discovery in zip(good, found, strict=True):
                    records[photo.item.image_id] = work.write(photo, content, discovery)
                if progress is not None:
                    progress.step(len(batch))
        finally:
            if progress is not None:
                progress.close()
    objects = write_tables(out, model, photos, records, unreadable, key)
    reasons = [(printable(photo.item.path), unreadable[photo.item.image_id]) for photo in photos
               if photo.item.image_id in unreadable]  # fmt: skip
    return Outcome(len(photos), len(records) - kept, kept, reasons, objects)


def listed(inputs: Sequence[Path], out: Path) -> list[Photo]:
    """Return the photos of files and folders, in order, each with an id of its own.

    Raises:
        DataError: nothing there, no photo, or two of one name in different folders.
    """
    photos: list[Photo] = []
    files = [path for path in inputs if not path.is_dir()]
    for path in inputs:
        if path.is_dir():
            root, below = path.resolve(), out.resolve()
            if root == below:
                raise DataError(f"--out {out}: is the folder of photos itself; name another")
            items = folder.read(root).items
            photos += [Photo(root, item) for item in items if not (root / item.path).is_relative_to(below)]
        elif not path.is_file():
            raise DataError(f"{path}: no such photo or folder")
    ids = folder.image_ids([path.name for path in files])
    photos += [Photo(path.parent, Item(name, path.name)) for name, path in zip(ids, files, strict=True)]
    if not photos:
        raise DataError(f"{', '.join(map(str, inputs))}: no photo there ({', '.join(sorted(SUFFIXES))})")
    seen: dict[str, Photo] = {}
    for photo in photos:
        other = seen.setdefault(photo.item.image_id, photo)
        if other is not photo:
            raise DataError(f"{photo.file} and {other.file} would both be {photo.item.image_id!r} in {out}; "
                            "predict them into folders of their own")  # fmt: skip
    return photos


@dataclass(frozen=True)
class _Work:
    model: Model
    out: Path
    key: dict[str, Any]
    max_px: int | None
    overlays: bool

    def record(self, photo: Photo) -> Path:
        # By a digest: an id may be as long as a file name can be.
        return self.out / DONE / f"{digest({'id': photo.item.image_id}, 32)}.json"

    def pictures(self, photo: Photo) -> list[Path]:
        mask = mask_path(self.out / MASKS, photo.item.image_id)
        overlay = mask_path(self.out / OVERLAYS, photo.item.image_id).with_suffix(".jpg")
        return [mask, overlay] if self.overlays else [mask]

    def done(self, photo: Photo, content: str) -> dict[str, Any] | None:
        """Return the record of a photo that an earlier run finished, unless anything changed since."""
        path = self.record(photo)
        if not path.is_file() or not all(picture.is_file() for picture in self.pictures(photo)):
            return None
        found = read_json(path)
        wanted = {**self.key, "content": content, "id": photo.item.image_id}
        return found if isinstance(found, dict) and found.get("key") == wanted else None

    def open(self, job: tuple[Photo, str]) -> Opened | PhotoError:
        try:
            return open_photo(job[0].file, None, self.model.limits(self.max_px))
        except PhotoError as error:
            return error

    def write(self, photo: Photo, content: str, found: Discovery) -> dict[str, Any]:
        """Write a photo's pictures, then its record."""
        mask, *overlay = self.pictures(photo)
        write_mask(mask, found.mask)
        for path in overlay:
            with atomic_path(path) as temporary:
                found.picture(OVERLAY_PX).save(temporary, format="JPEG", quality=JPEG_QUALITY)
        record = {
            "key": {**self.key, "content": content, "id": photo.item.image_id},
            "size": list(found.size),
            "foreground": round(float(found.mask.mean()), 6),
            "objects": [{"cluster": one.cluster, **annotation(one, 0, 0)} for one in found.instances],
        }
        write_json(self.record(photo), record)
        return record


def _content(photo: Photo) -> str | PhotoError:
    try:
        return measure(photo.root, photo.item)[2]
    except PhotoError as error:
        return error


def _note(unreadable: dict[str, str], photo: Photo, error: PhotoError) -> None:
    log.warning("skipped: %s", error)
    unreadable[photo.item.image_id] = printable(str(error))


def _ahead(
    pool: ThreadPoolExecutor, read: Any, todo: list[tuple[Photo, str]], size: int
) -> Iterator[tuple[list[tuple[Photo, str]], list[Opened | PhotoError]]]:
    """Yield batches of jobs with their photos, while the photos of the next batch are decoded."""
    waiting: list[tuple[list[tuple[Photo, str]], list[Future[Opened | PhotoError]]]] = []
    for start in range(0, len(todo), size):
        batch = todo[start : start + size]
        waiting.append((batch, [pool.submit(read, job) for job in batch]))
        if len(waiting) == 2:
            jobs, futures = waiting.pop(0)
            yield jobs, [future.result() for future in futures]
    for jobs, futures in waiting:
        yield jobs, [future.result() for future in futures]


def write_tables(
    out: Path,
    model: Model,
    photos: Sequence[Photo],
    records: dict[str, dict[str, Any]],
    unreadable: dict[str, str],
    key: dict[str, Any],
) -> int:
    """Write the COCO JSON and the tables of objects and photos; return the number of objects."""
    clusters = model.parts.clusters
    categories = Categories(*((0, 0) if clusters is None else (clusters.foreground, clusters.background)))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for photo in photos:
        image_id = photo.item.image_id
        record = records.get(image_id)
        state = {"photo": printable(image_id), "file": printable(str(photo.file))}
        if record is None:
            rows.append({**state, "state": "unreadable", "reason": unreadable[image_id]})
            continue
        rows.append({**state, "state": "done", "height_px": record["size"][0], "width_px": record["size"][1],
                     "foreground_share": record["foreground"], "objects": len(record["objects"])})  # fmt: skip
        number = len(images) + 1
        images.append({"id": number, "file_name": photo.item.path, "heap_id": image_id,
                       "height": record["size"][0], "width": record["size"][1]})  # fmt: skip
        for place, one in enumerate(record["objects"]):
            cluster = one["cluster"]
            told = {name: value for name, value in one.items() if name != "cluster"}
            annotations.append({**told, "id": len(annotations) + 1, "image_id": number,
                                "category_id": categories.number(cluster)})  # fmt: skip
            x, y, width, height = one["bbox"]
            objects.append({"photo": image_id, "object": place, "cluster": cluster, "score": one["score"],
                            "area_px": one["area"], "x1": x, "y1": y, "x2": x + width, "y2": y + height})  # fmt: skip
    columns = ["photo", "object", "cluster", "score", "area_px", "x1", "y1", "x2", "y2"]
    table = pd.DataFrame(objects, columns=columns)
    with atomic_path(out / f"{OBJECTS}.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    write_csv(out / f"{OBJECTS}.csv", table)
    listed_columns = ["photo", "file", "state", "height_px", "width_px", "foreground_share", "objects", "reason"]
    frame = pd.DataFrame(rows, columns=listed_columns)
    counts = ["height_px", "width_px", "objects"]
    frame[counts] = frame[counts].astype("Int64")  # a photo that could not be read has none
    write_csv(out / PHOTOS, frame)
    info = {
        "description": "Objects found by HEAP, without labels; categories are cluster numbers",
        "version": __version__,
        "model": model.name,
        "encoder": model.encoder_label,
        "identity": model.identity,
        "max_px": key["max_px"],
        "unreadable": len(unreadable),
    }
    write_json(
        out / INSTANCES, {"info": info, "images": images, "annotations": annotations, "categories": categories.listed()}
    )
    return len(annotations)
