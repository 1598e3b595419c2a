"""A model trained in this process: a head for each seed, then the choice, as the rules train and select do it."""

from __future__ import annotations

from pathlib import Path

from heap import paths
from heap.head.select import select
from heap.head.train import train
from heap.settings import Config, frozen_text


def freeze(config: Config, stage: str, name: str, folder: Path) -> Path:
    """Write the frozen settings of a stage below `folder`."""
    path = folder / paths.settings(stage, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(frozen_text(config, stage, name))
    return path


def train_seed(config: Config, model: str, seed: int, features: Path, manifest: Path, folder: Path) -> Path:
    """Train one seed's head; return its file."""
    out, history, survey = (
        folder / of(model, str(seed)) for of in (paths.seed_head, paths.seed_history, paths.seed_survey)
    )
    train(freeze(config, "train", model, folder), features, manifest, seed, out, history, survey, "cpu")
    return out


def choose_seed(config: Config, model: str, folder: Path) -> Path:
    """Choose between the seeds that were trained; return the model's receipt."""
    heads, surveys, histories = (
        [folder / of(model, str(seed)) for seed in config.train_settings(model).seeds]
        for of in (paths.seed_head, paths.seed_survey, paths.seed_history)
    )
    receipt, history = folder / paths.head(model), folder / paths.history(model)
    select(freeze(config, "select", model, folder), heads, surveys, histories, receipt, history)
    return receipt


def train_model(config: Config, model: str, features: Path, manifest: Path, folder: Path) -> Path:
    """Train every seed and choose; return the model's receipt."""
    for seed in config.train_settings(model).seeds:
        train_seed(config, model, seed, features, manifest, folder)
    return choose_seed(config, model, folder)
