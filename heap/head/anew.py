"""Whether a training was forced: Snakemake runs the stage again, but nothing it depends on has changed.

Snakemake does not tell a job why it runs; it deletes the receipt first in every case. So a note beside the heads keeps
what the last finished training was asked for. The receipt gone and the same asked again is `--forcerun train` (or a
deleted receipt): all seeds are trained anew. Asked for anything else since, as by a setting that was edited and put
back or a seed that was added, or features that were written again: heads that are there are taken.

    results/head/{model}/last.json                     what the last finished training was asked for
    results/head/{model}/{identity}/seed{n}/anew       this seed's head is there, but is to be trained anew
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from heap import paths
from heap.files import digest, read_json, write_json, write_text
from heap.head.checkpoint import Checkpoint

_MARK = "anew"


def asked_for(stage: dict[str, Any], features: Path) -> str:
    """Return the digest of all that a training is asked for.

    Args:
        stage: frozen settings of the stage.
        features: receipt of the features; when it was written counts, since training after it was not forced.
    """
    return digest({"stage": stage, "features": read_json(features), "written_ns": features.stat().st_mtime_ns})


def begin(receipt: Path, asked: str, seeds: Sequence[Path]) -> bool:
    """Mark the heads in the folders `seeds` to be trained anew where the training is forced; return whether it is.

    The marks outlive a kill, so that the next run goes on; the note does not outlive them, so that it forces no more.
    """
    note = _note(receipt)
    if receipt.is_file() or not note.is_file() or read_json(note).get("asked_for") != asked:
        return False
    for folder in seeds:
        # Of a forced training that failed. The heads stay until others are written in their place.
        Checkpoint(folder / "checkpoint.pt", asked).remove()
        write_text(folder / _MARK, asked)
    note.unlink()
    return True


def waits(seed: Path) -> bool:
    """Return whether the head in this folder is yet to be trained anew."""
    return (seed / _MARK).is_file()


def done(seeds: Sequence[Path]) -> None:
    """Remove the marks: the heads are new, or the training failed and the earlier ones count again."""
    for folder in seeds:
        (folder / _MARK).unlink(missing_ok=True)


def note(receipt: Path, asked: str) -> None:
    """Keep what the finished training was asked for."""
    write_json(_note(receipt), {"asked_for": asked})


def _note(receipt: Path) -> Path:
    return paths.beside(receipt) / "last.json"
