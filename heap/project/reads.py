"""Which stages read which key of the configuration: what `heap explain` tells and what a test proves by Snakemake.

A new key needs a line here. The stages are those of frozen settings (`heap.settings.freeze`); what follows from them is
in `heap.project.graph`.
"""

from __future__ import annotations

from dataclasses import dataclass

# What stays when a stage runs again.
KEPT = {
    "fetch": "Files that are there already are checked, not brought again.",
    "weights": "A weights file that is there is checked, not brought again.",
    "extract": "The present store stays; the earlier value finds it again without encoding (heap cache list).",
    "train": "No photo is encoded. Until the new heads are trained, the chosen one stays as it was.",
}
STORE_STAYS = "No photo is encoded: the store is the same, only its receipt is written again."
NEXT_JOB = "Re-runs nothing: memory or checkpoints, no result. The next job that runs uses it."


@dataclass(frozen=True)
class Reads:
    """The stages whose jobs run again when a key is edited, before all that follows from them.

    Attributes:
        stages: of frozen settings; none for a key that no finished job hangs on.
        note: what is peculiar to this key; "" where `KEPT` says enough.
    """

    stages: tuple[str, ...]
    note: str = ""


_MANIFEST = Reads(("manifest",), STORE_STAYS.replace("No photo", "No photo that is listed as before"))
_SCENES = Reads(("fetch", "manifest"), "The scenes are drawn anew.")
_FETCH = Reads(("fetch",), "Where the photos turn out the same, so are store and heads.")
_PHOTOS = Reads(("extract", "model"))
_EXTRACT = Reads(("extract",))
_LABEL = Reads(("weights", "extract"), "Where the weights turn out the same, so are store and heads.")
_TRAIN = Reads(("train",))
_TASK = Reads(("evaluate", "report", "ablation"))

READS: dict[str, Reads] = {
    "encoders.*.kind": Reads(("weights", "extract")),
    "encoders.*.architecture": Reads(("weights", "extract")),
    "encoders.*.weights": _LABEL,
    "encoders.*.sha256": _LABEL,
    "encoders.*.facet": _EXTRACT,
    "encoders.*.block": _EXTRACT,
    "encoders.*.patch_px": Reads(("extract",), "Of descriptors: a new store. Of others: only a check."),
    "encoders.*.supervision": Reads(("extract",), STORE_STAYS),
    "encoders.*.precision": _EXTRACT,
    "encoders.*.batch_size": Reads((), NEXT_JOB),
    "encoders.*.storage": _EXTRACT,
    "encoders.*.stages": _EXTRACT,
    "encoders.*.attention_stage": _EXTRACT,
    "encoders.*.pad_type": _EXTRACT,
    "encoders.*.mean": _EXTRACT,
    "encoders.*.std": _EXTRACT,
    "models.*.encoder": Reads(("extract",)),
    "models.*.train_on": Reads(("train", "found", "model")),
    "models.*.train_split": Reads(("train", "found")),
    "models.*.min_train_images": Reads(("train", "found")),
    "models.*.overrides": _TRAIN,
    "train.seeds": Reads(("select",), "Only seeds without a head are trained; then one is chosen again."),
    "train.head.num_groups": _TRAIN,
    "train.head.num_layers": _TRAIN,
    "train.head.num_heads": _TRAIN,
    "train.head.temperature": _TRAIN,
    "train.head.init": _TRAIN,
    "train.head.token_attention": _TRAIN,
    "train.loss.variant": _TRAIN,
    "train.loss.intra": _TRAIN,
    "train.loss.negative": _TRAIN,
    "train.loss.inter": _TRAIN,
    "train.loss.correlation_threshold": _TRAIN,
    "train.loss.patches": _TRAIN,
    "train.loss.negative_own": _TRAIN,
    "train.loss.rank_decay": _TRAIN,
    "train.loss.min_area": _TRAIN,
    "train.loss.bank": _TRAIN,
    "train.loss.prior": _TRAIN,
    "train.loss.warmup_share": _TRAIN,
    "train.steps": _TRAIN,
    "train.batch_size": _TRAIN,
    "train.learning_rate": _TRAIN,
    "train.weight_decay": _TRAIN,
    "train.grad_clip": _TRAIN,
    "train.warmup_steps": _TRAIN,
    "train.precision": _TRAIN,
    "train.checkpoint_every": Reads((), NEXT_JOB),
    "train.resident_gb": Reads((), NEXT_JOB),
    "datasets.*.root": _FETCH,
    "datasets.*.files": Reads(("manifest",), _FETCH.note),
    "datasets.*.model": Reads(("extract", "group", "found maps"), "Nothing is encoded where both have one encoder."),
    "datasets.*.archives.*.url": _FETCH,
    "datasets.*.archives.*.sha256": _FETCH,
    "datasets.*.archives.*.md5": _FETCH,
    "datasets.*.archives.*.into": _FETCH,
    "datasets.*.expected_images": Reads(("manifest",), STORE_STAYS),
    "datasets.*.resize_px": _PHOTOS,
    "datasets.*.max_px": _PHOTOS,
    "datasets.*.max_patches": Reads(("extract", "model"), "A new store only where other photos are refused."),
    "datasets.*.on_bad_image": Reads(("manifest", "extract"), "A new store only where other photos are left out."),
    "datasets.*.layout": Reads(("fetch", "manifest"), _FETCH.note),
    "datasets.*.year": _MANIFEST,
    "datasets.*.splits": _MANIFEST,
    "datasets.*.boxes": _MANIFEST,
    "datasets.*.class_masks": _MANIFEST,
    "datasets.*.class_mask_folder": _MANIFEST,
    "datasets.*.annotated_on": _MANIFEST,
    "datasets.*.images": _MANIFEST,
    "datasets.*.annotations": _MANIFEST,
    "datasets.*.image_list": _MANIFEST,
    "datasets.*.masks": _MANIFEST,
    "datasets.*.train_images": _SCENES,
    "datasets.*.val_images": _SCENES,
    "datasets.*.height_px": _SCENES,
    "datasets.*.width_px": _SCENES,
    "datasets.*.seed": _SCENES,
    "baselines.kmeans.clusters": Reads(("maps",)),
    "baselines.kmeans.iterations": Reads(("maps",)),
    "baselines.kmeans.seed": Reads(("maps",)),
    "baselines.lost.k_patches": Reads(("maps",)),
    "baselines.lost.centre": Reads(("maps",)),
    "baselines.tokencut.tau": Reads(("maps",)),
    "baselines.tokencut.eps": Reads(("maps",)),
    "baselines.tokencut.centre": Reads(("maps",)),
    "baselines.found.seed": Reads(("found",)),
    "baselines.found.steps": Reads(("found",)),
    "baselines.found.batch_size": Reads(("found",)),
    "baselines.found.learning_rate": Reads(("found",)),
    "baselines.found.decay": Reads(("found",)),
    "baselines.found.decay_every": Reads(("found",)),
    "baselines.found.weight_decay": Reads(("found",)),
    "baselines.found.standardise": Reads(("found",)),
    "baselines.found.seed_steps": Reads(("found",)),
    "baselines.found.solver_weight": Reads(("found",)),
    "baselines.found.self_weight": Reads(("found",)),
    "group.min_area": Reads(("group", "model")),
    "group.smoothing": Reads(("group", "model")),
    "cluster.foreground": Reads(("cluster",)),
    "cluster.background": Reads(("cluster",)),
    "cluster.join": Reads(("cluster",)),
    "cluster.join_above": Reads(("cluster",)),
    "collections.*.datasets": Reads(("cluster",)),
    "datasets.*.foreground_clusters": Reads(("cluster",)),
    "cluster.iterations": Reads(("cluster",)),
    "cluster.restarts": Reads(("cluster",)),
    "cluster.points_per_centroid": Reads(("cluster",)),
    "cluster.seed": Reads(("cluster",)),
    "cluster.neighbours": Reads(("cluster",)),
    "segment.threshold": Reads(("segment", "model")),
    "segment.min_area": Reads(("segment", "model")),
    "benchmarks.*.tasks.*.task": _TASK,
    "benchmarks.*.tasks.*.dataset": _TASK,
    "benchmarks.*.tasks.*.split": _TASK,
    "benchmarks.*.tasks.*.truth": _TASK,
    "benchmarks.*.tasks.*.bilateral": _TASK,
    "benchmarks.*.tasks.*.gallery": _TASK,
    "benchmarks.*.tasks.*.query": _TASK,
    "benchmarks.*.tasks.*.subsets": _TASK,
    "benchmarks.*.methods": Reads(("evaluate", "report")),
    "ablation.benchmark": Reads(("ablation",)),
    "ablation.model": Reads(("train", "ablation")),
    "ablation.seeds": Reads(("ablation",), "Only seeds without a head are trained."),
    "ablation.variants": Reads(("train", "ablation"), "Only variants without a head are trained."),
    "evaluate.bootstrap": Reads(("evaluate",)),
    "evaluate.seed": Reads(("evaluate",)),
    "report.photos": Reads(("report",)),
    "report.thumbnail_px": Reads(("report",)),
    "report.gallery_mb": Reads(("report",)),
    "pictures.longest_px": Reads(("pictures",)),
}
