"""Stage `model`, and `heap export`: a trained model as one folder."""

from __future__ import annotations

import logging
from pathlib import Path

from heap import paths
from heap.discover import folder
from heap.discover.card import measured_with
from heap.discover.find import find, of_stage
from heap.files import write_json
from heap.locks import alone
from heap.settings import read_frozen

log = logging.getLogger("heap")


@alone("out")
def make_model(frozen: Path, head: Path, clusters: Path | None, out: Path) -> None:
    """Write the folder of a model and its receipt.

    Args:
        frozen: frozen settings of the stage.
        head: receipt of the training.
        clusters: table of clusters of the dataset that it was trained on; None for a model without clusters.
        out: receipt to write; the folder is that of its name.

    Raises:
        ModelError: the clusters are another head's, or something else lies where the folder goes.
    """
    parts = of_stage(read_frozen(frozen, "model"), head, clusters)
    place = paths.folder_of(out)
    saved = folder.save(place, parts)
    files = {file.name: file.stat().st_size for file in sorted(place.iterdir())}
    keep = ("model", "identity", "encoder", "weights", "trained_on", "head_sha256", "clusters", "warnings")
    # The receipt last: where it stands, the folder is whole.
    write_json(out, {**{key: saved[key] for key in keep}, "files": files})


def export(model: Path, out: Path) -> None:
    """Write a model as a folder that can be moved.

    Args:
        model: see `heap.discover.find.find`.
        out: the folder; an earlier model there is replaced.

    Raises:
        ModelError: there is no such model, or something else lies at `out`.
    """
    parts = find(model)
    # `results/head`, or a training below it: the tables lie in `results`.
    measured = [one for results in model.absolute().parents[:2] for one in measured_with(parts.head_sha256, results)]
    folder.save(out, parts, measured)
    log.info("%s: model %s, %s", out, parts.description["model"], parts.description["encoder"])
