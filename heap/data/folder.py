"""Any folder of photos, nested or not, without labels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath

from heap.data.items import Item, Listing, relative_to
from heap.data.photos import SUFFIXES
from heap.errors import DataError

# Written first into its folder of results by `heap predict`, with the options of the run.
PREDICT_RECORD = ".heap-predict.json"


def read(root: Path) -> Listing:
    """List every photo below `root`, sorted by path.

    Raises:
        DataError: a folder cannot be read.
    """
    paths = sorted(relative_to(root, path) for path in _photos(root))
    return Listing([Item(image_id=image_id, path=path) for image_id, path in zip(image_ids(paths), paths, strict=True)])


def image_ids(paths: list[str]) -> list[str]:
    """Return an id for each path: the path without suffix, or with it where two would be equal.

    A suffix kept may meet another path's id ("a.jpg" and "a.jpg.png" without theirs), so this goes on until none are
    equal, or nothing is left to tell them apart: names of files from several folders.
    """
    ids = [str(PurePosixPath(path).with_suffix("")) for path in paths]
    while len(set(ids)) < len(ids):
        count, before = Counter(ids), ids
        ids = [path if count[image_id] > 1 else image_id for image_id, path in zip(ids, paths, strict=True)]
        if ids == before:
            break
    return ids


def is_predicted(folder: Path) -> bool:
    """Return whether a folder holds results of `heap predict`, whose masks and overlays are no photos."""
    if (folder / PREDICT_RECORD).is_file():
        return True
    # Results of earlier versions have no record of the run.
    return (folder / ".done").is_dir() and (folder / "instances.json").is_file()


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: not readable ({error.strerror})") from error


def _photos(root: Path) -> list[Path]:
    """Return the photos below `root`.

    Links to folders are followed, because people gather photos so; each real folder is entered once, which also ends a
    loop of links. Real folders come before links, so that a folder reached both ways keeps its own name.
    """
    photos: list[Path] = []
    seen: set[tuple[int, int]] = set()
    links = [root]
    while links:
        folders, links = sorted(links), []
        while folders:
            folder = folders.pop(0)
            found = folder.stat()
            if (found.st_dev, found.st_ino) in seen:
                continue
            seen.add((found.st_dev, found.st_ino))
            for path in _entries(folder):
                # Hidden files are no photos of the user's: thumbnails, unfinished downloads, a Mac's `._x.jpg`.
                if path.name.startswith(".") or path.name == "__MACOSX":
                    continue
                if path.is_dir():
                    (links if path.is_symlink() else folders).append(path)
                elif path.suffix.lower() in SUFFIXES:
                    photos.append(path)
    return photos
