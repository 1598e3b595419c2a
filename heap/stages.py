"""The stages: what each reads, writes and is given, once, for the command line (`heap stage NAME`) and for the rules.

An option is called as the rule calls its input, wildcard or parameter; one that begins with `out-` as its output. They
stand in the order of the arguments of the stage's function. `*`: several files, or none; `?`: it may be left out; `-`:
an argument that only tests give.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Stage:
    """A stage.

    Attributes:
        run: module and function.
        spec: its options.
        does: in one line.
        own_threads: it spreads photos over the cores itself; its libraries must each use one.
    """

    run: str
    spec: str
    does: str
    own_threads: bool = False

    @property
    def options(self) -> list[str]:
        """The names of the options, in order, without their marks."""
        return [word.rstrip("*?") for word in self.spec.split() if word != "-"]


STAGES = {
    "fetch": Stage("heap.data.fetch:fetch", "settings out-receipt",
        "Bring a dataset's files: download, draw the embedded scenes, or check a given folder."),
    "weights": Stage("heap.encoders.weights:weights", "settings out-receipt",
        "Find (or download) an encoder's weights, check them, and note their checksum."),
    "manifest": Stage("heap.data.manifest:make", "settings files out-manifest",
        "List a dataset: one row a photo with size, split, ground truth."),
    "extract": Stage("heap.cache.extract:extract", "settings manifest weights folder part out-part device?",
        "Run the frozen encoder over one part of a dataset's photos into its Zarr store. Finished shards are kept."),
    "gather": Stage("heap.cache.extract:gather", "parts* folder manifest out-receipt",
        "Check that the parts of an extraction make up the whole store and write its receipt."),
    "train": Stage("heap.head.train:train", "settings features manifest seed out-head out-history out-survey device?",
        "Train the HEAP head of one seed on cached features. A killed training resumes."),
    "select": Stage("heap.head.select:select", "settings heads* surveys* histories* out-receipt out-history",
        "Choose the head of one of several seeds by signs that need no label."),
    "group": Stage("heap.group.stage:group", "settings features head out-regions out-maps device?",
        "Run a trained head over a dataset: patch maps and regions with embeddings."),
    "baseline": Stage("heap.baselines.stage:baseline", "settings method features out-maps head?",
        "Write the patch maps of a method that HEAP is compared with: everything, centred_box (neither looks at the "
        "photo), attention (above its mean), kmeans (clusters of the photo's patches that are attended to), lost, "
        "tokencut, found_seed (what is not FOUND's background seed), found (FOUND's linear head, by train_found).",
        own_threads=True),
    "train_found": Stage("heap.baselines.train_found:train_found",
        "settings features manifest out-head out-history",
        "Train FOUND's linear head (a baseline) on cached features.", own_threads=True),
    "cluster": Stage("heap.cluster.stage:cluster", "settings regions* maps* out-clusters out-index",
        "Cluster the regions of all photos with FAISS and find each region's nearest in other photos."),
    "segment": Stage("heap.segment.stage:segment", "settings maps clusters manifest out-masks out-instances",
        "Write masks at image resolution: PNGs for each photo, COCO instances and a table for all."),
    "method_masks": Stage("heap.segment.method_masks:method_masks", "settings maps out-receipt",
        "Write a baseline's masks at image resolution: a PNG for each photo."),
    "model": Stage("heap.discover.export:make_model", "settings head clusters? out-receipt",
        "Put a trained head, its settings and its clusters into one folder that can be moved to another machine."),
    "evaluate": Stage("heap.evaluate.stage:evaluate",
        "settings manifests* maps* features* masks* out-metrics - out-photos",
        "Measure every method by the benchmark's protocols; one figure a row."),
    "seeds": Stage("heap.evaluate.seeds:seeds", "settings manifests* maps* features* heads* out-table",
        "Measure the head of every seed: mean and deviation of a benchmark's figures."),
    "ablation": Stage("heap.evaluate.ablation:ablation", "settings manifests* maps* features* out-table",
        "Measure the heads of every variant of the training: mean and deviation over seeds in one table."),
    "report": Stage("heap.report.stage:report",
        "settings metrics? manifests* maps* clusters* masks* histories* out-page",
        "Write the page of a benchmark or a dataset: photos with masks, a gallery by cluster, tables, curves."),
    "pictures": Stage("heap.report.overlays:write_pictures", "settings manifest maps clusters masks out-receipt",
        "Write a picture of each photo for people: photo, saliency, regions by cluster, objects found."),
}  # fmt: skip

# Whose resolved settings (`heap.settings.freeze.STAGES`) a stage reads, where they are not its own.
_READS = {"baseline": "maps", "train_found": "found", "method_masks": "segment", "seeds": "evaluate"}
# Options that are no files.
_KINDS = {"seed": int, "method": str, "part": str, "device": str}
_HELP = {
    "settings": "resolved settings of this job: results/settings/STAGE/JOB.json",
    "device": "auto, cuda, mps or cpu; one that is not there is an error (default: $HEAP_DEVICE)",
}


def reads(stage: str) -> str | None:
    """Return the name of the resolved settings that a stage reads; None where it reads none."""
    return _READS.get(stage, stage) if "settings" in STAGES[stage].options else None


def parser() -> argparse.ArgumentParser:
    """Return the parser of `heap stage`."""
    parser = argparse.ArgumentParser(prog="heap stage", description="One stage of the workflow. Snakemake calls these.")
    names = parser.add_subparsers(dest="stage", required=True, metavar="NAME")
    for name, stage in STAGES.items():
        own = names.add_parser(name, help=stage.does, description=stage.does)
        for word in stage.spec.split():
            option = word.rstrip("*?")
            if option == "-":
                continue
            more: dict[str, Any] = {"required": word[-1] not in "*?"}
            if word[-1] == "*":
                more |= {"nargs": "*", "default": []}
            if option == "device":
                more["default"] = os.environ.get("HEAP_DEVICE")
            what = _HELP.get(option, "file to write" if option.startswith("out-") else None)
            own.add_argument(f"--{option}", type=_KINDS.get(option, Path), help=what, **more)
    return parser


def run(arguments: Sequence[str]) -> None:
    """Run the stage that the command line names."""
    given = vars(parser().parse_args(arguments))
    stage = STAGES[given["stage"]]
    values = [None if word == "-" else given[word.rstrip("*?").replace("-", "_")] for word in stage.spec.split()]
    more: dict[str, Any] = {}
    if stage.own_threads:
        from heap.workers import one_thread

        more["cores"] = one_thread()  # before numpy is loaded
    module, function = stage.run.split(":")
    getattr(import_module(module), function)(*values, **more)
