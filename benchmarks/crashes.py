"""kill -9 of a rule, of Snakemake, of the whole group, in every stage: does recovery give an undisturbed run's results?

    python -m benchmarks.crashes --out crashes.csv

For each stage and each kind of kill the pipeline runs up to that stage's kill, is unlocked where Snakemake died, and
the same command is typed again. The suite tests all stages with one kind and all kinds with extract and train; this is
all of it, with FOUND's training too. 39 histories of two runs of the small pipeline each: 26 minutes on two cores.
"""

from __future__ import annotations

import argparse
import copy
import csv
import sys
import tempfile
from pathlib import Path
from typing import Any

from heap.settings.config import read

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from workflow.clone import Clone  # noqa: E402

from workflow import crashes, odd_photos  # noqa: E402


def small() -> dict[str, Any]:
    """Return the shipped configuration, cut down as for the tests."""
    config: dict[str, Any] = read(REPOSITORY / "config/config.yaml")
    config["train"] |= {"batch_size": 8}
    config["train"]["head"]["num_groups"] = 6
    config["cluster"] |= {"restarts": 1}
    config["models"]["demo"] |= {"min_train_images": 4, "overrides": {"seeds": [0, 1]}}
    config["report"]["photos"] = 6
    config["baselines"] = {"found": {"steps": 6, "batch_size": 4, "seed_steps": 3}}
    return config


def recovered(clone: Clone, stage: str, kind: str) -> dict[str, bytes]:
    """Kill one stage in one way, recover as the README says, and return the results."""
    clone.type(crashes.COMMAND, crashes.order(stage, kind), code=crashes.status(kind))
    if not clone.note.exists():
        raise RuntimeError(f"{stage} did not come to {crashes.WHERE[stage]}")
    if kind != "rule":
        clone.type(crashes.UNLOCK)
    clone.type(crashes.COMMAND, {"stage": stage, "kind": "release"})
    clone.wait_for_orphans()
    return clone.results()


def main() -> None:
    """Go through all stages and kinds; the exit status is 1 where one differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="CSV to write: stage, kind, files, differing")
    parser.add_argument("--stages", nargs="*", default=list(crashes.WHERE), choices=list(crashes.WHERE))
    arguments = parser.parse_args()
    differing = 0
    with tempfile.TemporaryDirectory() as name, arguments.out.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["stage", "kind", "files", "differing"])
        folder = Path(name)
        (folder / "server").mkdir()
        odd_photos.write_archive(folder / "server/odd photos.zip")
        with odd_photos.served(folder / "server") as url:
            clone = Clone(folder, odd_photos.config(copy.deepcopy(small()), url))
            clone.type(crashes.COMMAND)
            expected = clone.results()
            for stage in arguments.stages:
                for kind in crashes.KINDS:
                    clone.clear()
                    found = recovered(clone, stage, kind)
                    others = [path for path in {*expected, *found} if expected.get(path) != found.get(path)]
                    rows.writerow([stage, kind, len(expected), " ".join(sorted(others))])
                    stream.flush()
                    differing += bool(others)
    print(f"{arguments.out}: {differing} of {len(arguments.stages) * len(crashes.KINDS)} kills left other results")
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
