"""What each stage reads of the configuration: one model a stage, and nothing else says so.

The workflow writes it to a file when a job is about to run and gives Snakemake its digest (`heap.settings.freeze`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from heap.errors import SettingsError
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

# Raised when the same seed draws other scenes; downloads are left alone. 2: kinds have surfaces of their own.
DRAWN = 2
# How photos are found and truth is read, as against how pixels are read: an edit of the latter leaves manifests alone.
_READING = ("resize_px", "max_px", "max_patches")
_FETCHING = ("root", "archives")
_ELSEWHERE = ("model", "files", "foreground_clusters")
# Runtime options: memory and checkpoints, no result. They are no part of the digest: an edit re-runs nothing, and the
# next job that runs uses them.
_OF_ENCODER = ("batch_size",)
_OF_TRAINING = ("checkpoint_every", "resident_gb")


def _plain(settings: Settings, *left_out: str) -> dict[str, Any]:
    return settings.model_dump(mode="json", exclude=set(left_out))


class Resolved(Settings):
    """What a stage may know about one of its jobs.

    Attributes:
        VERSION: raised by hand when the meaning of the stage's output changes, so that old results are made again.
        NAMED_BY: the wildcard of the workflow that names what the settings are of.
    """

    VERSION: ClassVar[int] = 1
    NAMED_BY: ClassVar[str] = "dataset"
    name: str
    runtime: dict[str, Any] = {}

    @classmethod
    def of(cls, config: Config, name: str) -> dict[str, Any]:
        """Return the fields next to the name. Raises KeyError where the configuration has no such name."""
        raise NotImplementedError


class _Archives(Settings):
    layout: str | None = None
    archives: list[Archive]


class Fetch(Resolved):
    """Where files come from."""

    NAMED_BY = "files"
    dataset: ScenesDataset | _Archives
    root: str | None
    drawn: int | None = None

    @classmethod
    def of(cls, config: Config, name: str) -> dict[str, Any]:  # noqa: D102
        dataset = config.datasets[name]
        # A relative root means the folder the user stood in; the receipt must not depend on who reads it.
        root = None if dataset.root is None else str(Path(dataset.root).expanduser())
        if not isinstance(dataset, ScenesDataset):
            archives = dataset.model_dump(mode="json", include={"layout", "archives"})
            return {"dataset": archives, "root": root}
        drawn = _plain(dataset, "root", *_READING, *_ELSEWHERE, "on_bad_image", "expected_images")
        # Scenes are drawn by code, so its version is part of what they are.
        return {"dataset": drawn, "root": root, "drawn": DRAWN}


class Weights(Resolved):
    """Which weights."""

    NAMED_BY = "encoder"
    kind: str
    architecture: str | None
    weights: str | None
    sha256: str | None

    @classmethod
    def of(cls, config: Config, name: str) -> dict[str, Any]:  # noqa: D102
        encoder = _plain(config.encoders[name])
        return {key: encoder.get(key) for key in ("kind", "architecture", "weights", "sha256")}


class Manifest(Resolved):
    """How photos are found and truth is read."""

    VERSION = 4  # 3: with the ids of COCO's photos; 4: a checksum of the file, as every table has
    dataset: Dataset

    @classmethod
    def of(cls, config: Config, name: str) -> dict[str, Any]:  # noqa: D102
        return {"dataset": _plain(config.datasets[name], *_READING, *_FETCHING, *_ELSEWHERE)}


class Extract(Resolved):
    """How photos are read and encoded."""

    VERSION = 3  # 2: photos of one grid stand together; 3: the receipt says which values are appearance
    encoder: Encoder
    resize_px: Sides | None
    max_px: Count | None
    max_patches: Count
    on_bad_image: Literal["fail", "skip"]

    @classmethod
    def of(cls, config: Config, name: str) -> dict[str, Any]:  # noqa: D102
        encoder = config.encoders[config.encoder_of(name)]
        return {
            **config.datasets[name].model_dump(mode="json", include={*_READING, "on_bad_image"}),
            "encoder": _plain(encoder, *_OF_ENCODER),
            "runtime": encoder.model_dump(mode="json", include={*_OF_ENCODER}),
        }


class Train(Resolved):
    """A head of one model, or variant of the ablation; its seed is a wildcard."""

    VERSION = 3  # 2: the prior is smoothed over all columns; 3: seeds apart, fixed threads, polarity by framing
    NAMED_BY = "head"
    train: TrainSettings
    train_split: str | None
    min_train_images: int

    @classmethod
    def of(cls, config: Config, name: str) -> dict[str, Any]:  # noqa: D102
        model, train = config.heads()[name], config.train_settings(name)
        return {
            "train_split": model.train_split,
            "min_train_images": model.min_train_images,
            "train": _plain(train, *_OF_TRAINING, "seeds"),
            "runtime": train.model_dump(mode="json", include={*_OF_TRAINING}),
        }


class Select(Resolved):
    """The seeds to choose from."""

    NAMED_BY = "model"
    seeds: list[int]

    @classmethod
    def of(cls, config: Config, name: str) -> dict[str, Any]:  # noqa: D102
        return {"seeds": config.train_settings(name).seeds}


class Found(Resolved):
    """FOUND's head on the photos of a model."""

    VERSION = 3  # 2: sealed; 3: by the checksum of every JSON
    NAMED_BY = "model"
    found: FoundSettings
    train_split: str | None
    min_train_images: int

    @classmethod
    def of(cls, config: Config, name: str) -> dict[str, Any]:  # noqa: D102
        model = config.models[name].model_dump(mode="json", include={"train_split", "min_train_images"})
        return {**model, "found": _plain(config.baselines.found)}


class Group(Resolved):
    """Maps and regions."""

    VERSION = 6  # 3: maps are smoothed, regions agree with them; 4: embeddings too; 5: checksums; 6: key `appearance`
    group: GroupSettings

    @classmethod
    def of(cls, config: Config, name: str) -> dict[str, Any]:  # noqa: D102
        return {"group": _plain(config.group)}


class Maps(Resolved):
    """A baseline."""

    VERSION = 3  # 3: checksums of the arrays' metadata
    NAMED_BY = "method"
    baseline: KmeansSettings | LostSettings | TokenCutSettings | None

    @classmethod
    def of(cls, config: Config, name: str) -> dict[str, Any]:  # noqa: D102
        if name not in BASELINES:
            raise KeyError(name)
        # What decides FOUND's maps is in its trained head; most other methods have no settings.
        own = None if name == "found" else getattr(config.baselines, name, None)
        return {"baseline": None if own is None else _plain(own)}


class Cluster(Resolved):
    """Clusters of a dataset, or of a collection."""

    VERSION = 5  # 2: objects, an inverted file; 3: many short starts; 4: checksums; 5: k within the objects there are
    NAMED_BY = "clustered"
    cluster: ClusterSettings
    datasets: list[str] | None = None

    @classmethod
    def of(cls, config: Config, name: str) -> dict[str, Any]:  # noqa: D102
        # A collection has no dataset of its own, so no k of its own either; its order gives the regions their ids.
        if name in config.collections:
            return {"cluster": _plain(config.cluster), "datasets": list(config.collections[name].datasets)}
        own = _plain(config.datasets[name])["foreground_clusters"]
        return {"cluster": _plain(config.cluster) | ({} if own is None else {"foreground": own})}


class Segment(Resolved):
    """Masks."""

    VERSION = 3  # 3: photos of COCO keep their ids; 2: also the table of instances and the indexed maps
    segment: SegmentSettings

    @classmethod
    def of(cls, config: Config, name: str) -> dict[str, Any]:  # noqa: D102
        return {"segment": _plain(config.segment)}


class Model(Resolved):
    """What goes with a head into its folder."""

    VERSION = 3  # 2: with the view of the clusters; 3: of regions as they are seen
    NAMED_BY = "model"
    reading: dict[str, Any]
    group: GroupSettings
    segment: SegmentSettings

    @classmethod
    def of(cls, config: Config, name: str) -> dict[str, Any]:  # noqa: D102
        reading = config.datasets[config.models[name].train_on].model_dump(mode="json", include={*_READING})
        return {"reading": reading, "group": _plain(config.group), "segment": _plain(config.segment)}


class Pictures(Resolved):
    """Pictures for people."""

    pictures: PicturesSettings

    @classmethod
    def of(cls, config: Config, name: str) -> dict[str, Any]:  # noqa: D102
        return {"pictures": _plain(config.pictures)}


class Evaluate(Resolved):
    """A benchmark."""

    VERSION = 5  # 5: intervals around the figure; 4: +smooth, TokenCut's reading; 3: semantic figures of shuffles
    NAMED_BY = "benchmark"
    benchmark: BenchmarkSettings
    evaluate: EvaluateSettings
    smoothing: NotNegative  # HEAP's, which the tables lend to the other methods

    @classmethod
    def of(cls, config: Config, name: str) -> dict[str, Any]:  # noqa: D102
        benchmark, evaluate = _plain(config.benchmarks[name]), _plain(config.evaluate)
        return {"benchmark": benchmark, "evaluate": evaluate, "smoothing": config.group.smoothing}


class Report(Resolved):
    """The page of a benchmark; or of a dataset that has no benchmark of its name, without tables."""

    VERSION = 3  # 2: gallery of every region; 3: pictures first, larger
    NAMED_BY = "page"
    benchmark: BenchmarkSettings | None
    report: ReportSettings

    @classmethod
    def of(cls, config: Config, name: str) -> dict[str, Any]:  # noqa: D102
        if name not in config.benchmarks:
            config.datasets[name]  # KeyError where it is neither
        measured = config.benchmarks.get(name)
        return {"benchmark": None if measured is None else _plain(measured), "report": _plain(config.report)}


class Ablation(Resolved):
    """The ablation of a benchmark."""

    NAMED_BY = "ablation"  # its benchmark's name, of the one there is
    benchmark: BenchmarkSettings
    ablation: AblationSettings

    @classmethod
    def of(cls, config: Config, name: str) -> dict[str, Any]:  # noqa: D102
        if config.ablation is None or config.ablation.benchmark != name:
            raise SettingsError(f"ablation/{name}: the configuration has no ablation of this benchmark")
        heap_alone = _plain(config.benchmarks[name], "methods")
        return {"benchmark": heap_alone, "ablation": _plain(config.ablation)}


STAGES: dict[str, type[Resolved]] = {
    "fetch": Fetch, "weights": Weights, "manifest": Manifest, "extract": Extract, "train": Train, "select": Select,
    "found": Found, "group": Group, "maps": Maps, "cluster": Cluster, "segment": Segment, "model": Model,
    "pictures": Pictures, "evaluate": Evaluate, "report": Report, "ablation": Ablation,
}  # fmt: skip
STAGE_VERSION = {stage: model.VERSION for stage, model in STAGES.items()}
