"""Stage select: of the heads of a model's seeds, the one that is used. No label is read, nothing is trained."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from heap import paths
from heap.errors import TrainingError
from heap.files import atomic_path, file_sha256, write_json
from heap.head import folder, seeds
from heap.head.diagnose import agreement
from heap.locks import alone
from heap.settings import read_frozen

log = logging.getLogger("heap")


@alone("out")
def select(
    frozen: Path, heads: Sequence[Path], surveys: Sequence[Path], histories: Sequence[Path], out: Path, history: Path
) -> None:
    """Choose between the seeds; write the model's receipt, a copy of the chosen head, and the history of all.

    Args:
        frozen: frozen settings of the stage.
        heads: of each seed, in the order of the settings.
        surveys: of the same heads.
        histories: of the same heads.
        out: the receipt; the copy goes into the folder of its name.
        history: CSV.

    Raises:
        TrainingError: the heads are not those of the settings' seeds, or a file is damaged.
    """
    stage = read_frozen(frozen, "select")
    name, numbers = stage["name"], stage["seeds"]
    descriptions = [folder.describe(head) for head in heads]
    found = [(one["model"], one["seed"]) for one in descriptions]
    if found != [(name, seed) for seed in numbers]:
        raise TrainingError(f"{out}: heads of {found}, expected model {name} with seeds {numbers}")
    signs = [dict(one["diagnostics"]) for one in descriptions]
    for one, alike in zip(signs, agreement([folder.read_survey(path) for path in surveys]), strict=True):
        one["agreement"] = alike
    choice = seeds.choose(numbers, signs)
    at = numbers.index(choice.seed)
    log.info("%s: seed %d is used, %s", name, choice.seed, choice.why)
    for word in descriptions[at]["warnings"]:
        log.warning("%s: %s", name, word)
    frames = [pd.read_csv(path) for path in histories]
    for seed, frame in zip(numbers, frames, strict=True):
        frame.insert(1, "chosen", seed == choice.seed)
    with atomic_path(history) as temporary:
        pd.concat(frames).to_csv(temporary, index=False)
    with atomic_path(paths.folder_of(out) / folder.HEAD) as temporary:
        shutil.copyfile(heads[at], temporary)
    hashes = [file_sha256(head) for head in heads]
    same = ("encoder", "attention_kind", "trained_on", "train", "warnings")
    record = seeds.record(hashes, descriptions, signs, choice)
    chosen = {key: descriptions[at][key] for key in same}
    write_json(out, {"model": name, "head_sha256": hashes[at], **chosen, **record})
