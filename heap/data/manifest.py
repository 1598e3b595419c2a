"""The manifest: one row an image, the only thing later stages know of a dataset.

A Parquet file; what concerns the dataset as a whole (root, classes, what was skipped and why) stands as JSON in the
schema's metadata under `heap`, so that table and description can never part.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from heap import parquet, paths
from heap.data import coco, folder, saliency, voc
from heap.data.fetch import read_receipt
from heap.data.items import Item, Listing
from heap.data.photos import Frame, photo_frame
from heap.data.upright import Fitted, fit, upright, warnings_of
from heap.errors import DataError, PhotoError
from heap.files import sync_tree
from heap.locks import alone
from heap.progress import track
from heap.settings import read_frozen, section
from heap.settings.datasets import (
    AnnotatedDataset,
    AnnotatedOn,
    CocoDataset,
    Dataset,
    FolderDataset,
    SaliencyDataset,
    VocDataset,
)

log = logging.getLogger("heap")

INFO_FIELDS = {"dataset", "layout", "root", "classes", "expected_images", "images", "skipped", "warnings"}
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),  # below the root, forward slashes
        pa.field("height_px", pa.int32(), nullable=False),  # upright, that is after EXIF
        pa.field("width_px", pa.int32(), nullable=False),
        pa.field("split", pa.string(), nullable=False),  # "" where the dataset has none
        pa.field("content", pa.string(), nullable=False),  # BLAKE2b-128 of the file: equal content need not be redone
        pa.field("mask_path", pa.string()),
        pa.field("class_mask_path", pa.string()),  # masks are absolute where painted or turned here
        pa.field("boxes", pa.list_(pa.list_(pa.int32()))),  # [x1, y1, x2, y2], end exclusive
        pa.field("box_classes", pa.list_(pa.string())),
        pa.field("crowd_boxes", pa.list_(pa.list_(pa.int32()))),  # COCO's crowds, which are in none of the boxes
        pa.field("coco_id", pa.int64()),  # of the photo in COCO's JSON
    ]
)
_BOXES = ("boxes", "crowd_boxes")
# Reading headers and hashing waits for disks and network file systems more than it computes.
THREADS = 8
DIGEST_BYTES = 16


@dataclass(frozen=True)
class Manifest:
    """A dataset's images and what concerns them all."""

    table: pd.DataFrame  # the columns of `SCHEMA`, one row an image; absent values are None
    info: dict[str, Any]  # the fields of `INFO_FIELDS`

    @property
    def root(self) -> Path:
        """Folder that the paths are relative to."""
        return Path(self.info["root"])

    def photo(self, row: Any) -> Path:
        """Return the photo of a row (of `iterrows` or `itertuples`)."""
        return self.root / str(row.path)

    def mask(self, row: Any) -> Path:
        """Return the saliency mask of a row that has one."""
        return self.root / str(row.mask_path)

    def class_mask(self, row: Any) -> Path:
        """Return the class mask of a row that has one."""
        return self.root / str(row.class_mask_path)

    def rows(self, split: str | None) -> pd.DataFrame:
        """Return the rows of a split, or all for None; the index stays the row's number in the manifest.

        Raises:
            DataError: there is no such split; names those that there are.
        """
        if split is None:
            return self.table
        chosen = self.table[self.table["split"] == split]
        if chosen.empty:
            there = ", ".join(name for name in self.table["split"].unique() if name) or "none"
            raise DataError(f"{self.info['dataset']}: no images in split {split!r} (splits: {there})")
        return chosen


def build(
    settings: Dataset, name: str, root: str | Path, progress_file: Path | None = None, painted: Path | None = None
) -> Manifest:
    """Read a dataset: list it by its layout, then the header and the hash of every photo and the header of every mask.

    Args:
        settings: one of the dataset models.
        name: the dataset's name, for messages.
        root: folder that holds the files.
        progress_file: where the progress is kept for `heap status`.
        painted: folder for class masks that are painted of COCO's polygons, and for masks that are turned upright.

    Raises:
        PhotoError: a photo is unreadable, or its mask does not fit it, and `on_bad_image` is fail.
        DataError: the dataset is empty, or a file is missing or contradicts another.
    """
    root = Path(root).resolve()
    if not root.is_dir():
        raise DataError(f"{root}: no such folder (dataset {name})")
    listing = read_layout(settings, root)
    _refuse_twins(listing.items, name)
    rows: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    fitted: list[Fitted] = []
    with closing(_examined(settings, root, listing.items, name, progress_file)) as results:
        for item, examined in results:
            try:
                one, content = examined.result()
                rows.append(_row(upright(one, root, painted, len(listing.classes)), one.frame.size_px, content))
            except PhotoError as error:
                if settings.on_bad_image == "fail":
                    raise PhotoError(f"{error} (datasets.{name}.on_bad_image: skip would leave it out)") from error
                log.warning("skipped: %s", error)
                skipped.append({"path": printable(item.path), "reason": str(error)})
                continue
            fitted.append(one)
    if not rows:
        because = f"; the first of {len(skipped)} skipped: {skipped[0]['reason']}" if skipped else ""
        raise DataError(f"{root}: no photos for dataset {name}{because}")
    warnings = listing.warnings + warnings_of(fitted)
    if settings.expected_images not in (None, len(rows)):
        warnings.append(f"{len(rows)} images, but {name} was published with {settings.expected_images}")
    for warning in warnings:
        log.warning("%s: %s", name, warning)
    info = {
        "dataset": name,
        "layout": settings.layout,
        "root": str(root),
        "classes": listing.classes,
        "expected_images": settings.expected_images,
        "images": len(rows),
        "skipped": skipped,
        "warnings": warnings,
    }
    return Manifest(_frame(rows), info)


def read_layout(settings: Dataset, root: Path) -> Listing:
    """Return what the layout's reader finds below `root`."""
    if isinstance(settings, VocDataset):
        return voc.read(settings, root)
    if isinstance(settings, CocoDataset):
        return coco.read(settings, root)
    if isinstance(settings, SaliencyDataset):
        return saliency.read(settings, root)
    return folder.read(root) if isinstance(settings, FolderDataset) else voc.read_scenes(root)


def measure(root: Path, item: Item) -> tuple[int, int, str]:
    """Return (height_px, width_px, content) of a photo.

    Raises:
        PhotoError: the photo is unreadable.
    """
    frame, content = _header(root, item)
    return *frame.size_px, content


def _examined(
    settings: Dataset, root: Path, items: list[Item], name: str, progress_file: Path | None
) -> Generator[tuple[Item, Future[tuple[Fitted, str]]], None, None]:
    """Yield the items, each with its photo's header and hash and the header of its mask, read by several threads."""
    annotated_on: AnnotatedOn = settings.annotated_on if isinstance(settings, AnnotatedDataset) else "upright"

    def examine(item: Item) -> tuple[Fitted, str]:
        frame, content = _header(root, item)
        return fit(root, item, frame, annotated_on), content

    with ThreadPoolExecutor(THREADS) as pool:
        try:
            futures = [(item, pool.submit(examine, item)) for item in items]
            yield from track(futures, len(futures), "photos", f"listing {name}", progress_file)
        finally:
            pool.shutdown(cancel_futures=True)  # after an error nobody waits for ten thousand more headers


def _header(root: Path, item: Item) -> tuple[Frame, str]:
    path = root / item.path
    if printable(item.path) != item.path:
        raise PhotoError(f"{printable(item.path)}: the name is not UTF-8, no table can hold it; rename the file")
    if item.problem is not None:
        raise PhotoError(f"{path}: {item.problem}")
    frame = photo_frame(path)
    with path.open("rb") as stream:
        content = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=DIGEST_BYTES)).hexdigest()
    return frame, content


def write(path: str | Path, manifest: Manifest) -> None:
    """Write a manifest, whole or not at all."""
    parquet.write(path, pa.Table.from_pylist(manifest.table.to_dict("records"), SCHEMA), manifest.info)


def read(path: str | Path) -> Manifest:
    """Read a manifest.

    Raises:
        DataError: missing, damaged, or a Parquet file of something else; names it.
    """
    with parquet.opened(path, "a manifest") as file:
        table = file.read()
        info = parquet.info_of(file.schema_arrow)
    if not isinstance(info, dict) or set(info) != INFO_FIELDS or not table.schema.equals(SCHEMA):
        raise DataError(f"{path}: a Parquet file, but no manifest of this version; make it again")
    if table.num_rows != info["images"]:
        raise DataError(f"{path}: {table.num_rows} rows, but it was made of {info['images']} images")
    return Manifest(_frame(table.to_pylist()), info)


@alone("out_path")
def make(
    frozen_path: str | Path, receipt_path: str | Path, out_path: str | Path, progress_file: Path | None = None
) -> None:
    """Run the stage: from frozen settings and the fetch receipt to the manifest.

    Raises:
        DataError: see `build`.
        SettingsError: the settings were frozen for another stage or version.
    """
    frozen = read_frozen(frozen_path, "manifest")
    settings = section(frozen, "dataset", Dataset)
    painted = paths.folder_of(out_path).resolve()
    manifest = build(settings, frozen["name"], read_receipt(receipt_path)["root"], progress_file, painted)
    if painted.is_dir():
        sync_tree(painted)  # before the manifest, which names the masks in it
    write(out_path, manifest)


def printable(name: str) -> str:
    """Return a file's name with bytes that are not UTF-8 written as \\xNN; any other name as it is."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _refuse_twins(items: list[Item], name: str) -> None:
    seen: dict[str, str] = {}
    for item in items:
        if item.image_id in seen:
            raise DataError(f"{name}: image id {item.image_id} for both {seen[item.image_id]} and {item.path}")
        seen[item.image_id] = item.path


def _row(item: Item, size_px: tuple[int, int], content: str) -> dict[str, Any]:
    boxes = {key: found and [list(box) for box in found] for key, found in vars(item).items() if key in _BOXES}
    values = {**vars(item), **boxes, "height_px": size_px[0], "width_px": size_px[1], "content": content}
    return {name: values[name] for name in SCHEMA.names}


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a table whose absent values are None, which pandas' own string type would turn into NaN."""
    columns = {
        field.name: pd.Series([row[field.name] for row in rows], dtype="int32" if field.type == pa.int32() else object)
        for field in SCHEMA
    }
    return pd.DataFrame(columns)
