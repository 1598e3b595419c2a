"""Where each stage is killed, and what must not be lost by it."""

from __future__ import annotations

from typing import Any

TARGETS = "results/odd_metrics.csv results/report/odd.html"
COMMAND = f"snakemake --cores all {TARGETS}"
UNLOCK = "snakemake --unlock"

# Each stage: before which rename it dies. Where a stage writes several files, some are there by then and some are not.
WHERE: dict[str, tuple[str, int]] = {
    "fetch": ("*/odd/truth", 1),  # photos are in place, their masks are not
    "weights": ("*/descriptors.json", 1),
    "manifest": ("*/odd.parquet", 1),
    "extract": ("*/shards/*.json", 4),  # three shards are whole; of the fourth the data, and not the note
    "gather": ("*/odd.json", 1),
    "train": ("*/seed1/checkpoint.pt", 3),  # seed 1 is at iteration 15 and kept 10
    "select": ("*/head/demo.json", 1),  # the history and the copy of the head are there
    "train_found": ("*/demo.safetensors", 1),
    "group": ("*/regions/heap/odd.parquet", 1),  # the maps are there
    "baseline": ("*/centred_box/odd.json", 1),  # their arrays are there
    "cluster": ("*/clusters/odd.parquet", 1),  # the index is there
    "segment": ("*/masks/odd/*.png", 5),
    "evaluate": ("*/odd_metrics.csv", 1),  # the figures of each photo are there
    "report": ("*/report/odd.html", 1),
}
KINDS = ("rule", "snakemake", "group")


def order(stage: str, kind: str, nth: int | None = None) -> dict[str, Any]:
    """Return how a job of `stage` is told to die, see `killing`; `nth` in place of the rename in `WHERE`."""
    renames, usual = WHERE[stage]
    return {"stage": stage, "renames": renames, "nth": nth or usual, "kind": kind}


def status(kind: str) -> int | None:
    """Return Snakemake's own exit status: 1 after a failed job, None where a signal ended it."""
    return 1 if kind == "rule" else None
