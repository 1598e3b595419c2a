"""Files written whole or not at all, in an order that outlasts a power cut, and the JSON that the stages exchange.

The order is the same everywhere: the data to the disk, then the names in its folder, then the note that says so.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from heap.errors import DataError, HeapError

# What a disk or its owner refuses; the user puts it right, and the same command then goes on.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)


# What says that a file system cannot bring a folder's names to the disk on request; then nothing more can be done.
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP)
# Syncing in several threads, the file system brings many files to the disk by one commit of its journal: 500 files of
# 5 kB took 4.6 ms each one after the other and 0.3 ms with four or more threads (ext4, a virtual disk).
_SYNC_THREADS = 8
_SEAL = "checksum"
# Key under which the JSON next to a CSV has its checksum.
CSV_SHA256 = "csv_sha256"
_SEALED = re.compile(rf'\{{\n "{_SEAL}": "([^"\n]*)",\n')
# What may be a number beyond float64, which Python's JSON reads as infinite: a large exponent, or very many digits.
_HUGE = re.compile(r"[eE]\+?0*[1-9]\d\d|\d{309}")


@contextlib.contextmanager
def atomic_path(path: str | Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path next to `path`; on success it replaces `path`, on failure it is removed.

    A reader therefore sees the old file or the whole new one, never a part, also after a kill or a full disk.
    The temporary name keeps the suffix, because writers such as pandas and Pillow choose their format by it.

    Args:
        path: the file.
        durable: wait until file and name are on the disk. False where many small files are written of which a note
            speaks: `sync_tree` of their folder, before the note, is many times faster.

    Raises:
        OSError: the disk is full or refuses; its `filename` is `path`, whatever a library made of the error.
    """
    path = Path(path)
    with named(path):
        make_folder(path.parent)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix="".join(path.suffixes[-1:]))
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            if durable:
                sync(temporary)
            # mkstemp makes files only the owner can read; a result is shared like any other file of its user.
            mask = os.umask(0)
            os.umask(mask)
            temporary.chmod(0o666 & ~mask)
            temporary.replace(path)
            if durable:
                sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Let an error of the disk bear the name of the file that was to be written.

    A write knows no name, a temporary name helps nobody, and faiss and safetensors raise errors of their own that give
    the system's reason in words alone.

    Raises:
        OSError: in place of such an error.
    """
    try:
        yield
    except HeapError:
        raise
    except Exception as error:
        found = error.errno if isinstance(error, OSError) else None
        files = [Path(os.fsdecode(file)) for file in _files_of(error)]
        if files and not any(file in (path, *path.parents) or path.parent in file.parents for file in files):
            raise  # of another file, which was read meanwhile
        for code in DISK_ERRORS:
            if found == code or (found is None and os.strerror(code) in str(error)):
                raise OSError(code, os.strerror(code), str(path)) from error
        raise


def _files_of(error: Exception) -> list[str | bytes]:
    """Return the files an error names; of copying, source and target."""
    named = (error.filename, error.filename2) if isinstance(error, OSError) else ()
    return [file for file in named if isinstance(file, str | bytes)]


def write_durable(path: str | Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all, so that it also outlasts a power cut.

    For files with one writer at a time: the temporary name is fixed, so a killed writer leaves nothing that its
    successor does not take over. The folder is synced too, without which a new name may be lost after a power cut.
    """
    path = Path(path)
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: str | Path) -> None:
    """Bring a file's content, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC or not Path(path).is_dir():
            raise
    finally:
        os.close(handle)


def sync_tree(folder: str | Path) -> None:
    """Bring a folder and all that is in it to the disk: files first, then the names of each folder, outer ones last.

    Links are left alone: what they point to is another's.
    """
    folders, files = [], []
    for at, _, names in os.walk(folder):
        folders.append(Path(at))
        files += [Path(at, name) for name in names if not Path(at, name).is_symlink()]
    with ThreadPoolExecutor(_SYNC_THREADS) as pool:
        for found in (files, folders[::-1]):
            for _ in pool.map(sync, found):  # an error is raised here
                pass


def make_folder(path: str | Path) -> None:
    """Make a folder and those above it that are missing; their names outlast a power cut."""
    path = Path(path)
    missing = [one for one in (path, *path.parents) if not one.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for one in missing:
        sync(one.parent)


def put_in_place(work: Path, final: Path) -> None:
    """Give a folder that is whole its final name, in place of what bears it; a power cut leaves no part under it.

    Both are on one file system. Between two calls of the system nothing bears the name.
    """
    sync_tree(work)
    if final.exists():
        shutil.rmtree(final)
    work.replace(final)
    sync(final.parent)


def write_text(path: str | Path, text: str, durable: bool = True) -> None:
    """Write `text` to `path`, UTF-8; see `atomic_path`."""
    with atomic_path(path, durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


def dump_json(value: Any) -> str:
    """Return `value` as the project's canonical JSON: sorted keys, so equal settings give equal bytes."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def sealed(text: str) -> str:
    """Return the text of a JSON object with its checksum as the first key; other texts as they are."""
    if not text.startswith("{\n"):
        return text
    return f'{{\n "{_SEAL}": "{hashlib.sha256(text.encode()).hexdigest()}",\n{text[2:]}'


def unsealed(text: str, source: str | Path, required: bool = False) -> str:
    """Return the text that `sealed` was given; one without a checksum, of another program, as it is unless `required`.

    Raises:
        DataError: the checksum does not hold; names `source`.
    """
    seal = _SEALED.match(text)
    if seal is None and not required:
        return text
    content = "{\n" + text[seal.end() :] if seal else ""
    if seal is None or hashlib.sha256(content.encode()).hexdigest() != seal[1]:
        raise DataError(
            f"{source}: is damaged, or was edited (its checksum does not hold); make it again, or delete its line "
            f'"{_SEAL}" if the edit was meant'
        )
    return content


def write_json(path: str | Path, value: Any, durable: bool = True) -> None:
    """Write `value` as canonical JSON, sealed by a checksum that `read_json` compares; see `atomic_path`."""
    write_text(path, sealed(dump_json(value)), durable)


def regular(path: Path) -> Path:
    """Return `path`, unless it is a named pipe, a socket or a device, whose opening may wait for ever.

    Raises:
        OSError: it is one of these; what is missing shows when it is opened.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "a named pipe or device, expected a regular file", str(path))
    return path


def read_json(path: str | Path) -> Any:
    """Read a JSON file; of one that `write_json` wrote and nobody edited, without its checksum.

    Raises:
        DataError: the file is missing, damaged, not readable or no JSON (NaN and infinities are none); the message
            names it.
    """
    try:
        # Windows editors write a byte order mark.
        return parse_json(unsealed(Path(path).read_text(encoding="utf-8-sig"), path))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:  # ValueError: JSON, UTF-8, or 5,000 digits
        raise DataError(f"{path}: not readable as JSON ({error})") from error


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is no JSON; NaN, infinities, numbers beyond float64 and halves of characters are none.
    """
    text = text.decode() if isinstance(text, bytes) else text
    value = json.loads(text, parse_constant=_no_number, parse_float=_finite if _HUGE.search(text) else None)
    if "\\u" in text:  # half a character, escaped, is JSON and no text: it could not be written, hashed or printed
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


def _no_number(text: str) -> float:
    raise ValueError(f"{text if len(text) < 20 else text[:20] + '...'} is no number of JSON")


def digest(value: Any, length: int = 16) -> str:
    """Return the first `length` hex digits of the SHA-256 of `value`'s canonical JSON."""
    return hashlib.sha256(dump_json(value).encode()).hexdigest()[:length]


def check_csv(path: str | Path) -> None:
    """Compare a CSV with the checksum (`CSV_SHA256`) in the JSON of its name, where there is one that has it.

    Raises:
        DataError: the table was changed since it was written; or the JSON is damaged.
    """
    note = Path(path).with_suffix(".json")
    content = read_json(note) if note.is_file() and Path(path).is_file() else None
    if isinstance(content, dict) and CSV_SHA256 in content and content[CSV_SHA256] != file_sha256(path):
        raise DataError(
            f"{path}: is damaged, or was edited ({note} has the checksum of another table); make it again, or give an "
            "edited table another name"
        )


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
