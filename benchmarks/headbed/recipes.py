"""Named settings: the shipped recipe, each part of it taken away, and what was tried beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from heap.settings.models import TrainSettings

CONFIG = Path(__file__).parents[2] / "config/config.yaml"

# name: settings that differ from config/config.yaml. What an ablation is for: docs/recipe.md.
RECIPES: dict[str, dict[str, Any]] = {
    "shipped": {},
    "without L_intra": {"loss.intra": 0.0},
    "without L_neg": {"loss.negative": 0.0},
    "without L_inter": {"loss.inter": 0.0},
    "guess alone, no loss": {"loss.intra": 0.0, "loss.negative": 0.0, "loss.inter": 0.0},
    "no guess (no_seed)": {"loss.variant": "no_seed"},
    "guess fades wholly": {"loss.prior": 0.0},
    "robust: attention > mean": {"loss.variant": "robust", "loss.prior": 0.2},
    "pure: FOUND's seed": {"loss.variant": "pure"},
    "L_neg over all pairs": {"loss.negative_own": 0.0},
    "L_neg over own pairs": {"loss.negative_own": 1.0},
    "2 tokens": {"head.tokens": 2},
    "4 tokens": {"head.tokens": 4},
    "8 tokens": {"head.tokens": 8},
    "temperature 0.1": {"head.temperature": 0.1},
    "temperature 0.2": {"head.temperature": 0.2},
    "random tokens": {"head.init": "random"},
    "tokens attend to each other": {"head.token_attention": True},
}


def settings(changes: dict[str, Any], seed: int) -> TrainSettings:
    """The configuration's training with some dotted keys changed, and a seed."""
    raw = yaml.safe_load(CONFIG.read_text())["train"]
    for key, value in {**changes, "seeds": [seed]}.items():
        *folders, last = key.split(".")
        at = raw
        for folder in folders:
            at = at[folder]
        at[last] = value
    return TrainSettings.model_validate(raw)


def smoothing() -> float:
    """The configuration's width of the smoothing of maps."""
    return float(yaml.safe_load(CONFIG.read_text())["group"]["smoothing"])
