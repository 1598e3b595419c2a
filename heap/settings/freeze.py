"""Resolved settings: what each job may know of the configuration, as one small JSON file.

A queued job must not re-read a configuration that was edited meanwhile, and an edit must re-run exactly what depends on
it. So each stage has a model of just what it reads; the workflow writes it to a file when a job is about to run, and
gives Snakemake its digest, which tells whether an edit concerns the job.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from heap.errors import SettingsError
from heap.files import digest, dump_json, read_json, sealed
from heap.receipts import in_words
from heap.settings.baselines import BASELINES
from heap.settings.config import Config
from heap.settings.resolved import STAGE_VERSION, STAGES


def settings_of(config: Config, stage: str, name: str) -> dict[str, Any]:
    """Return what `stage` may know about the job `name`: plain values, and the stage's version.

    Raises:
        SettingsError: the stage or the name is unknown.
    """
    if stage not in STAGES:
        raise SettingsError(f"{stage}: unknown stage (there are: {', '.join(STAGES)})")
    model = STAGES[stage]
    try:
        found = model.model_validate({"name": name, **model.of(config, name)})
    except KeyError as error:
        raise SettingsError(f"{stage}/{name}: the configuration has no {error}") from None
    return {"stage": stage, "version": STAGE_VERSION[stage], **found.model_dump(mode="json")}


def frozen_text(config: Config, stage: str, name: str) -> str:
    """Return the bytes of a file of resolved settings: equal settings give equal bytes."""
    return sealed(dump_json(settings_of(config, stage, name)))


def frozen_digest(config: Config, stage: str, name: str) -> str:
    """Return the digest of all that an edit of which re-runs the job: everything but runtime options."""
    return digest({key: value for key, value in settings_of(config, stage, name).items() if key != "runtime"})


def names_of(config: Config, stage: str) -> list[str]:
    """Return the names of the jobs of a stage under this configuration."""
    of = STAGES[stage].NAMED_BY
    if of == "ablation":
        return [] if config.ablation is None else [config.ablation.benchmark]
    if of == "files":
        return [name for name, dataset in config.datasets.items() if dataset.files is None]
    names: dict[str, Iterable[str]] = {
        "encoder": config.encoders, "dataset": config.datasets, "model": config.models, "head": config.heads(),
        "method": BASELINES, "benchmark": config.benchmarks, "clustered": {**config.datasets, **config.collections},
        "page": {**config.datasets, **config.benchmarks},
    }  # fmt: skip
    return list(names[of])


def read_frozen(path: str | Path, stage: str) -> dict[str, Any]:
    """Read a file of resolved settings and check that it is one of `stage` and of this version of it.

    Raises:
        SettingsError: it belongs to another stage, was frozen by another version of the code, or is damaged.
    """
    frozen = read_json(path)
    if not isinstance(frozen, dict) or frozen.get("stage") != stage:
        raise SettingsError(f"{path}: not the frozen settings of stage {stage}")
    if frozen.get("version") != STAGE_VERSION[stage]:
        raise SettingsError(
            f"{path}: frozen by version {frozen.get('version')} of {stage}, this is version {STAGE_VERSION[stage]}; "
            "run snakemake again, it resolves the settings again"
        )
    fields = {key: value for key, value in frozen.items() if key not in ("stage", "version")}
    try:
        STAGES[stage].model_validate(fields)
    except ValidationError as error:
        raise SettingsError(f"{path}: {in_words(error)}") from None
    return {"runtime": {}, **frozen}


def section(frozen: dict[str, Any], key: str, kind: Any, where: str = "") -> Any:
    """Return `frozen[key]` as the settings type `kind` (a model or an annotated union).

    Raises:
        SettingsError: it is missing or something else; the message begins with `where` and names the key.
    """
    if key not in frozen:
        raise SettingsError(f"{where}frozen settings without {key}")
    try:
        return TypeAdapter(kind).validate_python(frozen[key])
    except ValidationError as error:
        raise SettingsError(f"{where}{key}: {in_words(error)}") from None
