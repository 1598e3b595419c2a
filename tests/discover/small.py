"""A few scenes taken through the pipeline in this process: a small trained model with its clusters and masks."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from head.training import train_model

from heap import paths
from heap.cache.extract import extract, gather
from heap.cluster.stage import cluster
from heap.data import manifest
from heap.data.fetch import fetch
from heap.discover.export import make_model
from heap.files import write_json
from heap.group.stage import group
from heap.segment.stage import segment
from heap.settings import frozen_text, parse
from heap.settings.config import read

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Trained:
    """A working folder with `resources/` and `results/` of dataset `scenes` and model `demo`."""

    folder: Path

    def path(self, of: str) -> Path:
        return self.folder / of

    @property
    def photos(self) -> Path:
        return self.folder / "resources/scenes/JPEGImages"


def config(**encoder: Any) -> Any:
    raw = read(REPOSITORY / "config/config.yaml")
    raw["datasets"]["scenes"] |= {
        "train_images": 8,
        "val_images": 4,
        "height_px": 96,
        "width_px": 128,
        "foreground_clusters": 3,
    }
    raw["train"] |= {"steps": 12, "batch_size": 8}
    raw["train"]["head"]["num_groups"] = 6
    raw["models"]["demo"] |= {"min_train_images": 4, "overrides": {"seeds": [0]}}
    raw["cluster"] |= {"background": 3, "restarts": 1}
    raw["encoders"]["descriptors"] |= encoder
    return parse(raw)


def make(folder: Path, **encoder: Any) -> Trained:
    """Run every stage up to the masks and the model's folder."""
    settings = config(**encoder)

    def frozen(stage: str, name: str) -> Path:
        # As the workflow calls them: by the job, of which there is a part or a method too.
        path = Path(paths.settings(stage, {"extract": f"{name}.1-of-1", "group": f"heap.{name}"}.get(stage, name)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(frozen_text(settings, stage, name))
        return path

    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(folder):
        set_, model = "scenes", "demo"
        receipt, listed, features = (Path(of(set_)) for of in (paths.fetch_receipt, paths.manifest, paths.features))
        maps, clusters, head = Path(paths.maps("heap", set_)), Path(paths.clusters(set_)), Path(paths.head(model))
        regions, weights = Path(paths.regions("heap", set_)), Path(paths.weights("descriptors"))
        fetch(frozen("fetch", set_), receipt, set_)
        manifest.make(frozen("manifest", set_), receipt, listed)
        write_json(weights, {"source": "none", "file": None, "sha256": None})
        part = Path(paths.features_part(set_, "1-of-1"))
        extract(frozen("extract", set_), listed, weights, paths.folder_of(features), "1-of-1", part, "cpu")
        gather([part], paths.folder_of(features), listed, features)
        train_model(settings, model, features, listed, Path())
        group(frozen("group", set_), features, head, regions, maps, "cpu")
        cluster(frozen("cluster", set_), [regions], [maps], clusters, Path(paths.index(set_)))
        masks, table = Path(paths.masks(set_)), Path(paths.instances(set_))
        segment(frozen("segment", set_), maps, clusters, listed, masks, table)
        make_model(frozen("model", model), head, clusters, Path(paths.model(model)))
    return Trained(folder)
