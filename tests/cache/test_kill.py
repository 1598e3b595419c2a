"""Kill -9 at random moments: what is finished stays, what is torn never passes for finished, nothing is done twice."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from process_farm import Farm
from tiny_cache import Tiny, payload

from heap.files import read_json

pytestmark = pytest.mark.slow  # twenty kills

KILLS = 20


def test_killed_twenty_times_the_store_is_the_one_written_in_one_go(farm: Farm, tmp_path: Path) -> None:
    """Moments are counted in events of the file system and not in seconds, so a slow machine tests the same."""
    whole = Tiny(tmp_path / "whole", photos=60)
    assert farm.wait(farm.start(whole, count=tmp_path / "count", split=30)) == 0
    expected = payload(whole.gather().folder)
    events = json.loads((tmp_path / "count").read_text())
    shards = read_json(whole.receipt)["shards"]
    each = events["shard"] // shards

    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # shown by pytest when the test fails
    rng = random.Random(seed)
    tiny = Tiny(tmp_path / "killed", photos=60)
    log = tmp_path / "log"
    log.touch()
    done: set[str] = set()
    for kill in range(KILLS):
        # One in four while it starts; else within the next three shards, so that 20 kills do not reach the end.
        moment = ("start", rng.randint(1, events["start"])) if kill % 4 == 0 else ("shard", rng.randint(1, 3 * each))
        begun = len(log.read_text().split())
        assert farm.wait(farm.start(tiny, log=log, die_at=moment, split=30)) == -9
        again = set(log.read_text().split()[begun:]) & done
        assert not again, f"finished shards {again} were computed again"
        done = {path.stem for path in tiny.features.glob("set/*.zarr/shards/[0-9]*.json")}
    print(f"{len(done)} of {shards} shards after {KILLS} kills; {events} events")
    assert 4 < len(done) < shards
    begun = len(log.read_text().split())
    assert farm.wait(farm.start(tiny, log=log, split=30)) == 0
    assert set(log.read_text().split()[begun:]) == {str(shard) for shard in range(shards)} - done
    assert payload(tiny.gather().folder) == expected
