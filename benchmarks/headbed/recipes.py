"""Named settings: the shipped recipe, each part of it taken away, and what was tried beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from heap.settings.config import read
from heap.settings.models import TrainSettings

CONFIG = Path(__file__).parents[2] / "config/config.yaml"

# name: settings that differ from config/config.yaml. What an ablation is for: docs/explanation/recipe.md.
RECIPES: dict[str, dict[str, Any]] = {
    "shipped": {},
    "without L_intra": {"loss.intra": 0.0},
    "without L_neg": {"loss.negative": 0.0},
    "without L_inter": {"loss.inter": 0.0},
    "prior alone, no loss": {"loss.intra": 0.0, "loss.negative": 0.0, "loss.inter": 0.0},
    "no prior (no_seed)": {"loss.variant": "no_seed"},
    "prior fades wholly": {"loss.prior": 0.0},
    "robust: attention > mean": {"loss.variant": "robust", "loss.prior": 0.2},
    "pure: FOUND's seed": {"loss.variant": "pure"},
    "L_neg over all pairs": {"loss.negative_own": 0.0},
    "L_neg over own pairs": {"loss.negative_own": 1.0},
    "2 tokens": {"head.num_groups": 2},
    "4 tokens": {"head.num_groups": 4},
    "8 tokens": {"head.num_groups": 8},
    "temperature 0.1": {"head.temperature": 0.1},
    "temperature 0.2": {"head.temperature": 0.2},
    "random tokens": {"head.init": "random"},
    "tokens attend to each other": {"head.token_attention": True},
    "L_inter x 3": {"loss.inter": 3.0},
    "bank of 2048 regions": {"loss.bank": 2048},
    "bank of 8192 regions": {"loss.bank": 8192},
    "alpha 0.05": {"loss.rank_decay": 0.05},
    "alpha 1": {"loss.rank_decay": 1.0},
    "1 block": {"head.num_layers": 1},
    "3 blocks": {"head.num_layers": 3},
    "16 photos a step": {"batch_size": 16},
    "64 photos a step": {"batch_size": 64},
    "800 steps": {"steps": 800},
    "1600 steps": {"steps": 1600},
}


def settings(changes: dict[str, Any], seed: int) -> TrainSettings:
    """The configuration's training with some dotted keys changed, and a seed."""
    raw = read(CONFIG)["train"]
    for key, value in {**changes, "seeds": [seed]}.items():
        *folders, last = key.split(".")
        at = raw
        for folder in folders:
            at = at[folder]
        at[last] = value
    return TrainSettings.model_validate(raw)


def smoothing() -> float:
    """The configuration's width of the smoothing of maps."""
    return float(read(CONFIG)["group"]["smoothing"])
