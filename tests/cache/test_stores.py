"""`heap cache list` and `prune`: what is there, what is in use, and that nothing else is touched."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_cache import Tiny
from typer.testing import CliRunner

from heap.cache import extract
from heap.cache.commands import age_text, size_text
from heap.cache.lock import StoreLock
from heap.cache.reader import FeatureReader
from heap.cache.stores import LEFTOVER_AGE_S, find_stores, remove
from heap.cli import app
from heap.errors import CacheError, DataError
from heap.files import write_json


def cache(tiny: Tiny, command: str, *options: str) -> str:
    result = CliRunner().invoke(app, ["--quiet", "cache", command, "--folder", str(tiny.features), *options])
    if result.exception is not None:
        raise result.exception
    return result.output


def listed(tiny: Tiny) -> dict[str, dict[str, object]]:
    return {str(store["fingerprint"]): store for store in json.loads(cache(tiny, "list", "--json"))}


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path, photos=9)


def test_every_store_is_listed_with_its_state(tiny: Tiny) -> None:
    old = tiny.extract()["fingerprint"]
    (store,) = listed(tiny).values()
    assert store["state"] == "complete", "a part's receipt points to it, though none was gathered"
    tiny.gather()
    tiny.freeze(max_px=32)
    new = tiny.extract("1-of-2")["fingerprint"]
    os.utime(tiny.receipt, (time.time() + 5, time.time() + 5))  # written last, as after going back to the old settings
    (tiny.features / "set.parts" / "1-of-1.json").unlink()
    both = listed(tiny)
    assert both[old]["state"] == "complete"
    assert both[old]["photos"] == 9
    assert both[old]["patches"] == 5 * 35 + 4 * 30
    assert both[old]["bytes"] == sum(p.stat().st_size for p in Path(str(both[old]["store"])).rglob("*") if p.is_file())
    assert re.fullmatch(r"\d of \d shards", str(both[new]["state"]))
    assert not both[new]["current"]
    table = cache(tiny, "list")
    assert "2 stores, " in table
    with pytest.raises(CacheError, match="no features of other"):
        cache(tiny, "list", "other")


def test_prune_tells_first_and_removes_only_what_no_receipt_points_to(tiny: Tiny) -> None:
    tiny.make()
    old = listed(tiny)
    tiny.freeze(max_px=32)
    folder = tiny.make().folder
    before = {p for p in tiny.features.rglob("*") if p.is_file()}
    (gone,) = old.values()
    said = cache(tiny, "prune")
    assert f"would remove {gone['store']}" in said
    assert f"{size_text(int(str(gone['bytes'])))} would be freed; --yes removes them" in said
    assert {p for p in tiny.features.rglob("*") if p.is_file()} == before
    assert "0 B freed" in cache(tiny, "prune", "--yes", "--keep-days", "1"), "it is younger than a day"
    assert f"removed {gone['store']}" in cache(tiny, "prune", "--yes")
    assert [str(store["store"]) for store in listed(tiny).values()] == [str(folder)]
    assert len(FeatureReader(tiny.receipt)) == 9


def test_an_interrupted_extraction_stays_unless_asked_for(tiny: Tiny) -> None:
    tiny.make()
    tiny.freeze(max_px=32)
    tiny.extract("1-of-2")
    shutil.rmtree(tiny.features / "set.parts")  # its receipt was never written
    assert "0 B would be freed" in cache(tiny, "prune")
    assert "would remove" in cache(tiny, "prune", "--unfinished")


def test_a_store_that_is_written_is_never_touched(tiny: Tiny) -> None:
    """The lock is another process's: POSIX locks do not stand between handles of one process."""
    tiny.make()
    (store,) = find_stores(tiny.features, ["set"])
    tiny.receipt.unlink()
    shutil.rmtree(tiny.features / "set.parts")
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        lock = StoreLock(store.folder)
        lock.try_shard(1)
        os.write(ready[1], b"x")
        os.read(done[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    try:
        assert find_stores(tiny.features, ["set"])[0].state == "complete, being written"
        assert "0 B freed" in cache(tiny, "prune", "--yes", "--unfinished")
        assert not remove(store.folder), "also where it was idle when it was looked at"
        assert store.folder.is_dir()
    finally:
        os.write(done[1], b"x")
        os.waitpid(child, 0)
    assert "0 B freed" in cache(tiny, "prune", "--yes"), "whole, its receipt may be yet to be written"
    assert "removed" in cache(tiny, "prune", "--yes", "--unfinished")
    assert not store.folder.exists()
    assert not StoreLock(store.folder).path.exists()


def test_an_extraction_that_ends_keeps_its_store_until_its_receipt_is_there(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the last moment, its receipt about to be written; in use also where every shard was there before it began."""
    tiny.make()
    shutil.rmtree(tiny.features / "set.parts")
    receipt = tiny.receipt.read_bytes()
    said = []

    def prune_first(path: Path, content: object) -> None:
        tiny.receipt.unlink()
        prune = "import heap.cli, sys; heap.cli.app(sys.argv[1:])"
        options = ["cache", "prune", "--yes", "--unfinished", "--folder", str(tiny.features)]
        said.append(subprocess.run([sys.executable, "-c", prune, *options], capture_output=True, text=True, check=True))
        tiny.receipt.write_bytes(receipt)
        write_json(path, content)

    monkeypatch.setattr(extract, "write_json", prune_first)
    tiny.extract()
    assert said[0].stdout == "0 B freed\n"
    assert len(FeatureReader(tiny.receipt)) == 9


def test_leftovers_of_killed_processes_go_when_they_are_old(tiny: Tiny) -> None:
    tiny.make()
    folder = tiny.features / "set"
    for name in (".tmpabc.json", f".{'0' * 16}.lock"):
        (folder / name).write_text("")
    (folder / f".{'0' * 16}.zarr.pruned").mkdir()  # a removal that was interrupted
    assert "left by a killed process" not in cache(tiny, "prune"), "young: another process may be at it"
    old = time.time() - LEFTOVER_AGE_S - 9
    for path in folder.glob(".*"):
        os.utime(path, (old, old))
    cache(tiny, "prune", "--yes")
    assert {path.suffix for path in folder.glob(".*")} == {".lock"}, "that of the store in use"
    assert len(FeatureReader(tiny.receipt)) == 9


def test_a_damaged_receipt_makes_nothing_stale(tiny: Tiny) -> None:
    tiny.make()
    tiny.receipt.write_text("{")
    with pytest.raises(DataError, match=r"set\.json: not readable"):
        cache(tiny, "prune", "--yes")


def test_sizes_and_ages_by_hand() -> None:
    assert [size_text(n) for n in (0, 999, 1500, 74e9, 2e12)] == ["0 B", "999 B", "1.5 kB", "74 GB", "2 TB"]
    assert [age_text(s) for s in (-5, 90, 7200, 3 * 86400)] == ["0 min", "2 min", "2 h", "3 d"]
