"""The whole configuration: read, checked across its parts, and divided among the stages."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from heap.errors import SettingsError
from heap.settings.architectures import shape_of
from heap.settings.base import Name, Settings
from heap.settings.baselines import BASELINES, BaselineSettings
from heap.settings.datasets import CocoDataset, Dataset, ScenesDataset, VocDataset
from heap.settings.models import CnnEncoder, DescriptorEncoder, Encoder, ModelSettings, TrainSettings, VitEncoder
from heap.settings.stages import (
    AblationSettings,
    BenchmarkSettings,
    ClusterSettings,
    CollectionSettings,
    EvaluateSettings,
    GroupSettings,
    InstancesTask,
    PicturesSettings,
    ReportSettings,
    RetrievalTask,
    SegmentSettings,
    SemanticTask,
    Task,
    most_of,
)

# The heads of the ablation's variants lie next to those of the models; no model's name begins like theirs.
ABLATION = "ablation_"
# Keys that had another name before; one table, so that an old file's error says what to write.
RENAMED = {
    "batch_images": "batch_size",
    "iterations": "steps",
    "gradient_norm": "grad_clip",
    "rate_warmup": "warmup_steps",
    "tokens": "num_groups",
    "blocks": "num_layers",
    "heads": "num_heads",
    "seed_iterations": "seed_steps",
}


class Config(Settings):
    """Everything that decides a result. Threads, memory and partitions of a site belong to `profiles/`."""

    encoders: dict[Name, Encoder]
    """Frozen encoders by name."""
    models: dict[Name, ModelSettings]
    """Heads by name: which encoder, trained on which dataset."""
    train: TrainSettings
    """Training, for every model."""
    datasets: dict[Name, Dataset]
    """Datasets by name."""
    baselines: BaselineSettings = BaselineSettings()
    """The methods that HEAP is compared with, for every dataset."""
    group: GroupSettings = GroupSettings()
    """Grouping, for every dataset."""
    cluster: ClusterSettings = ClusterSettings()
    """Clustering, for every dataset and every collection."""
    collections: dict[Name, CollectionSettings] = {}
    """Datasets whose regions are clustered and searched together, by name: `results/clusters/{name}.parquet`."""
    segment: SegmentSettings = SegmentSettings()
    """Masks, for every dataset."""
    benchmarks: dict[Name, BenchmarkSettings]
    """Metrics tables by name: `results/{name}_metrics.csv`."""
    evaluate: EvaluateSettings = EvaluateSettings()
    """Evaluation, for every benchmark."""
    ablation: AblationSettings | None = None
    """The variants of `results/ablation.csv`; null: there is no such table."""
    pictures: PicturesSettings = PicturesSettings()
    """Pictures of every photo, for every dataset."""
    report: ReportSettings = ReportSettings()
    """Reports, for every benchmark."""

    def files_of(self, dataset: str) -> str:
        """Return the name under which the files of `dataset` are fetched."""
        return self.datasets[dataset].files or dataset

    def encoder_of(self, dataset: str) -> str:
        """Return the name of the encoder that `dataset` goes through."""
        return self.models[self.datasets[dataset].model].encoder

    def heads(self) -> dict[str, ModelSettings]:
        """Return all that is trained, by name: the models, and each variant of the ablation as a model of its own."""
        if self.ablation is None:
            return dict(self.models)
        base = self.models[self.ablation.model]
        own = {"seeds": self.ablation.seeds}
        changed = {
            ABLATION + variant: base.model_copy(update={"overrides": _merge(_merge(base.overrides, keys), own)})
            for variant, keys in self.ablation.variants.items()
        }
        return {**self.models, **changed}

    def train_settings(self, head: str) -> TrainSettings:
        """Return `train` with the own overrides of a model, or of a variant of the ablation."""
        # A model is looked up alone: its settings are also asked for before the ablation is known to be sound.
        own = self.models[head] if head in self.models else self.heads()[head]
        merged = _merge(self.train.model_dump(), own.overrides)
        key = f"models.{head}.overrides" if head in self.models else f"ablation.variants.{head.removeprefix(ABLATION)}"
        return _check(TypeAdapter(TrainSettings), merged, key)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _check(adapter: TypeAdapter[Any], value: Any, prefix: str = "", source: str = "config") -> Any:
    """Validate `value`; on failure raise a SettingsError with one line for each wrong key."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        lines = [_explain(dict(item), prefix) for item in error.errors()]
        raise SettingsError(f"{source}:\n" + "\n".join(f"  {line}" for line in lines)) from error


def _explain(item: dict[str, Any], prefix: str) -> str:
    # pydantic puts the tag of a union into the path ("datasets.ecssd.saliency.root"); no such key stands in the file.
    tags = {"voc", "coco", "saliency", "folder", "scenes", "vit", "cnn", "descriptors"}
    tags |= {"discovery", "instances", "retrieval", "semantic", "fixed", "chosen"}
    parts: list[str] = [prefix] if prefix else []
    location = list(item["loc"])
    for position, part in enumerate(location):
        parent = location[position - 2] if position >= 2 else None
        if part in tags and (parent in ("datasets", "encoders", "tasks", "cluster")):
            continue
        parts.append(str(part))
    key = ".".join(parts)
    # A check of several keys together is given all of them; its message names those that matter.
    shown = item["type"] in ("missing", "extra_forbidden") or isinstance(item["input"], Mapping)
    found = "" if shown else f" (found {item['input']!r})"
    if item["type"] == "extra_forbidden":
        now = RENAMED.get(str(location[-1]))
        near = difflib.get_close_matches(str(location[-1]), _key_names(Settings), n=1)
        hint = f"; it is called {now} now" if now else f"; did you mean {near[0]}?" if near else ""
        known = f"heap explain {'.'.join(parts[:-1])}".rstrip()
        return f"{key}: unknown key{hint} (`{known}` lists the known)"
    if item["type"] == "missing":
        return f"{key}: required, but missing"
    return f"{key}: {item['msg']}{found}"


def _key_names(settings: type[Settings]) -> set[str]:
    """Return the names of all keys, of whatever part."""
    return set(settings.model_fields).union(*map(_key_names, settings.__subclasses__()))


def parse(raw: Any, source: str = "config") -> Config:
    """Return the checked configuration of what YAML or Snakemake read.

    Raises:
        SettingsError: names every key that is unknown, missing, of a wrong type or impossible.
    """
    config: Config = _check(TypeAdapter(Config), raw, source=source)
    problems = [*_problems_of_references(config), *_problems_of_values(config)]
    if problems:
        raise SettingsError(f"{source}:\n" + "\n".join(f"  {line}" for line in problems))
    for head in config.heads():
        config.train_settings(head)
    return config


# The catalogue of datasets and benchmarks; it stands next to config.yaml, which comes after it.
CATALOGUE = "datasets.yaml"


def read(path: str | Path) -> dict[str, Any]:
    """Return what stands in a configuration file, and in the catalogue next to it where it does not say otherwise.

    Raises:
        SettingsError: a file is missing, or not YAML with keys.
    """
    path = Path(path)
    catalogue = path.with_name(CATALOGUE)
    under = _yaml(catalogue) if path.name == "config.yaml" and catalogue.is_file() else {}
    return _merge(under, _yaml(path))


def load(path: str | Path) -> Config:
    """Read a configuration file and the catalogue next to it.

    Raises:
        SettingsError: as `read`, or wrong in a key that the message names.
    """
    return parse(read(path), str(path))


def _yaml(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise SettingsError(f"{path}: not readable as YAML ({error})") from error
    if not isinstance(raw, dict):
        raise SettingsError(f"{path}: holds {type(raw).__name__}, expected keys and their values")
    return raw


def _problems_of_references(config: Config) -> list[str]:
    """Return a line for each name that refers to nothing, or to something of another encoder."""
    lines: list[str] = []

    def known(key: str, name: str, among: Mapping[str, object], where: str) -> bool:
        if name in among:
            return True
        lines.append(f"{key}: {name!r} is not a key of {where} (there are: {', '.join(sorted(among)) or 'none'})")
        return False

    for name, model in config.models.items():
        known(f"models.{name}.encoder", model.encoder, config.encoders, "encoders")
        if known(f"models.{name}.train_on", model.train_on, config.datasets, "datasets"):
            other = config.models.get(config.datasets[model.train_on].model)
            if other is not None and other.encoder != model.encoder:
                lines.append(
                    f"models.{name}.train_on: {model.train_on} is encoded by {other.encoder} "
                    f"(through datasets.{model.train_on}.model), this model needs {model.encoder}"
                )
            lines += _problem_of_split(config, f"models.{name}.train_split", model.train_on, model.train_split)
    for name, dataset in config.datasets.items():
        known(f"datasets.{name}.model", dataset.model, config.models, "models")
        if dataset.files is not None and known(f"datasets.{name}.files", dataset.files, config.datasets, "datasets"):
            if dataset.archives:
                lines.append(f"datasets.{name}.archives: belongs to {dataset.files}, whose files this dataset reads")
            if dataset.root is not None:
                lines.append(f"datasets.{name}.root: belongs to {dataset.files}, whose files this dataset reads")
            if config.datasets[dataset.files].files is not None:
                lines.append(f"datasets.{name}.files: {dataset.files} itself reads another dataset's files")
    for name, collection in config.collections.items():
        key = f"collections.{name}.datasets"
        there = [
            each for n, each in enumerate(collection.datasets)
            if known(f"{key}.{n}", each, config.datasets, "datasets")
        ]  # fmt: skip
        models = {each: config.datasets[each].model for each in there}
        if len(set(models.values())) > 1:
            by_model = ", ".join(f"{dataset} by {model}" for dataset, model in models.items())
            lines.append(f"{key}: regions of different models cannot be compared ({by_model})")
    for name, benchmark in config.benchmarks.items():
        for number, task in enumerate(benchmark.tasks):
            key = f"benchmarks.{name}.tasks.{number}"
            if known(f"{key}.dataset", task.dataset, config.datasets, "datasets"):
                lines += _problems_of_task(config, key, task)
    if config.ablation is not None:
        ours = config.ablation
        sound = [
            known("ablation.benchmark", ours.benchmark, config.benchmarks, "benchmarks"),
            known("ablation.model", ours.model, config.models, "models"),
        ]
        if all(sound) and not lines:
            lines += _problems_of_ablation(config, ours)
    return lines


def _problems_of_ablation(config: Config, ablation: AblationSettings) -> list[str]:
    """Return a line for each dataset that the variants' heads do not fit, and for names and seeds that clash."""
    encoder = config.models[ablation.model].encoder
    tasks = config.benchmarks[ablation.benchmark].tasks
    lines = [
        f"ablation.benchmark: {name} is encoded by {config.encoder_of(name)}, ablation.model ({ablation.model}) needs "
        f"{encoder}"
        for name in dict.fromkeys(task.dataset for task in tasks)
        if config.encoder_of(name) != encoder
    ]
    if all(isinstance(task, InstancesTask | SemanticTask) for task in tasks):
        lines.append(
            f"ablation.benchmark: {ablation.benchmark} has no task but instances and semantic, which need masks"
        )
    lines += [
        f"ablation.variants.{name}.seeds: every variant is trained with ablation.seeds"
        for name, keys in ablation.variants.items()
        if "seeds" in keys
    ]
    lines += [
        f"models.{name}: names that begin with {ABLATION} belong to the ablation's variants"
        for name in config.models
        if name.startswith(ABLATION)
    ]
    return lines


def _problem_of_split(config: Config, key: str, dataset: str, split: str | None) -> list[str]:
    splits = splits_of(config.datasets[dataset])
    if split is None or split in splits:
        return []
    return [f"{key}: {dataset} has no split {split!r} (it has: {', '.join(splits) or 'none'})"]


def splits_of(dataset: Dataset) -> list[str]:
    """Return the names of a dataset's splits, in order."""
    if isinstance(dataset, VocDataset):
        return list(dataset.splits)
    return ["train", "val"] if isinstance(dataset, ScenesDataset) else []


def _problems_of_task(config: Config, key: str, task: Task) -> list[str]:
    dataset = config.datasets[task.dataset]
    lines: list[str] = []
    if isinstance(task, RetrievalTask):
        lines += _problem_of_split(config, f"{key}.gallery", task.dataset, task.gallery)
        lines += _problem_of_split(config, f"{key}.query", task.dataset, task.query)
    else:
        lines += _problem_of_split(config, f"{key}.split", task.dataset, task.split)
    classes = isinstance(dataset, ScenesDataset) or (
        isinstance(dataset, VocDataset | CocoDataset) and dataset.class_masks
    )
    boxes = (isinstance(dataset, ScenesDataset | VocDataset)) or dataset.layout == "coco"
    masks = classes or (dataset.layout == "saliency" and dataset.masks is not None)
    boxes = boxes and not (isinstance(dataset, VocDataset) and not dataset.boxes)
    needs, there = {
        "saliency": ("masks", masks),
        "discovery": ("boxes", boxes),
        "instances": ("boxes", boxes),
        "retrieval": ("class masks", classes),
        "semantic": ("class masks", classes),
    }[task.task]
    if not there:
        lines.append(f"{key}: {task.task} needs {needs}, which dataset {task.dataset} does not have")
    return lines


def _problems_of_values(config: Config) -> list[str]:
    """Return a line for each value that cannot work together with another."""
    lines: list[str] = []
    patch: dict[str, int] = {}
    for name, encoder in config.encoders.items():
        if isinstance(encoder, DescriptorEncoder):
            patch[name] = encoder.patch_px
            continue
        if isinstance(encoder, CnnEncoder):  # its stages are checked when it is built
            patch[name] = encoder.patch_px
            continue
        assert isinstance(encoder, VitEncoder)
        shape = shape_of(encoder.architecture)
        if shape is None:  # a timm model outside the table: checked when it is built
            if encoder.patch_px is not None:
                patch[name] = encoder.patch_px
            continue
        patch[name] = shape.patch_px
        if encoder.patch_px not in (None, shape.patch_px):
            lines.append(
                f"encoders.{name}.patch_px: {encoder.architecture} has patches of {shape.patch_px} px, "
                f"found {encoder.patch_px}"
            )
        if not -shape.blocks <= encoder.block < shape.blocks:
            lines.append(
                f"encoders.{name}.block: {encoder.architecture} has blocks {-shape.blocks} to {shape.blocks - 1}, "
                f"found {encoder.block}"
            )
    for name in set(config.datasets) & set(config.collections):
        lines.append(f"collections.{name}: is the name of a dataset, whose clusters would lie in the same file")
    for name in set(config.datasets) & set(BASELINES):
        lines.append(f"datasets.{name}: is the name of a method, whose masks would lie in the folder of the dataset's")
    for name, dataset in config.datasets.items():
        side = patch.get(config.models[dataset.model].encoder) if dataset.model in config.models else None
        for value in dataset.resize_px or []:
            if side is not None and value % side:
                lines.append(
                    f"datasets.{name}.resize_px: {value} is not a multiple of the patch size {side} "
                    f"of {config.models[dataset.model].encoder}"
                )
        lines += _problem_of_k(config, name)
    for name, model in config.models.items():
        images = _images(config, model.train_on)
        if images is not None and images < model.min_train_images:
            lines.append(f"models.{name}.min_train_images: {model.train_on} has only {images} images")
    return lines


def _images(config: Config, dataset: str) -> int | None:
    settings = config.datasets.get(dataset)
    if isinstance(settings, ScenesDataset):
        return settings.train_images + settings.val_images
    return None if settings is None else settings.expected_images


def _problem_of_k(config: Config, dataset: str) -> list[str]:
    """A clustering cannot have more clusters than regions: M tokens a photo at most."""
    images, model = _images(config, dataset), config.datasets[dataset].model
    if images is None or model not in config.models:
        return []
    regions = images * config.train_settings(model).head.num_groups
    foreground = config.datasets[dataset].foreground_clusters or config.cluster.foreground
    return [
        f"cluster.{which}: {k} clusters, but {dataset} can have at most {regions} regions"
        for which, k in (("foreground", most_of(foreground)), ("background", most_of(config.cluster.background)))
        if k > regions
    ]
