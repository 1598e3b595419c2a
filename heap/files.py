"""Files written whole or not at all, and the JSON that the stages exchange."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from heap.errors import DataError, HeapError

# What a disk or its owner refuses; the user mends it, and the same command then goes on.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on failure it is removed.

    A reader therefore sees the old file or the whole new one, never a part, also after a kill or a full disk.
    The temporary name keeps the suffix, because writers such as pandas and Pillow choose their format by it.

    Raises:
        OSError: the disk is full or refuses; its `filename` is `path`, whatever a library made of the error.
    """
    path = Path(path)
    with named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix="".join(path.suffixes[-1:]))
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            # mkstemp makes files only the owner can read; a result is shared like any other file of its user.
            mask = os.umask(0)
            os.umask(mask)
            temporary.chmod(0o666 & ~mask)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Let an error of the disk bear the name of the file that was to be written.

    A write knows no name, a temporary name helps nobody, and faiss and safetensors raise errors of their own that tell
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
    path.parent.mkdir(parents=True, exist_ok=True)
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
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically, UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def dump_json(value: Any) -> str:
    """Return `value` as the project's canonical JSON: sorted keys, so equal settings give equal bytes."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as canonical JSON, atomically."""
    write_text(path, dump_json(value))


def regular(path: Path) -> Path:
    """Return `path`, unless it is a named pipe, a socket or a device, whose opening may wait for ever.

    Raises:
        OSError: it is one of these; what is missing shows when it is opened.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "a named pipe or device, expected a regular file", str(path))
    return path


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: the file is missing, not readable or no JSON (NaN and infinities are none); the message names it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # Windows editors write a byte order mark
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
        if "\\u" in text:  # half a character, escaped, is JSON and no text: it could not be written, hashed or printed
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:  # ValueError: JSON, UTF-8, or 5,000 digits
        raise DataError(f"{path}: not readable as JSON ({error})") from error


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)  # 1e999


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def digest(value: Any, length: int = 16) -> str:
    """Return the first `length` hex digits of the SHA-256 of `value`'s canonical JSON."""
    return hashlib.sha256(dump_json(value).encode()).hexdigest()[:length]


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
