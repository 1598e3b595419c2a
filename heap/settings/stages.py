"""Settings of the stages after training: group, cluster, segment, evaluate, report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from heap.settings.base import Count, Name, NotNegative, Real, Settings, Share
from heap.settings.baselines import Method


class GroupSettings(Settings):
    """The head over a dataset."""

    min_area: Share = 0.0
    """Regions with a smaller share of their photo are not listed (their patches stay in the maps)."""
    smoothing: NotNegative = 1.0
    """The map is averaged over the photo's like patches, and Otsu's threshold takes the place of 0.5. Larger looks at
    less similar patches; 0 leaves the head's own map."""


class ChosenK(Settings):
    """A number of clusters to be chosen by the regions themselves, see `heap.cluster.choice`."""

    choose: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=2, max_length=2)]
    """The fewest and the most clusters, e.g. [5, 40]."""

    @field_validator("choose")
    @classmethod
    def _in_order(cls, choose: list[int]) -> list[int]:
        if choose[0] >= choose[1]:
            raise ValueError("the first must be below the second")
        return choose


def _is_chosen(value: Any) -> str:
    return "chosen" if isinstance(value, Mapping | ChosenK) else "fixed"


K = Annotated[
    Annotated[Annotated[int, Field(ge=1)], Tag("fixed")] | Annotated[ChosenK, Tag("chosen")], Discriminator(_is_chosen)
]


def most_of(k: int | ChosenK) -> int:
    """Return k, or the largest k that may be chosen."""
    return k.choose[1] if isinstance(k, ChosenK) else k


class ClusterSettings(Settings):
    """FAISS over the regions of all photos."""

    foreground: K = 20
    """k of the foreground regions (VOC has 20 classes); or a range that it is chosen from: {choose: [5, 40]}."""
    background: K = 20
    """k of the background regions, which are clustered apart; or a range."""
    join: Literal["touching", "none"] = "touching"
    """Touching, similar foreground regions of a photo are clustered as one object; none clusters each region alone."""
    join_above: Annotated[Real, Field(ge=-1, le=1)] | Literal["auto"] = "auto"
    """Cosine above which touching regions are joined; auto reads it from pairs of regions of different photos."""
    iterations: Count = 30
    """Iterations of k-means from the best start on."""
    restarts: Count = 40
    """Starts of k-means, ten iterations each on at most 256 points a centroid; the one of least inertia goes on."""
    points_per_centroid: Annotated[int, Field(ge=1)] = 4096
    """Training points a centroid at most; FAISS samples 256 by default."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of sampling and starts."""
    neighbours: Annotated[int, Field(ge=1, le=100)] = 5
    """Nearest regions of other photos that are listed for each region."""


class CollectionSettings(Settings):
    """Datasets whose regions are clustered and searched together."""

    datasets: Annotated[list[Name], Field(min_length=2)]
    """Two or more datasets of one model, each once; region ids follow this order."""

    @field_validator("datasets")
    @classmethod
    def _each_once(cls, datasets: list[str]) -> list[str]:
        if len(set(datasets)) < len(datasets):
            raise ValueError("a dataset is there twice")
        return datasets


class SegmentSettings(Settings):
    """Masks and instances at image resolution."""

    threshold: Share = 0.5
    """Foreground where the map is above it. Measured: .4 to .7 give the same IoU within .006."""
    min_area: Share = 0.002
    """Instances below this share of the photo are dropped."""


class SaliencyTask(Settings):
    """Binary masks against the truth: FOUND's, SelfMask's and TokenCut's protocol."""

    task: Literal["saliency"]
    dataset: Name
    split: Name | None = None
    """Only this split; null takes all images."""
    truth: Literal["255", "nonzero"] = "255"
    """Grey pixels of the truth: FOUND's reading (== 255) or TokenCut's (any non-zero)."""
    bilateral: bool | Literal["peers"] = False
    """Also after the bilateral solver, which looks at the photos: false; true, variants `+bs`; or peers, which adds
    `+bs-peers`, the solver's output as FOUND's code reads it, inverted where the object exceeds the background, and
    `-tokencut`, nearest upsampling and the solver's soft output as TokenCut's code scores them."""


class DiscoveryTask(Settings):
    """CorLoc of one box a photo: LOST's, TokenCut's and FOUND's protocol."""

    task: Literal["discovery"]
    dataset: Name
    split: Name | None = None
    """Only this split; null takes all images."""


class InstancesTask(Settings):
    """AP and AR of all found objects against all true boxes, whatever their class: multi-object discovery."""

    task: Literal["instances"]
    dataset: Name
    split: Name | None = None
    """Only this split; null takes all images."""


class RetrievalTask(Settings):
    """Nearest-neighbour retrieval of classes: MaskContrast's protocol."""

    task: Literal["retrieval"]
    dataset: Name
    gallery: Name
    """Split that is searched."""
    query: Name
    """Split that is segmented."""
    subsets: dict[Name, list[str]] = {}
    """Name of a further figure: the classes it is over; the others are ignored in gallery and query."""


class SemanticTask(Settings):
    """Clusters matched to classes by the Hungarian algorithm: unsupervised semantic segmentation."""

    task: Literal["semantic"]
    dataset: Name
    split: Name | None = None
    """Only this split; null takes all images."""


Task = Annotated[
    SaliencyTask | DiscoveryTask | InstancesTask | RetrievalTask | SemanticTask,
    Field(discriminator="task"),
]


class BenchmarkSettings(Settings):
    """One metrics table and its report."""

    tasks: Annotated[list[Task], Field(min_length=1)]
    """What is measured, in the order of the table."""
    methods: Annotated[list[Method], Field(min_length=1)] = ["heap", "everything", "centred_box"]
    """Whose maps are measured."""


class EvaluateSettings(Settings):
    """What every benchmark's evaluation shares."""

    bootstrap: Annotated[int, Field(ge=0, le=100_000)] = 1000
    """Resamples of the photos behind each figure's 95 % interval (columns low and high); 0 makes none."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the resampling."""


class PicturesSettings(Settings):
    """A picture of each photo for people."""

    longest_px: Annotated[int, Field(ge=64, le=8192)] = 640
    """Longest side of each of the four panels; smaller photos keep their size."""


class AblationSettings(Settings):
    """What each part of the method is worth: `results/ablation.csv`."""

    benchmark: Name
    """Whose saliency, discovery and retrieval are measured; semantic and instances need masks and are left out."""
    model: Name
    """Which model is changed; the benchmark's datasets must go through its encoder."""
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0, 1, 2]
    """Every variant is trained with each of these; the table has mean and deviation over them."""
    variants: Annotated[dict[Name, dict[str, object]], Field(min_length=1)]
    """Keys of `train` that a variant changes, nested as there; `{}` is the model as it is."""


class ReportSettings(Settings):
    """The HTML report."""

    photos: Annotated[int, Field(ge=3, le=600)] = 60
    """Photos shown a dataset: the best, the median and the worst by IoU where there is truth."""
    thumbnail_px: Annotated[int, Field(ge=64, le=1024)] = 480
    """Longest side of the chosen photos' pictures, which a click enlarges."""
    gallery_mb: Annotated[float, Field(ge=1, le=500)] = 32
    """Room of the gallery's thumbnails in the page: they get smaller the more photos there are, down to 64 px."""
