"""Several writers: real processes on one store. No shard is computed twice, and what a dead writer held is free."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from process_farm import Farm
from tiny_cache import Tiny, payload

from heap.cache import lock as locks
from heap.cache.lock import StoreLock
from heap.errors import CacheError


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path, photos=40)


def test_two_runs_of_one_extraction_share_the_work(farm: Farm, tiny: Tiny) -> None:
    """Both are started at once on the same part: the second does not repeat what the first does, and both end well."""
    jobs = [farm.start(tiny, log=tiny.folder / "log") for _ in range(2)]
    assert [farm.wait(job) for job in jobs] == [0, 0]
    written = (tiny.folder / "log").read_text().split()
    assert len(written) == len(set(written)) > 4
    folder = tiny.gather().folder
    tiny.extract(features=tiny.folder / "alone")
    alone = tiny.gather(features=tiny.folder / "alone").folder
    assert payload(folder) == payload(alone)
    assert sorted(written, key=int) == [str(n) for n in range(len(written))]


def test_scattered_jobs_write_the_store_that_one_writes(farm: Farm, tiny: Tiny) -> None:
    parts = ["1-of-3", "2-of-3", "3-of-3"]
    jobs = [farm.start(tiny, part=part) for part in parts]
    assert [farm.wait(job) for job in jobs] == [0, 0, 0]
    folder = tiny.gather(*parts).folder
    tiny.extract(features=tiny.folder / "alone")
    assert payload(folder) == payload(tiny.gather(features=tiny.folder / "alone").folder)


def test_the_second_waits_for_a_shard_and_takes_it_when_its_writer_dies(farm: Farm, tiny: Tiny) -> None:
    """The first hangs writing shard 0, with more begun; the second does the others, and these once it is killed."""
    log = tiny.folder / "log"
    first = farm.start(tiny, log=log, hang_at=0)
    farm.wait_for(lambda: log.exists())
    second = farm.start(tiny, log=log)
    farm.wait_for(lambda: len(list(tiny.features.glob("set/*.zarr/shards/*"))) >= 2)  # none of them by the first
    os.kill(first, 9)
    assert farm.wait(first) == -9
    assert farm.wait(second) == 0
    written = log.read_text().split()
    assert written[0] == "0"
    assert written.count("0") == 2, "begun by the first, done by the second"
    assert len(set(written)) == len(written) - 1, "every other shard was written once"
    assert len(tiny.gather()) == 40


def test_a_file_system_without_locks_is_an_error_that_names_the_switch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*args: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks.fcntl, "lockf", refuses)
    lock = StoreLock(tmp_path / "abc.zarr")
    with pytest.raises(CacheError, match=r"\.abc\.lock: cannot be locked \(No locks available\).*HEAP_CACHE_LOCKS=off"):
        lock.try_shard(0)
    monkeypatch.setenv("HEAP_CACHE_LOCKS", "off")
    assert lock.try_shard(0)


def test_a_store_that_was_pruned_meanwhile_is_not_written_to(tmp_path: Path) -> None:
    """Else two writers could hold the lock: one of the removed file, one of its successor."""
    with StoreLock(tmp_path / "abc.zarr") as lock:
        assert lock.try_shard(0)
        lock.path.unlink()
        with pytest.raises(CacheError, match="was removed meanwhile"):
            lock.try_shard(1)
