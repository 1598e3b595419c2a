"""How steady the clusters are: `python benchmarks/stability.py [--moves 10] [--by 1e-4] [--seeds 10]`.

Reads what the demo left below `results/` of the working directory and measures its semantic figures again: with other
seeds of k-means, and with the demo's own seed after every value of every embedding was moved by a normal number of
deviation `--by` times a value's usual size. The first row is the demo itself.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from measuring import show

from heap import paths
from heap.cache.maps import MapReader
from heap.cluster.clustering import cluster_regions
from heap.data import manifest as manifests
from heap.evaluate import semantic
from heap.evaluate.truth import class_labels, photos_of
from heap.group import regions as region_table
from heap.segment.instances import annotation, segment_map
from heap.settings.freeze import read_frozen, section
from heap.settings.stages import ClusterSettings, SegmentSettings

DATASET, SPLIT = "scenes", "val"


class Demo:
    """The demo's regions, maps and ground truth."""

    def __init__(self) -> None:
        """Read them."""
        frozen = {s: read_frozen(Path(paths.settings(s, DATASET)), s) for s in ("cluster", "segment")}
        self.cluster: ClusterSettings = section(frozen["cluster"], "cluster", ClusterSettings)
        self.segment: SegmentSettings = section(frozen["segment"], "segment", SegmentSettings)
        self.regions = region_table.read(paths.regions("heap", DATASET))
        self.maps = MapReader(paths.maps("heap", DATASET))
        manifest = manifests.read(Path(paths.manifest(DATASET)))
        self.photos = photos_of(manifest.rows(SPLIT), manifest.root)
        self.classes = len(manifest.info["classes"]) + 1

    def figures(self, what: str, seed: int, moved: float) -> dict[str, object]:
        """Return the semantic figures of clusters by another seed of k-means, or of moved embeddings."""
        settings = self.cluster.model_copy(update={"seed": seed if not moved else self.cluster.seed})
        random = np.random.default_rng(seed)
        embeddings = self.regions.embeddings
        if moved:
            embeddings = embeddings + moved / np.sqrt(embeddings.shape[1]) * random.normal(size=embeddings.shape)
            embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
        clusters, _ = cluster_regions(settings, replace(self.regions, embeddings=embeddings), self.maps)
        of_photo = dict(iter(clusters.table.groupby("image_id")))
        row = {image_id: i for i, image_id in enumerate(self.maps.images["image_id"])}
        described = []
        for photo in self.photos:
            of = of_photo[photo.image_id]
            tokens = dict(zip(of["token"].tolist(), of["foreground_cluster"].tolist(), strict=True))
            i = row[photo.image_id]
            _, _, objects = segment_map(
                self.segment, self.maps.foreground(i), self.maps.region(i), tokens, self.maps.grid(i)
            )
            listed = [annotation(one, 1, one.cluster + 1) for one in objects]
            described.append(semantic.describe(listed, class_labels(photo), self.classes))
        found = semantic.summary(described)
        inertia = clusters.info["kmeans"]["foreground"]["inertia"]
        return {"clusters": what, "inertia": inertia, **{key: found[key] for key in ("nmi", "miou_8", "miou_objects")}}


def main() -> None:
    """Print a row a clustering, then mean, deviation and least of seeds and of moves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--moves", type=int, default=10)
    parser.add_argument("--by", type=float, default=1e-4)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    demo = Demo()
    parts = {
        "seed": [demo.figures(f"seed {seed}", seed, 0.0) for seed in range(given.seeds)],
        "moved": [demo.figures(f"moved {n}", n, given.by) for n in range(1, given.moves + 1)],
    }
    rows = [row for part in parts.values() for row in part]
    for name, part in parts.items():
        for what, of in (
            ("mean", np.mean),
            ("deviation", lambda values: np.std(values, ddof=1)),
            ("least", np.min),
            ("largest", np.max),
        ):
            if part:
                numbers = {key: float(of([row[key] for row in part])) for key in part[0] if key != "clusters"}  # type: ignore[call-overload]
                rows.append({"clusters": f"{name}: {what}", **numbers})
    show("Clusters of the demo", rows, given.out)


if __name__ == "__main__":
    main()
