"""Any folder of photos, nested or not, without labels."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath

from heap.data.items import Item, Listing, overlooked, relative_to
from heap.data.photos import SUFFIXES
from heap.errors import DataError

# Written first into its folder of results by `heap predict`, with the options of the run.
PREDICT_RECORD = ".heap-predict.json"
# Its folders there that hold pictures.
PREDICTED = ("masks", "overlays")


def read(root: Path) -> Listing:
    """List every photo below `root`, sorted by path.

    A folder below it that may not be listed stands among the photos, as one that cannot be read.

    Raises:
        DataError: `root` cannot be listed.
    """
    found = _walk(root)
    if root in found.closed:
        raise DataError(f"{root}: {found.closed[root]}")
    problems = {relative_to(root, path): problem for path, problem in found.closed.items()}
    paths = sorted([*(relative_to(root, path) for path in found.photos), *problems])
    items = [
        Item(image_id=image_id, path=path, problem=problems.get(path))
        for image_id, path in zip(image_ids(paths), paths, strict=True)
    ]
    results = [
        f"{count} masks and overlays of heap predict in {relative_to(root, folder)} are no photos and were left out"
        for folder, count in sorted(found.results.items())
        if count
    ]
    return Listing(items, warnings=results + overlooked(found.suffixes))


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


@dataclass
class _Found:
    """What lies below a folder."""

    photos: list[Path] = field(default_factory=list)
    closed: dict[Path, str] = field(default_factory=dict)  # folders that may not be listed, and why
    results: Counter[Path] = field(default_factory=Counter)  # photos below masks and overlays that `heap predict` wrote
    suffixes: Counter[str] = field(default_factory=Counter)  # of all files that are no photos


def _walk(root: Path) -> _Found:
    """Look for photos below `root`.

    Links to folders are followed, because people gather photos so; each real folder is entered once, which also ends a
    loop of links. Real folders come before links, so that a folder reached both ways keeps its own name.
    """
    found = _Found()
    seen: set[tuple[int, int]] = set()
    links = [root]
    while links:
        folders, links = sorted(links), []
        while folders:
            folder = folders.pop(0)
            try:
                real = folder.stat()
                entries = [] if (real.st_dev, real.st_ino) in seen else list(os.scandir(folder))
                predicted = is_predicted(folder)
            except OSError as error:
                found.closed[folder] = f"a folder that cannot be listed ({error.strerror})"
                continue
            seen.add((real.st_dev, real.st_ino))
            for entry in entries:
                path, suffix = folder / entry.name, PurePath(entry.name).suffix.lower()
                # Hidden files are no photos of the user's: thumbnails, unfinished downloads, a Mac's `._x.jpg`.
                if entry.name.startswith(".") or entry.name == "__MACOSX":
                    continue
                if _is_folder(entry):
                    if predicted and entry.name in PREDICTED:
                        found.results[folder] += sum(1 for one in path.rglob("*") if one.suffix.lower() in SUFFIXES)
                    else:
                        (links if entry.is_symlink() else folders).append(path)
                elif suffix in SUFFIXES:
                    found.photos.append(path)
                else:
                    found.suffixes[suffix] += 1
    return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link into a folder that may not be entered
        return False
