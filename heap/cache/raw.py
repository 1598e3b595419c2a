"""Raw, checksummed shards of a Zarr array, read straight into memory.

zarr-python takes such a shard apart chunk by chunk through its asynchronous pipeline and copies each several times; a
flat file of the same bytes reads several times faster (benchmarks/reader.py has both). Here the chunks go from the file
to where they belong in one system call, and each one's CRC-32C is checked there. Only reading is done here, of what
zarr wrote and only where nothing is compressed: the format stays zarr's, and so does every other array.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
_CRC = {"name": "crc32c"}
_CRC_BYTES = 4
# What the index says of a chunk that was not stored because it holds the fill value alone.
_ABSENT = 2**64 - 1
# Buffers that one system call fills: Linux takes 1024 (IOV_MAX), two for each chunk.
_CHUNKS_A_CALL = 500


def fast(array: Any, folder: Path) -> Any:
    """Return what reads rows of a zarr array by `[start:stop]`: `RawShards` where its layout allows, else the array.

    Args:
        array: an opened zarr array.
        folder: where it lies.
    """
    return RawShards(array, folder) if RawShards.can_read(array) else array


class RawShards:
    """Rows of an array `(rows, values)` whose shards hold whole rows, uncompressed, with a CRC-32C for each chunk.

    Args:
        array: an opened zarr array that `can_read` accepts.
        folder: where it lies.
    """

    def __init__(self, array: Any, folder: Path) -> None:
        self.dtype, self.fill_value = np.dtype(array.dtype), array.fill_value
        self.rows, self.width = array.shape
        self.shard_rows, self.chunk_rows = array.shards[0], array.chunks[0]
        self._paths = [folder / array.metadata.encode_chunk_key((n, 0)) for n in range(self.rows // self.shard_rows)]

    @staticmethod
    def can_read(array: Any) -> bool:
        """Tell whether an array has the layout that this class reads."""
        if array.shards is None or len(array.shape) != 2 or np.dtype(array.dtype).byteorder == ">":
            return False
        (sharding,) = array.metadata.to_dict()["codecs"]
        inner = sharding["configuration"]
        # Of single bytes zarr does not say the order.
        plain = {**_BYTES, "configuration": inner["codecs"][0].get("configuration", _BYTES["configuration"])}
        return bool(
            array.shards[1] == array.chunks[1] == array.shape[1]
            and array.shape[0] % array.shards[0] == 0
            and [plain, *inner["codecs"][1:]] == [_BYTES, _CRC]
            and list(inner["index_codecs"]) == [_BYTES, _CRC]
            and inner["index_location"] == "end"
        )

    def __getitem__(self, rows: slice) -> npt.NDArray[Any]:
        """Return rows `(stop - start, values)`.

        Raises:
            ValueError: a checksum does not hold, or a shard is cut.
            OSError: a shard is missing or cannot be read.
        """
        start, stop, _ = rows.indices(self.rows)
        found = np.empty((max(0, stop - start), self.width), self.dtype)
        for shard in range(start // self.shard_rows, -(-stop // self.shard_rows)):
            first = shard * self.shard_rows
            low, high = max(start, first), min(stop, first + self.shard_rows)
            self._read_shard(self._paths[shard], low - first, high - first, found[low - start : high - start])
        return found

    def _read_shard(self, path: Path, start: int, stop: int, out: npt.NDArray[Any]) -> None:
        """Read rows of one shard, counted from its first, into `out`."""
        size, chunks = self.chunk_rows, range(start // self.chunk_rows, -(-stop // self.chunk_rows))
        # Whole chunks land in `out`; one of which only some rows are asked for goes through a buffer of its own.
        parts: dict[int, npt.NDArray[Any]] = {}
        stored: dict[int, npt.NDArray[np.uint8]] = {}
        for chunk in chunks:
            low, high = chunk * size, (chunk + 1) * size
            whole = start <= low and high <= stop
            parts[chunk] = out[low - start : high - start] if whole else np.empty((size, self.width), self.dtype)
        file = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            offsets = self._index(file, path)
            waiting: list[memoryview] = []
            begin = end = 0
            for chunk, part in parts.items():
                offset, length = (int(value) for value in offsets[chunk])
                if offset == length == _ABSENT:
                    part[:] = self.fill_value
                    continue
                if length != part.nbytes + _CRC_BYTES:
                    raise ValueError(f"{path}: chunk {chunk} has {length} bytes")
                if waiting and (offset != end or len(waiting) >= 2 * _CHUNKS_A_CALL):
                    _fill(file, path, waiting, begin)
                    waiting = []
                if not waiting:
                    begin = offset
                stored[chunk] = np.empty(_CRC_BYTES, np.uint8)
                waiting += [_bytes_of(part), _bytes_of(stored[chunk])]
                end = offset + length
            if waiting:
                _fill(file, path, waiting, begin)
        finally:
            os.close(file)
        for chunk, check in stored.items():
            _check(path, f"chunk {chunk}", parts[chunk], check)
        for chunk in chunks:
            low, high = max(start, chunk * size), min(stop, (chunk + 1) * size)
            if high - low < size:
                out[low - start : high - start] = parts[chunk][low - chunk * size : high - chunk * size]

    def _index(self, file: int, path: Path) -> npt.NDArray[np.uint64]:
        """Return (offset, length) of each chunk, from the end of the shard's file."""
        index = np.empty((self.shard_rows // self.chunk_rows, 2), "<u8")
        check = np.empty(_CRC_BYTES, np.uint8)
        where = os.fstat(file).st_size - index.nbytes - _CRC_BYTES
        if where < 0:
            raise ValueError(f"{path}: is cut")
        _fill(file, path, [_bytes_of(index), _bytes_of(check)], where)
        _check(path, "the index", index, check)
        return index


def _bytes_of(values: npt.NDArray[Any]) -> memoryview:
    """Return the memory of a contiguous array."""
    return values.reshape(-1).view(np.uint8).data


def _fill(file: int, path: Path, buffers: list[memoryview], offset: int) -> None:
    """Fill buffers one after the other from `offset` of a file."""
    while buffers:
        count = os.preadv(file, buffers, offset)
        if count == 0:
            raise ValueError(f"{path}: is cut")
        offset += count
        while buffers and count >= len(buffers[0]):
            count -= len(buffers[0])
            buffers = buffers[1:]
        if count:
            buffers = [buffers[0][count:], *buffers[1:]]


def _check(path: Path, what: str, values: npt.NDArray[Any], check: npt.NDArray[np.uint8]) -> None:
    if google_crc32c.value(values.reshape(-1).view(np.uint8)) != int.from_bytes(check.tobytes(), "little"):
        raise ValueError(f"{path}: the checksum of {what} does not hold")
