"""One trial: the project's own training on a bed, its figures and its signs without labels."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from benchmarks.headbed import alike, score
from benchmarks.headbed.bed import Bed
from benchmarks.headbed.recipes import smoothing
from heap.group.apply import Grouped, group_photos
from heap.head import losses
from heap.head.batches import TrainingSet, collate, sample_of
from heap.head.diagnose import orient
from heap.head.fit import fit
from heap.head.model import Head
from heap.settings.models import TrainSettings
from heap.settings.stages import GroupSettings


def train_one(bed: Bed, settings: TrainSettings, seed: int) -> tuple[Head, dict[str, float], TrainSettings]:
    """Train a head on the bed's photos and set its polarity; returns it, its diagnostics and calibrated settings."""
    data = TrainingSet(bed.reader, bed.train, settings.loss.variant, settings.resident_gb)
    head, _, found = fit(data, bed.reader.dim, settings, "cpu", seed)
    final, _, _ = orient(head, data, "cpu")
    return head, final | signs(head, data), found


def apply(head: Head, bed: Bed, photos: list[int], width: float, batch_size: int = 25) -> list[Grouped]:
    """Group photos as the stage does, with this smoothing."""
    settings, out = GroupSettings(smoothing=width), []
    for start in range(0, len(photos), batch_size):
        loaded = [sample_of(bed.reader, i, "no_seed") for i in photos[start : start + batch_size]]
        out += group_photos(head, loaded, settings, "cpu")
    return out


@torch.inference_mode()
def signs(head: Head, data: TrainingSet, most: int = 150) -> dict[str, float]:
    """Signs that need no label, candidates for the choice between seeds (training photos)."""
    photos = data.photos[:: max(1, len(data) // most)]
    rows: list[dict[str, float]] = []
    for start in range(0, len(photos), 25):
        loaded = data.load(photos[start : start + 25])
        batch = collate(loaded)
        g = head(batch.features, batch.mask)
        f, b = losses.image_level(g)
        p = g.foreground
        side = round(p.shape[1] ** 0.5)
        grid = p.reshape(-1, side, side)
        hard = (grid > 0.5).float()
        size = p.sum(1).clamp_min(1e-6)
        mean_f, mean_b = f / size[:, None], b / (p.shape[1] - size).clamp_min(1e-6)[:, None]
        unit = torch.nn.functional.normalize
        border = batch.border[:1]
        edge = unit((g.normed * border[..., None]).sum(1), dim=-1)
        f1, b1 = unit(f, dim=-1), unit(b, dim=-1)
        photo_mean = unit(g.normed.mean(1), dim=-1)
        y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
        centre = -(x**2 + y**2).reshape(1, -1).expand_as(p)
        rows.append(
            {
                "n_own": float(losses.negative(f, b, 1.0)),
                "n_all": float(losses.negative(f, b, 0.0)),
                "cos_own": float((f1 * b1).sum(1).mean()),
                "ff": float((f1 @ f1.T).mean()),
                "bb": float((b1 @ b1.T).mean()),
                "fb": float((f1 @ b1.T).mean()),
                "inter": float(losses.inter(g, 0.25, 0.01)),
                "edge_b": float((edge * b1).sum(1).mean()),
                "edge_f": float((edge * f1).sum(1).mean()),
                "len_f": float(mean_f.norm(dim=1).mean()),
                "len_b": float(mean_b.norm(dim=1).mean()),
                "area_sd": float(p.mean(1).std()),
                "empty": float(((hard.mean((1, 2)) < 0.02) | (hard.mean((1, 2)) > 0.7)).float().mean()),
                "smooth": 1 - sum(float(hard.diff(dim=axis).abs().mean()) for axis in (1, 2)),
                "rho_centre": float(losses.correlation(p, centre, batch.mask).mean()),
                "sharp": float((2 * p - 1).abs().mean()),
                "contrast": float((mean_f * mean_b).sum(1).mean()),
                "mean_b": float((photo_mean * b1).sum(1).mean()),
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def trial(bed: Bed, settings: TrainSettings, sets: tuple[str, ...] = ("val", "test")) -> dict[str, Any]:
    """Train, score on the sets, and return one row of a table: of the smoothed maps as shipped, and of the own ones."""
    started = time.monotonic()
    head, final, found = train_one(bed, settings, settings.seeds[0])
    took = time.monotonic() - started
    row: dict[str, Any] = {"bed": bed.name, "seed": settings.seeds[0]}
    for name in sets:
        photos = bed.scored[name]
        truths = [bed.truth[i] for i in photos]
        smoothed, own = (apply(head, bed, photos, width) for width in (smoothing(), 0.0))
        row |= {f"{name}_{k}": v for k, v in score.figures([g.foreground for g in smoothed], truths).items()}
        row |= {f"{name}_own_{k}": v for k, v in score.figures([g.foreground for g in own], truths).items()}
        row[f"{name}_flipped"] = score.figures([1 - g.foreground for g in own], truths)["iou"]
        row[f"{name}_oracle"] = score.oracle([g.region for g in own], truths)
    if bed.classes:
        known = list(bed.classes.values())
        groups = apply(head, bed, list(bed.classes), smoothing())
        row |= {f"class_{k}": v for k, v in alike.figures(groups, known).items()}
        if all(len(np.unique(c)) > 2 for c in known):  # ground and two classes in each
            row |= {f"class_{k}": v for k, v in alike.both_found(groups, known).items()}
    tau, b0, weight = found.head.temperature, found.loss.correlation_threshold, found.loss.intra
    return row | {f"d_{k}": v for k, v in final.items()} | {"tau": tau, "b0": b0, "w_intra": weight, "train_s": took}
