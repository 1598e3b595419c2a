"""A disk that is full or read-only: a clear error, nothing torn, and the same command goes on once there is room."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_cache import Tiny, payload

from heap.cache.reader import FeatureReader
from heap.errors import CacheError

pytestmark = pytest.mark.slow  # needs root


def mount(folder: Path, options: str) -> None:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here ({done.stderr.strip()})")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 kB: the features of 40 tiny photos need 300."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount(folder, "size=200k")
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)  # arrays may still be open in this process


def test_a_full_disk_is_reported_and_the_same_command_goes_on(tmp_path: Path, disk: Path) -> None:
    tiny = Tiny(tmp_path / "tiny", photos=40)
    with pytest.raises(CacheError) as caught:
        tiny.extract(features=disk)
    (store,) = (disk / "set").glob("*.zarr")
    message = str(caught.value)
    assert message.startswith(f"{store}: shard ")
    assert "No space left on device" in message
    assert "heap cache prune" in message
    finished = {path: path.stat().st_mtime_ns for path in (store / "shards").glob("*.json")}
    assert finished, "some shards had room"
    assert not list(store.rglob("*.part*")), "nothing half written takes the room that is left"
    with pytest.raises(CacheError, match="No space left"):
        tiny.extract(features=disk)
    subprocess.run(["mount", "-o", "remount,size=2m", str(disk)], check=True)
    receipt = tiny.extract(features=disk)
    assert receipt["photos_encoded"] < 40
    assert {path: path.stat().st_mtime_ns for path in finished} == finished, "finished shards were not touched"
    there = payload(tiny.gather(features=disk).folder)
    tiny.extract(features=tmp_path / "whole")
    assert there == payload(tiny.gather(features=tmp_path / "whole").folder)


def test_no_room_for_even_the_description(tmp_path: Path, disk: Path) -> None:
    tiny = Tiny(tmp_path / "tiny", photos=4)
    (disk / "filler").write_bytes(b"x" * (disk.stat().st_blksize * 48))
    with pytest.raises(CacheError, match=r"\.zarr: its description could not be written \(No space left"):
        tiny.extract(features=disk)
    (disk / "filler").unlink()
    tiny.extract(features=disk)
    assert len(tiny.gather(features=disk)) == 4


def test_a_read_only_disk(tmp_path: Path, disk: Path) -> None:
    tiny = Tiny(tmp_path / "tiny", photos=4)
    tiny.extract(features=disk)
    reader = tiny.gather(features=disk)
    expected = reader.features(0)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    np.testing.assert_array_equal(FeatureReader(reader.path).features(0), expected)
    tiny.freeze(max_px=32)
    with pytest.raises(CacheError, match=r"cannot be (locked|written).*Read-only file system"):
        tiny.extract(features=disk)
