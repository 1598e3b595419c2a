"""Kill -9 at random moments: what is finished stays, what is torn is never taken for finished, nothing is done twice."""

from __future__ import annotations

import random
from pathlib import Path

from process_farm import Farm
from tiny_cache import Tiny, payload

from heap.files import read_json

KILLS = 20


def test_killed_twenty_times_the_store_is_the_one_written_in_one_go(farm: Farm, tmp_path: Path) -> None:
    """Moments are counted in events of the file system and not in seconds, so a slow machine tests the same."""
    whole = Tiny(tmp_path / "whole", photos=90)
    count = tmp_path / "count"
    assert farm.wait(farm.start(whole, count=count)) == 0
    expected = payload(whole.gather().folder)
    events = int(count.read_text())
    shards = read_json(whole.receipt)["shards"]
    start = Tiny(tmp_path / "start", photos=90)
    farm.wait(farm.start(start, hang_at=None, die_at=1))
    before_first = events - shards * (events // (shards + 1))  # about what a run does before its first shard

    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # shown by pytest when the test fails
    rng = random.Random(seed)
    tiny = Tiny(tmp_path / "killed", photos=90)
    log = tmp_path / "log"
    log.touch()
    done: set[str] = set()
    kills = rounds = 0
    while kills < KILLS:
        rounds += 1
        begun = len(log.read_text().split())
        moment = rng.randint(1, before_first + 3 * events // shards)
        status = farm.wait(farm.start(tiny, log=log, die_at=moment))
        assert status in (0, -9)
        again = set(log.read_text().split()[begun:]) & done
        assert not again, f"finished shards {again} were computed again"
        done = {path.stem for path in tiny.features.glob("set/*.zarr/shards/[0-9]*.json")}
        kills += status == -9
        if status == 0:
            break
    print(f"{kills} kills in {rounds} runs, {len(done)} of {shards} shards, {events} events")
    assert kills == 20
    assert farm.wait(farm.start(tiny, log=log)) == 0
    assert payload(tiny.gather().folder) == expected
