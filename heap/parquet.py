"""Tables as Parquet: one writer and one reader, so that no flipped bit is read as data.

Every page bears Parquet's own checksum, for every program that reads the table. That leaves out the headers of pages
and the footer, where all that says how to read them stands, so the footer also has the SHA-256 of the whole file.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from heap.errors import DAMAGE, DataError, HeapError
from heap.files import atomic_path, dump_json, parse_json

INFO = b"heap"
_SHA256 = b"heap.sha256"
# While the file is hashed, and written at first.
_BLANK = b"0" * 64
# A pair of key and value in the footer, which is in Thrift's compact form: 64 characters are announced by 18 40.
_PAIR = re.compile(re.escape(_SHA256) + rb"\x18\x40([0-9a-f]{64})")
_LENGTH = 8  # of the footer's length and the magic number at the end
# Read at a time. Without a buffer each column of a row group (a million regions) is held as it lies on the disk.
_READ_BYTES = 1 << 20


def write(path: str | Path, table: pa.Table | pd.DataFrame, info: Any = None) -> None:
    """Write a table, whole or not at all; equal tables give equal bytes.

    Args:
        path: of the Parquet file.
        table: of Arrow, or a frame whose index is not kept.
        info: kept as JSON in the file's metadata; None keeps none.
    """
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), _SHA256: _BLANK}
    if info is not None:
        metadata[INFO] = dump_json(info).encode()
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd", write_page_checksum=True)
        with temporary.open("r+b") as stream:
            at, _, computed = _hashed(stream)
            stream.seek(at)
            stream.write(computed)


@contextmanager
def opened(path: str | Path, what: str) -> Iterator[pq.ParquetFile]:
    """Open a table that `write` wrote; every byte is compared with its checksums.

    Args:
        path: of the Parquet file.
        what: what it is called in messages, with its article ("a table of regions").

    Raises:
        DataError: missing, damaged or something else, found here or by whatever is read within the block; names it.
    """
    try:
        with Path(path).open("rb") as stream:
            _, noted, computed = _hashed(stream)
        if noted != computed:
            raise DataError(f"{path}: is damaged (its checksum does not hold); make it again")
        with pq.ParquetFile(path, buffer_size=_READ_BYTES, page_checksum_verification=True) as file:
            yield file
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except HeapError:
        raise
    except (*DAMAGE, pa.ArrowException) as error:
        raise DataError(f"{path}: not readable as {what} ({error})") from error


def read(path: str | Path, what: str) -> pa.Table:
    """Read a whole table.

    Raises:
        DataError: see `opened`.
    """
    with opened(path, what) as file:
        return file.read()


def info_of(schema: pa.Schema) -> Any:
    """Return what `write` was given as `info`.

    Raises:
        ValueError, KeyError, TypeError: there is none (within `opened` they become a DataError).
    """
    return parse_json(schema.metadata[INFO])


def _hashed(stream: BinaryIO) -> tuple[int, bytes, bytes]:
    """Return where the file's SHA-256 stands in it, the one that stands there, and that of the file with it blank.

    Raises:
        ValueError: none stands there.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _LENGTH))
    footer = int.from_bytes(stream.read(4), "little") + _LENGTH
    stream.seek(max(0, size - footer))
    found = _PAIR.search(stream.read())
    if found is None:
        raise ValueError("no Parquet of this version, or damaged: its footer has no checksum; make it again")
    at = max(0, size - footer) + found.start(1)
    computed = hashlib.sha256()
    stream.seek(0)
    _update(computed, stream, at)
    computed.update(_BLANK)
    stream.seek(at + len(_BLANK))
    _update(computed, stream, size)
    return at, found[1], computed.hexdigest().encode()


def _update(computed: hashlib._Hash, stream: BinaryIO, length: int) -> None:
    """Hash the next bytes of a file, `length` of them or all that are left."""
    while length > 0 and (block := stream.read(min(length, _READ_BYTES))):
        computed.update(block)
        length -= len(block)
