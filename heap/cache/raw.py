"""Raw, checksummed shards of a Zarr array, read straight into memory.

zarr-python takes such a shard apart chunk by chunk through its asynchronous pipeline and copies each several times; a
flat file of the same bytes reads several times faster (benchmarks/reader.py has both). Here each chunk goes from the
file to where it belongs in one system call, and its CRC-32C is checked there. Only reading is done here, of what
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
        """Return whether an array has the layout that this class reads."""
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
        size = self.chunk_rows
        with path.open("rb", buffering=0) as stream:
            file = stream.fileno()
            index = self._index(file, path)
            for chunk in range(start // size, -(-stop // size)):
                low, high = max(start, chunk * size), min(stop, (chunk + 1) * size)
                own = out[low - start : high - start]
                # Whole chunks land in `out`; one of which only some rows are wanted goes through a buffer of its own.
                part = own if high - low == size else np.empty((size, self.width), self.dtype)
                self._read_chunk(file, path, chunk, index[chunk], part)
                if part is not own:
                    own[:] = part[low - chunk * size : high - chunk * size]

    def _read_chunk(self, file: int, path: Path, chunk: int, where: Any, part: npt.NDArray[Any]) -> None:
        offset, length = (int(value) for value in where)
        if offset == length == _ABSENT:
            part[:] = self.fill_value
            return
        if length != part.nbytes + _CRC_BYTES:
            raise ValueError(f"{path}: chunk {chunk} has {length} bytes")
        _read_checked(file, path, f"chunk {chunk}", part, offset)

    def _index(self, file: int, path: Path) -> npt.NDArray[np.uint64]:
        """Return (offset, length) of each chunk, from the end of the shard's file."""
        index = np.empty((self.shard_rows // self.chunk_rows, 2), "<u8")
        where = os.fstat(file).st_size - index.nbytes - _CRC_BYTES
        if where < 0:
            raise ValueError(f"{path}: is cut")
        _read_checked(file, path, "the index", index, where)
        return index


def _read_checked(file: int, path: Path, what: str, out: npt.NDArray[Any], offset: int) -> None:
    """Fill a contiguous array, and compare it with the checksum behind it, in one system call where that suffices."""
    found = bytearray(_CRC_BYTES)
    buffers = [out.reshape(-1).view(np.uint8).data, memoryview(found)]
    while buffers:
        count = os.preadv(file, buffers, offset)
        if count == 0:
            raise ValueError(f"{path}: is cut")
        offset += count
        while buffers and count >= len(buffers[0]):
            count -= len(buffers.pop(0))
        if count:
            buffers[0] = buffers[0][count:]
    if google_crc32c.value(out.reshape(-1).view(np.uint8)) != int.from_bytes(found, "little"):
        raise ValueError(f"{path}: the checksum of {what} does not hold")
