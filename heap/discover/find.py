"""From a path that people know (`results/head`, a training, an exported folder) to the parts of a model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, TypeVar

from heap import paths
from heap.cluster import table as cluster_table
from heap.cluster.objects import View
from heap.cluster.table import BACKGROUND, FOREGROUND
from heap.discover import folder
from heap.discover.folder import MODEL, Centroids, Parts, Reading
from heap.errors import ModelError
from heap.files import file_sha256, read_json
from heap.head.folder import HEAD, describe, weights_of
from heap.settings.base import Settings
from heap.settings.freeze import section
from heap.settings.stages import GroupSettings, SegmentSettings

log = logging.getLogger("heap")

S = TypeVar("S", bound=Settings)


def find(path: str | Path) -> Parts:
    """Return the parts of the model that `path` stands for.

    Args:
        path: an exported folder; the receipt of a training (`results/head/demo.json`) or the folder of its name; or a
            folder of receipts (`results/head`), of which the last written counts.

    Raises:
        ModelError: there is no model; says what was looked for.
    """
    path = Path(path)
    if path.name in ("", ".."):  # "." and "..": a receipt lies next to a folder of its name
        path = path.resolve()
    if folder.is_model(path):
        return folder.read(path)
    if path.suffix == ".json" and path.is_file():
        # A receipt of the workflow's stands next to the folder of its name, whatever kind it is.
        place = paths.folder_of(path)
        return folder.read(place) if folder.is_model(place) else of_training(path)
    receipt = path.parent / f"{path.name}.json"
    if receipt.is_file():
        return of_training(receipt)
    if path.is_dir():
        receipts = [file for file in path.glob("*.json") if _is_receipt(file)]
        if receipts:
            last = max(receipts, key=lambda file: (file.stat().st_mtime_ns, file.name))
            others = sorted(file.stem for file in receipts if file != last)
            log.info("%s: the model trained last is %s%s", path, last.stem,
                     f" (there are also: {', '.join(others)})" if others else "")  # fmt: skip
            return of_training(last)
        if (path / HEAD).is_file():
            raise ModelError(f"{path}: holds a head and no {MODEL}; `heap export` makes a folder that can be moved")
    what = "holds no model" if path.is_dir() else "no such file or folder"
    raise ModelError(
        f"{path}: {what}; expected a folder made by `heap export`, the receipt of a training "
        f"({paths.head('demo')}) or a folder of receipts (results/head)"
    )


def _is_receipt(file: Path) -> bool:
    found = read_json(file)
    return isinstance(found, dict) and {"head_sha256", "seeds", "seed", "model"} <= set(found)


def of_training(receipt: Path) -> Parts:
    """Return the chosen head of a training, with the clusters and settings that lie next to it in `results/`.

    Settings of stages that have not run yet are the shipped ones; without a table of clusters there are none.
    """
    head_file, sha256, description = read_head(receipt)
    results, dataset = receipt.absolute().parent.parent, str(description["trained_on"]["dataset"])
    table = results / Path(paths.clusters(dataset)).relative_to(paths.RESULTS)
    clusters = None
    if table.is_file():
        clusters = centroids(table, sha256, receipt)
    else:
        log.warning("%s: %s is not there, so regions have no clusters (-1); `snakemake %s` makes it",
                    receipt, table, paths.clusters(dataset))  # fmt: skip
    extract = _frozen(results, "extract", f"{dataset}.*")
    reading = Reading.model_validate({key: extract[key] for key in Reading.model_fields if key in extract})
    group = _settings(results, "group", f"heap.{dataset}", GroupSettings)
    segment = _settings(results, "segment", dataset, SegmentSettings)
    return Parts(str(receipt), head_file, sha256, description, reading, group, segment, clusters)


def of_stage(settings: dict[str, Any], receipt: Path, clusters: Path | None) -> Parts:
    """Return the parts of a model by the frozen settings of stage `model`, nothing looked up.

    Args:
        settings: with the keys `reading`, `group` and `segment`.
        receipt: of the training.
        clusters: table of clusters by the same head, or None.
    """
    head_file, sha256, description = read_head(receipt)
    return Parts(
        source=str(receipt),
        head_file=head_file,
        head_sha256=sha256,
        description=description,
        reading=section(settings, "reading", Reading),
        group=section(settings, "group", GroupSettings),
        segment=section(settings, "segment", SegmentSettings),
        clusters=None if clusters is None else centroids(clusters, sha256, receipt),
    )


def read_head(receipt: Path) -> tuple[Path, str, dict[str, Any]]:
    """Return the file of the chosen head, its sha256, and the description in it, without building it."""
    head_file, _ = weights_of(receipt)
    return head_file, file_sha256(head_file), describe(head_file)


def centroids(table: Path, head_sha256: str, receipt: Path) -> Centroids:
    """Return the centroids of a table of clusters.

    Raises:
        ModelError: the regions are another head's, whose embeddings mean something else.
    """
    found = cluster_table.read(table)
    if found.info["head_sha256"] != head_sha256:
        raise ModelError(
            f"{table}: clusters of another head (sha256 {found.info['head_sha256'][:12]}) than {receipt} speaks of "
            f"({head_sha256[:12]}); `snakemake {table}` makes them again"
        )
    k = found.info["k"]
    views = {kind: View.from_json(view) for kind, view in found.info["views"].items()}
    return Centroids(found.centroids, int(k[FOREGROUND]), int(k[BACKGROUND]), str(found.info["dataset"]), views)


def _frozen(results: Path, stage: str, name: str) -> dict[str, Any]:
    pattern = results / Path(paths.settings(stage, name)).relative_to(paths.RESULTS)
    path = next(pattern.parent.glob(pattern.name), None)
    if path is None:
        log.info("%s: is not there, so the settings of %s are the shipped ones", pattern, stage)
        return {}
    found = read_json(path)
    if not isinstance(found, dict):
        raise ModelError(f"{path}: not frozen settings")
    return found


def _settings(results: Path, stage: str, name: str, kind: type[S]) -> S:
    return kind.model_validate(_frozen(results, stage, name).get(stage, {}))
