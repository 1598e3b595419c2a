"""Archives unpacked so that nothing leaves the folder, nothing fills the disk, and a kill leaves nothing half.

Archives come from foreign servers, some over plain http: names are checked, links and devices are refused (no benchmark
needs one), and sizes are limited. Everything is written to a fresh folder first and then put into place.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from heap.errors import FetchError

# The largest benchmark (COCO train2014) has 82,783 files and 13 GB; bombs have much more.
MAX_FILES = 5_000_000
MAX_BYTES = 500 * 2**30
# JSON packs about 10 times, blank masks up to 100; deflate's limit, where bombs live, is 1,032.
MAX_RATIO = 300
# Small archives of very regular files may exceed the ratio honestly, and cannot do harm.
RATIO_FROM_BYTES = 256 * 2**20
BLOCK_BYTES = 1 << 20
# tarfile reads a header at once, however large it claims to be: names and attributes of members, some kB.
LARGEST_HEADER_BYTES = 1 << 20
FRESH = "unpack-"
SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")

_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError,
)  # fmt: skip


def is_archive(path: Path) -> bool:
    """Return by content whether a file is a zip or tar; a plain file is not.

    Raises:
        FetchError: it is named as an archive and is none: a server's error page, or damaged.
    """
    try:
        if zipfile.is_zipfile(path) or _is_tar(path):
            return True
    except _DAMAGE as error:  # a cut gzip, whose start is whole
        raise FetchError(f"{path}: is damaged ({error or type(error).__name__})") from error
    if path.name.lower().endswith(SUFFIXES):
        with path.open("rb") as stream:
            start = stream.read(40)
        raise FetchError(f"{path}: named as an archive, but is none or is damaged (begins with {start!r})")
    return False


def _is_tar(path: Path) -> bool:
    try:
        with _open_tar(path):
            return True
    except (tarfile.ReadError, gzip.BadGzipFile):
        return False


def unpack(archive: Path, into: Path, workplace: Path) -> dict[str, int]:
    """Unpack an archive and move what it holds into a folder, over files of the same names.

    An archive that holds nothing but one other archive (`x.zip.zip`) is unpacked once more. What is not yet whole lies
    in the folder `workplace` of the same file system; one unpacking at a time.

    Returns:
        The files that came of it, by their paths below the folder, and their bytes. They are on the disk, not only in
        its memory, so that the archive may be deleted.

    Raises:
        FetchError: a name leaves the folder or lies in the workplace, a link or device, too many or too large, damaged;
            names the archive.
    """
    if workplace in (into, *into.parents):
        raise FetchError(f"{archive}: cannot be unpacked into {into}, which is where archives are kept")
    workplace.mkdir(parents=True, exist_ok=True)
    for stale in workplace.glob(f"{FRESH}*"):  # of a run that was killed; it may be of many GB
        shutil.rmtree(stale)
    with tempfile.TemporaryDirectory(dir=workplace, prefix=FRESH) as name:
        fresh = Path(name) / "outer"
        try:
            _extract(archive, fresh)
            inner = _only_file(fresh)
            if inner is not None and is_archive(inner):
                _extract(inner, Path(name) / "inner")
                fresh = Path(name) / "inner"
            members = {
                path.relative_to(fresh).as_posix(): path.stat().st_size for path in fresh.rglob("*") if path.is_file()
            }
            for path in fresh.iterdir():  # some file systems hold a name in capitals for the same
                if workplace.parent == into and path.name.casefold() == workplace.name.casefold():
                    raise FetchError(
                        f"{archive}: member {path.name!r} is where archives are kept; nothing was unpacked"
                    )
            _move(fresh, into)
            # All at once: to wait for each of COCO's 82,783 files would take minutes.
            os.sync()
        except _DAMAGE as error:
            raise FetchError(f"{archive}: cannot be unpacked ({error or type(error).__name__})") from error
    return members


def safe_name(name: str, archive: Path) -> PurePosixPath:
    """Return a member's path, relative and going only down.

    Raises:
        FetchError: it is absolute, or climbs.
    """
    # Some packers on Windows write backslashes, though the format does not know them.
    path = PurePosixPath(name.replace("\\", "/"))
    drive = bool(path.parts) and path.parts[0][1:2] == ":"
    if path.is_absolute() or ".." in path.parts or drive:
        raise FetchError(f"{archive}: member {name!r} would leave the folder; nothing was unpacked")
    return path


def _extract(archive: Path, into: Path) -> None:
    into.mkdir()
    members = _zip_members(archive) if zipfile.is_zipfile(archive) else _tar_members(archive)
    files, total = 0, 0
    allowed = min(MAX_BYTES, max(RATIO_FROM_BYTES, MAX_RATIO * archive.stat().st_size))
    for name, size, stream in members:
        path = into / safe_name(name, archive)
        files, total = files + 1, total + size
        if files > MAX_FILES or total > allowed:
            raise FetchError(f"{archive}: holds too much, at {name!r} {files} files and {total} of {allowed} bytes")
        if stream is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as target:
            _copy(stream, target, size, name)


def _copy(source: IO[bytes], target: IO[bytes], size: int, name: str) -> None:
    """Copy exactly `size` bytes: a member's size is a claim, and the limits were checked against it."""
    left = size
    while block := source.read(min(BLOCK_BYTES, left + 1)):
        left -= len(block)
        if left < 0:
            raise ValueError(f"member {name!r} is larger than it claims")
        target.write(block)
    if left:
        raise ValueError(f"member {name!r} ends {left} bytes early")


def _zip_members(archive: Path) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    """Yield (name, size, stream) of the members; the stream of a folder is None."""
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            # The upper half is the Unix mode, where the packer knew one; its file type bits may be absent.
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise FetchError(f"{archive}: member {member.filename!r} is a link or device; nothing was unpacked")
            if member.is_dir() or member.filename.endswith("\\"):
                yield member.filename, 0, None
                continue
            with packed.open(member) as stream:
                yield member.filename, member.file_size, stream


def _tar_members(archive: Path) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    """Yield (name, size, stream) of the members; the stream of a folder is None."""
    with _open_tar(archive) as packed:
        for member in packed:
            if not member.isreg() and not member.isdir():
                raise FetchError(f"{archive}: member {member.name!r} is a link or device; nothing was unpacked")
            yield member.name, member.size, packed.extractfile(member)


@contextlib.contextmanager
def _open_tar(archive: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar, compressed or not, with a limit on what its headers may claim."""
    with archive.open("rb") as stream:
        start = stream.read(6)
    openers: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
    opener = next((how for magic, how in openers.items() if start.startswith(magic)), open)
    with opener(archive, "rb") as stream:
        limited: Any = _Limited(stream)
        with tarfile.open(fileobj=limited, mode="r:") as packed:
            yield packed


class _Limited:
    """What tarfile needs of a file, refusing to read at once what only a header's claim can ask for."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.seek, self.tell = stream, stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LARGEST_HEADER_BYTES + tarfile.BLOCKSIZE:
            raise ValueError(f"a header claims to be of {size} bytes")
        return self.stream.read(size)


def _only_file(folder: Path) -> Path | None:
    """Return the file of a folder that holds nothing else (but a Mac's __MACOSX), else None."""
    found = [path for path in folder.iterdir() if path.name != "__MACOSX"]
    return found[0] if len(found) == 1 and found[0].is_file() else None


def _move(source: Path, into: Path) -> None:
    """Move a tree's files over those of another tree: archives of one benchmark share folders (VOCdevkit)."""
    into.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        target = into / path.name
        if path.is_dir() and target.is_dir():
            _move(path, target)
        elif path.is_dir():
            shutil.move(path, target)
        else:
            path.replace(target)
