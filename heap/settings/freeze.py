"""Frozen settings: what each job may know of the configuration, as one small JSON file.

A queued job must not re-read a configuration that was edited meanwhile, and an edit must re-run exactly what depends on
it. So each stage reads a file with just its own settings; Snakemake sees that file change, or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from heap.errors import SettingsError
from heap.files import dump_json, read_json, sealed
from heap.receipts import in_words
from heap.settings.base import Count, NotNegative, Settings, Sides
from heap.settings.baselines import BASELINES, FoundSettings, KmeansSettings, LostSettings, TokenCutSettings
from heap.settings.config import Config
from heap.settings.datasets import Archive, Dataset, ScenesDataset
from heap.settings.models import Encoder, TrainSettings
from heap.settings.stages import (
    AblationSettings,
    BenchmarkSettings,
    ClusterSettings,
    EvaluateSettings,
    GroupSettings,
    PicturesSettings,
    ReportSettings,
    SegmentSettings,
)

# Raised by hand when the meaning of a stage's output changes, so that old results are recomputed.
STAGE_VERSION = {
    "fetch": 1,
    "weights": 1,
    "manifest": 4,  # 3: with the ids of COCO's photos; 4: a checksum of the file, as every table has
    "extract": 3,  # 2: photos of one grid stand together; 3: the receipt says which values are appearance
    "extract_means": 1,
    "train": 3,  # 2: the prior is smoothed over all columns; 3: seeds apart, fixed threads, polarity by framing
    "select": 1,
    "train_means": 1,
    "found": 3,  # 2: sealed; 3: by the checksum of every JSON
    "group": 6,  # 3: maps are smoothed, regions agree with them; 4: embeddings too; 5: checksums; 6: key `appearance`
    "maps": 3,  # 3: checksums of the arrays' metadata
    "cluster": 5,  # 2: objects, an inverted file; 3: many short starts; 4: checksums; 5: k within the objects there are
    "segment": 3,  # 3: photos of COCO keep their ids; 2: also the table of instances and the indexed maps
    "model": 3,  # 2: with the view of the clusters; 3: of regions as they are seen
    "pictures": 1,
    "evaluate": 5,  # 5: intervals around the figure; 4: +smooth, TokenCut's reading; 3: semantic figures of shuffles
    "report": 3,  # 2: gallery of every region; 3: pictures first, larger
    "ablation": 1,
}
# Raised when the same seed draws other scenes; downloads are left alone. 2: kinds have surfaces of their own.
DRAWN = 2
# Which keys of the configuration give the names of a stage's jobs.
NAMED_BY = {
    "fetch": "files",
    "weights": "encoder",
    "manifest": "dataset",
    "extract": "dataset",
    "extract_means": "dataset",
    "train": "head",
    "select": "model",
    "train_means": "head",
    "found": "model",
    "group": "dataset",
    "maps": "method",
    "cluster": "dataset",
    "segment": "dataset",
    "model": "model",
    "pictures": "dataset",
    "evaluate": "benchmark",
    "report": "benchmark",
    "ablation": "ablation",  # its benchmark's name, of the one there is
}
# How photos are found and truth is read, as against how pixels are read: an edit of the latter leaves manifests alone.
_READING = ("resize_px", "max_px", "max_patches")
_FETCHING = ("root", "archives")
_ELSEWHERE = ("model", "files", "foreground_clusters")
# How a stage works, as against what comes out: memory and checkpoints. They stand in a file of their own
# (`extract_means`), which Snakemake does not compare: an edit re-runs nothing, and the next job that runs reads it.
MEANS = {"extract": ("batch_size",), "train": ("checkpoint_every", "resident_gb")}


class _Archives(Settings):
    """What `fetch` knows of a dataset that is not drawn."""

    layout: str | None = None
    archives: list[Archive]


# What each stage's file holds beside stage, name and version: a damaged one is named by the key, before any work.
_HOLDS: dict[str, dict[str, Any]] = {
    "fetch": {"dataset": ScenesDataset | _Archives, "root": str | None},
    "weights": {"kind": str, "architecture": str | None, "weights": str | None, "sha256": str | None},
    "manifest": {"dataset": Dataset},
    "extract": {
        "encoder": Encoder, "resize_px": Sides | None, "max_px": Count | None, "max_patches": Count,
        "on_bad_image": Literal["fail", "skip"],
    },
    "extract_means": {"means": dict[str, Any]},
    "train_means": {"means": dict[str, Any]},
    "train": {"train": TrainSettings, "train_split": str | None, "min_train_images": int},
    "select": {"seeds": list[int]},
    "found": {"found": FoundSettings, "train_split": str | None, "min_train_images": int},
    "group": {"group": GroupSettings},
    "maps": {"baseline": KmeansSettings | LostSettings | TokenCutSettings | None},
    "cluster": {"cluster": ClusterSettings},
    "segment": {"segment": SegmentSettings},
    "model": {"reading": dict[str, Any], "group": GroupSettings, "segment": SegmentSettings},
    "evaluate": {"benchmark": BenchmarkSettings, "evaluate": EvaluateSettings, "smoothing": NotNegative},
    "report": {"benchmark": BenchmarkSettings | None, "report": ReportSettings},
    "pictures": {"pictures": PicturesSettings},
    "ablation": {"benchmark": BenchmarkSettings, "ablation": AblationSettings},
}  # fmt: skip


def settings_of(config: Config, stage: str, name: str) -> dict[str, Any]:
    """Return what `stage` may know about the job `name`: plain values, and the stage's version.

    Raises:
        SettingsError: the stage or the name is unknown.
    """
    try:
        chosen = _settings(config, stage, name)
    except KeyError as error:
        raise SettingsError(f"{stage}/{name}: the configuration has no {error}") from None
    return {"stage": stage, "name": name, "version": STAGE_VERSION[stage], **chosen}


def _settings(config: Config, stage: str, name: str) -> dict[str, Any]:
    if stage == "fetch":
        dataset = config.datasets[name].model_dump(mode="json")
        root = dataset.pop("root")
        drawn = dataset["layout"] == "scenes"
        keep = dataset if drawn else {key: dataset[key] for key in ("layout", "archives")}
        outside = (*_READING, *_ELSEWHERE, "on_bad_image", "expected_images")
        # A relative root means the folder the user stood in; the receipt must not depend on who reads it.
        return {
            "dataset": {k: v for k, v in keep.items() if k not in outside},
            "root": None if root is None else str(Path(root).expanduser()),
            # Scenes are drawn by code, so its version is part of what they are.
            **({"drawn": DRAWN} if drawn else {}),
        }
    if stage == "weights":
        encoder = config.encoders[name].model_dump(mode="json")
        return {key: encoder.get(key) for key in ("kind", "architecture", "weights", "sha256")}
    if stage == "manifest":
        dataset = config.datasets[name].model_dump(mode="json")
        return {"dataset": {k: v for k, v in dataset.items() if k not in (*_READING, *_FETCHING, *_ELSEWHERE)}}
    if stage == "extract":
        dataset = config.datasets[name].model_dump(mode="json", include={*_READING, "on_bad_image"})
        encoder = config.encoders[config.encoder_of(name)].model_dump(mode="json", exclude={*MEANS["extract"]})
        return {**dataset, "encoder": encoder}
    if stage == "extract_means":
        encoder = config.encoders[config.encoder_of(name)].model_dump(mode="json", include={*MEANS["extract"]})
        return {"means": encoder}
    if stage == "train_means":
        return {"means": config.train_settings(name).model_dump(mode="json", include={*MEANS["train"]})}
    if stage == "select":
        return {"seeds": config.train_settings(name).seeds}
    if stage in ("train", "found"):
        model = config.heads()[name] if stage == "train" else config.models[name]
        training: Settings = config.train_settings(name) if stage == "train" else config.baselines.found
        # One job a seed: another seed trains itself alone.
        return {
            "train_split": model.train_split,
            "min_train_images": model.min_train_images,
            stage: training.model_dump(mode="json", exclude={*MEANS["train"], "seeds"} if stage == "train" else None),
        }
    if stage == "group":
        return {"group": config.group.model_dump(mode="json")}
    if stage == "maps":
        if name not in BASELINES:
            raise KeyError(name)
        # What decides FOUND's maps is in its trained head; most other methods have no settings.
        own = None if name == "found" else getattr(config.baselines, name, None)
        return {"baseline": None if own is None else own.model_dump(mode="json")}
    if stage == "cluster":
        # A collection has no dataset of its own, so no k of its own either; its order gives the regions their ids.
        if name in config.collections:
            return {
                "cluster": config.cluster.model_dump(mode="json"),
                "datasets": list(config.collections[name].datasets),
            }
        own = config.datasets[name].model_dump(mode="json")["foreground_clusters"]
        return {"cluster": config.cluster.model_dump(mode="json") | ({} if own is None else {"foreground": own})}
    if stage == "segment":
        return {"segment": config.segment.model_dump(mode="json")}
    if stage == "pictures":
        return {"pictures": config.pictures.model_dump(mode="json")}
    if stage == "model":
        reading = config.datasets[config.models[name].train_on].model_dump(mode="json", include={*_READING})
        later = {key: getattr(config, key).model_dump(mode="json") for key in ("group", "segment")}
        return {"reading": reading, **later}
    if stage == "evaluate":
        return {
            "benchmark": config.benchmarks[name].model_dump(mode="json"),
            "evaluate": config.evaluate.model_dump(mode="json"),
            "smoothing": config.group.smoothing,  # HEAP's, which the tables lend to the other methods
        }
    if stage == "ablation":
        if config.ablation is None or config.ablation.benchmark != name:
            raise SettingsError(f"ablation/{name}: the configuration has no ablation of this benchmark")
        return {
            "benchmark": config.benchmarks[name].model_dump(mode="json", exclude={"methods"}),  # HEAP's variants alone
            "ablation": config.ablation.model_dump(mode="json"),
        }
    if stage == "report":
        measured = config.benchmarks.get(name)
        if measured is None and name not in config.datasets:
            raise KeyError(name)
        # Of a dataset that has no benchmark of its name, without tables.
        of = None if measured is None else measured.model_dump(mode="json")
        return {"benchmark": of, "report": config.report.model_dump()}
    raise SettingsError(f"{stage}: unknown stage (there are: {', '.join(STAGE_VERSION)})")


def frozen_text(config: Config, stage: str, name: str) -> str:
    """Return the bytes of `results/settings/{stage}/{name}.json`: equal settings give equal bytes."""
    return sealed(dump_json(settings_of(config, stage, name)))


def read_frozen(path: str | Path, stage: str) -> dict[str, Any]:
    """Read a frozen settings file and check that it is one of `stage` and of this version of it.

    Raises:
        SettingsError: it belongs to another stage, was frozen by another version of the code, or is damaged.
    """
    frozen = read_json(path)
    if not isinstance(frozen, dict) or frozen.get("stage") != stage:
        raise SettingsError(f"{path}: not the frozen settings of stage {stage}")
    if frozen.get("version") != STAGE_VERSION[stage]:
        raise SettingsError(
            f"{path}: frozen by version {frozen.get('version')} of {stage}, this is version {STAGE_VERSION[stage]}; "
            "run snakemake again, it freezes anew"
        )
    for key, kind in {"name": str, **_HOLDS[stage]}.items():
        section(frozen, key, kind, f"{path}: ")
    return frozen


def read_means(path: str | Path | None, stage: str) -> dict[str, Any]:
    """Read the frozen means of `stage` (see `MEANS`); None has none, and the settings' own defaults hold.

    Raises:
        SettingsError: as `read_frozen`.
    """
    return {} if path is None else dict(read_frozen(path, f"{stage}_means")["means"])


def section(frozen: dict[str, Any], key: str, kind: Any, told: str = "") -> Any:
    """Return `frozen[key]` as the settings type `kind` (a model or an annotated union).

    Raises:
        SettingsError: it is missing or something else; the message begins with `told` and names the key.
    """
    if key not in frozen:
        raise SettingsError(f"{told}frozen settings without {key}")
    try:
        return TypeAdapter(kind).validate_python(frozen[key])
    except ValidationError as error:
        raise SettingsError(f"{told}{key}: {in_words(error)}") from None
