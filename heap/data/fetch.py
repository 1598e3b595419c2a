"""The stage that brings a dataset's files into place, whichever way: downloaded, generated, or already there.

A dataset's own folder is `resources/{name}/`. Its hidden folder `.downloads` holds archives (until the receipt is
written, then they are removed; those put there by hand stay) and, for each unpacked archive, a marker with its checksum
and its files, so that a rerun does only what is missing or damaged.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import TypeAdapter, ValidationError

from heap import paths, receipts
from heap.data.download import Retry, checksums, download, part_of
from heap.data.items import below
from heap.data.unpack import is_archive, unpack
from heap.errors import DataError, FetchError
from heap.files import atomic_path, dump_json, read_json, sync, write_durable, write_json
from heap.locks import alone
from heap.settings import read_frozen, section
from heap.settings.datasets import Archive, ScenesDataset

log = logging.getLogger("heap")

DOWNLOADS = ".downloads"


class FetchReceipt(receipts.Receipt):
    """Where a dataset's files are, and how they came there."""

    name: str
    root: str
    how: str
    archives: list[dict[str, Any]]


@dataclass(frozen=True)
class Brought:
    """One archive in place."""

    url: str
    sha256: str
    md5: str
    bytes: int
    members: dict[str, int]  # files it put below `into`, and their bytes; gone or of other sizes, it is unpacked again
    into: str
    by_hand: bool


@alone("receipt_path")
def fetch(
    frozen_path: str | Path,
    receipt_path: str | Path,
    name: str | None = None,
    progress_file: Path | None = None,
    retry: Retry | None = None,
) -> None:
    """Run the stage for the files of dataset `name` (a key of `datasets`; None: the settings').

    The receipt says name, root, archives, and how the files came: "root", "generated", "fetched" or "by_hand".

    Raises:
        DataError: `datasets.{name}.root` is no folder.
        FetchError: files can neither be downloaded nor found; says what to put where by hand.
    """
    frozen = read_frozen(frozen_path, "fetch")
    name = name or str(frozen["name"])
    folder = Path(paths.files_folder(name))
    root = str(folder)
    brought: dict[str, Brought] = {}
    if frozen["root"] is not None:
        root, how = frozen["root"], "root"
        if not Path(root).is_dir():
            where = f"{root!r} is no folder (looked for {Path(root).absolute()})"
            raise DataError(
                f"datasets.{name}.root: {where}, expected the folder that holds the dataset's files; correct the key, "
                "or mount the disk that it is on"
            )
    elif frozen["dataset"].get("layout") == "scenes":
        # Imported here: drawing needs scikit-image, which no other way of fetching does.
        from heap.data.scenes import generate

        how = "generated"
        generate(folder, section(frozen, "dataset", ScenesDataset), progress_file)
    elif archives := section(frozen["dataset"], "archives", list[Archive]):
        for archive, file in zip(archives, file_names(archives), strict=True):
            brought[file] = bring(archive, file, folder, name, progress_file, retry)
        how = "by_hand" if all(one.by_hand for one in brought.values()) else "fetched"
    elif folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
        how = "by_hand"
    else:
        raise FetchError(
            f"datasets.{name}: no archives to download and no root; put the files into {folder.absolute()}/, "
            f"or set datasets.{name}.root to the folder that holds them"
        )
    entries = [{"url": one.url, "sha256": one.sha256, "bytes": one.bytes} for one in brought.values()]
    write_json(receipt_path, {"name": name, "root": root, "how": how, "archives": entries})
    for file, one in brought.items():
        if not one.by_hand:
            (folder / DOWNLOADS / file).unlink(missing_ok=True)


def read_receipt(path: str | Path) -> dict[str, Any]:
    """Read the receipt of fetching.

    Raises:
        DataError: missing, or no such receipt; names it.
    """
    return receipts.read_receipt(path, FetchReceipt, "the receipt of fetching").as_json()


def file_names(archives: list[Archive]) -> list[str]:
    """Return the file name of each archive: the last part of its URL, numbered where two would be equal.

    Raises:
        FetchError: a URL ends in no name.
    """
    names = []
    for archive in archives:
        name = unquote(urlsplit(archive.url).path).rsplit("/", 1)[-1]
        if not name or name.startswith(".") or "\\" in name or "\0" in name:
            raise FetchError(f"{archive.url}: ends in no file name")
        names.append(name)
    count = Counter(names)
    return [f"{n}-{name}" if count[name] > 1 else name for n, name in enumerate(names, start=1)]


def bring(
    archive: Archive, file: str, folder: Path, name: str, progress_file: Path | None = None, retry: Retry | None = None
) -> Brought:
    """Bring one archive, which is called `file`, into a dataset's folder: found unpacked, found by hand, or downloaded.

    Raises:
        FetchError: see `fetch`.
    """
    marker = folder / DOWNLOADS / f"{file}.done.json"
    done = _marked(marker, archive, folder, f"{name}: {file}")
    if done is not None:
        log.info("%s: %s is unpacked already", name, file)
        return done
    place = folder / DOWNLOADS / file
    source = next((path for path in (place, folder / file) if path.is_file()), None)
    # Whole, with the note of a download but no part any more: downloaded by a run that was killed while unpacking.
    part, note = part_of(place)
    by_hand = source is not None and (source != place or part.exists() or not note.exists())
    if source is None:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            download(archive.url, place, progress_file, retry)
        except FetchError as error:
            raise FetchError(
                f"{error}\nWithout that server: put the file, got by any other way, to {(folder / file).absolute()} "
                f"and run again, or set datasets.{name}.root to a folder that holds the dataset unpacked."
            ) from error
        source = place
    sha256, md5 = verify(archive, source, by_hand)
    target = below(folder, archive.into, f"datasets.{name}.archives.into")
    size = source.stat().st_size
    if is_archive(source):
        log.info("%s: unpacking %s", name, file)
        members = unpack(source, target, folder / DOWNLOADS)
    else:
        members = {file: size}
        _put(source, target / file, move=not by_hand)
    brought = Brought(archive.url, sha256, md5, size, members, archive.into, by_hand)
    write_durable(marker, dump_json(asdict(brought)).encode())
    part.unlink(missing_ok=True)
    note.unlink(missing_ok=True)
    return brought


def verify(archive: Archive, path: Path, by_hand: bool) -> tuple[str, str]:
    """Return the file's (sha256, md5) after comparing them with what the settings expect.

    Raises:
        FetchError: another checksum. A downloaded file is renamed to `.bad`, so that a rerun downloads it again; one
            put by hand is left to its owner.
    """
    sha256, md5 = checksums(path)
    for kind, expected, found in (("sha256", archive.sha256, sha256), ("md5", archive.md5, md5)):
        if expected in (None, found):
            continue
        kept = path
        if not by_hand:
            kept = path.with_name(f"{path.name}.bad")
            path.replace(kept)
        raise FetchError(
            f"{archive.url}: {kind} is {found}, expected {expected}; the file ({kept}) is damaged or another one"
        )
    return sha256, md5


def _marked(marker: Path, archive: Archive, folder: Path, label: str) -> Brought | None:
    """Return what a marker says, if it speaks of this archive and what it unpacked is still there, whole."""
    done = _read_marker(marker)
    if done is None:
        return None
    same = (done.url, done.into) == (archive.url, archive.into)
    if not same or archive.sha256 not in (None, done.sha256) or archive.md5 not in (None, done.md5):
        return None
    # Archives of one benchmark share folders, and a later one may have replaced a file of an earlier one.
    others = [other for path in marker.parent.glob("*.done.json") if (other := _read_marker(path)) is not None]
    sizes: dict[Path, set[int]] = {}
    for one in (done, *others):
        for entry, size in one.members.items():
            sizes.setdefault(folder / one.into / entry, set()).add(size)
    wrong = [path for entry in done.members if _size(path := folder / done.into / entry) not in sizes[path]]
    if wrong:
        count = f"{len(wrong)} of {len(done.members)}"
        log.warning(
            "%s was unpacked, but %s files are gone or cut, the first: %s; bringing it again", label, count, wrong[0]
        )
    return None if wrong else done


def _read_marker(marker: Path) -> Brought | None:
    try:
        return TypeAdapter(Brought).validate_python(read_json(marker))
    except (DataError, ValidationError):  # none, of another version, or damaged: doing it again is always right
        return None


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _put(source: Path, target: Path, move: bool) -> None:
    """Put a plain file into place; what was put by hand is copied and stays."""
    if source == target:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if move:
        source.replace(target)
        sync(target.parent)
        return
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
