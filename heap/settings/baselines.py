"""The methods that HEAP is compared with, and their settings: the published ones, see `heap.baselines`."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from heap.settings.base import Count, NotNegative, Positive, Real, Settings, Share

# Methods that run on the same cache; `heap stage baseline --help` describes those that are not HEAP.
Method = Literal[
    "heap", "found", "found_seed", "tokencut", "lost", "kmeans", "attention", "centred_box", "everything"
]  # fmt: skip
BASELINES: tuple[str, ...] = tuple(name for name in get_args(Method) if name != "heap")


class KmeansSettings(Settings):
    """K-means of a photo's own patches; the clusters attended to more than the photo's mean are foreground."""

    clusters: Annotated[int, Field(ge=2, le=256)] = 8
    """k; a photo of fewer patches has as many clusters as patches."""
    iterations: Count = 20
    """Iterations of k-means; a few thousand points settle well before."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the starting centroids, the same for every photo."""


class LostSettings(Settings):
    """LOST (Simeoni et al., BMVC 2021)."""

    k_patches: Count = 100
    """Patches of least degree among which the seed is expanded."""
    centre: bool = False
    """Subtract the photo's mean feature first. LOST does not: its keys have both signs. Features that are all positive
    are otherwise all relatives, and the whole photo is the object."""


class TokenCutSettings(Settings):
    """TokenCut (Wang et al., CVPR 2022)."""

    tau: Annotated[Real, Field(ge=-1, le=1)] = 0.2
    """Patches with a cosine above it are linked."""
    eps: Annotated[Positive, Field(lt=1)] = 1e-5
    """Weight of patches that are not linked; it keeps the graph in one piece."""
    centre: bool = False
    """Subtract the photo's mean feature first. TokenCut does not; as for LOST."""


class FoundSettings(Settings):
    """Training of FOUND's linear head on its seed (Simeoni et al., CVPR 2023)."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the initial weights and of the order of photos."""
    steps: Count = 500
    """Optimiser steps."""
    batch_size: Count = 50
    """Photos a step."""
    learning_rate: Positive = 5e-2
    """AdamW's rate at the start."""
    decay: Annotated[Share, Field(gt=0)] = 0.95
    """The rate is multiplied by it ..."""
    decay_every: Count = 50
    """... after so many steps."""
    weight_decay: NotNegative = 0.01
    """AdamW's decay; torch's default, which FOUND leaves alone."""
    standardise: bool = True
    """Subtract the mean training feature and divide by the root mean square; the saved head contains both. FOUND does
    not. Where all features have a common part each step shifts all predictions together, and the self-training
    follows: on descriptors, scaled only, nothing was marked 50 iterations after the seed had gone; centred too, 320."""
    seed_steps: Annotated[int, Field(ge=0)] = 100
    """The seed is a target for so many steps; then the head's own binary prediction takes its place. FOUND's 100
    suit DINO's keys. On descriptors nothing is left of the mask at the end (a warning says so): keep the seed there."""
    solver_weight: NotNegative = 1.5
    """Weight of the loss against the head's own prediction after the bilateral solver."""
    self_weight: NotNegative = 4.0
    """Weight of the loss against the head's own binary prediction, once the seed has gone."""


class BaselineSettings(Settings):
    """Methods that have settings; an edit re-runs that method and the tables it stands in."""

    kmeans: KmeansSettings = KmeansSettings()
    """K-means and attention."""
    lost: LostSettings = LostSettings()
    """LOST."""
    tokencut: TokenCutSettings = TokenCutSettings()
    """TokenCut."""
    found: FoundSettings = FoundSettings()
    """FOUND's head."""
