"""The photos that `heap predict` is given: files and folders, each photo once and under an id of its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from heap.data import folder
from heap.data.items import Item
from heap.data.photos import SUFFIXES
from heap.errors import DataError

log = logging.getLogger("heap")


@dataclass(frozen=True)
class PhotoFile:
    """A photo to predict.

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


def listed(inputs: Sequence[Path], out: Path) -> list[PhotoFile]:
    """Return the photos of files and folders, in order, each file once, each with an id of its own.

    Args:
        inputs: photos, and folders of photos.
        out: folder of the results; what lies below it is left out.

    Raises:
        DataError: nothing there, no photo, or two of one name in different folders.
    """
    photos: list[PhotoFile] = []
    files: dict[Path, Path] = {}
    for path in inputs:
        if path.is_dir():
            root, below = path.resolve(), out.resolve()
            if root == below:
                raise DataError(f"--out {out}: is the folder of photos itself; name another")
            listing = folder.read(root)
            for warning in listing.warnings:
                log.warning("%s: %s", path, warning)
            photos += [PhotoFile(root, item) for item in listing.items if not (root / item.path).is_relative_to(below)]
        elif path.is_file():
            files.setdefault(_place(path), path)
        else:
            what = "is neither a regular file nor a folder" if path.exists() else "no such photo or folder"
            raise DataError(f"{path}: {what}")
    ids = folder.image_ids([path.name for path in files.values()])
    photos += [PhotoFile(path.parent, Item(name, path.name)) for name, path in zip(ids, files.values(), strict=True)]
    if not photos:
        raise DataError(f"{', '.join(map(str, inputs))}: no photo there ({', '.join(sorted(SUFFIXES))})")
    once: dict[Path, PhotoFile] = {}
    seen: dict[str, PhotoFile] = {}
    for photo in photos:
        if once.setdefault(_place(photo.file), photo) is not photo:
            continue
        other = seen.setdefault(photo.item.image_id, photo)
        if other is not photo:
            raise DataError(f"{photo.file} and {other.file} would both be {photo.item.image_id!r} in {out}; "
                            "predict them into folders of their own")  # fmt: skip
    return list(once.values())


def _place(path: Path) -> Path:
    """Return where a photo lies, by whatever way it was named; a photo that is a link itself keeps its name."""
    return path.parent.resolve() / path.name
