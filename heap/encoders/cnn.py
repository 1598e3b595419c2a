"""Frozen convolutional backbones of timm: their feature maps, brought to one grid.

Our choice throughout (no peer does this); the recipe is that of the SUPERVISED test bed (docs/explanation/recipe.md).
Such backbones are mostly trained with labels, so the settings must say how, and every table's label repeats it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from heap.encoders.base import AttentionKind, Encoder, Photos
from heap.encoders.transfer import Transfer, padded_pixels, pixel_norm
from heap.encoders.weights import weights_in_words, with_weights
from heap.errors import EncoderError
from heap.receipts import Weights
from heap.settings.models import CnnEncoder


def build(settings: CnnEncoder) -> Any:
    """Return the untrained timm model, without classifier and pooling.

    Raises:
        EncoderError: timm does not know it, or it gives no feature maps.
    """
    name = settings.architecture
    extra = {} if settings.pad_type is None else {"pad_type": settings.pad_type}
    try:
        model = timm.create_model(name, pretrained=False, num_classes=0, global_pool="", **extra)
    except (RuntimeError, ValueError, TypeError) as error:
        raise EncoderError(
            f"encoder {name}: timm cannot build it{f' with {extra}' if extra else ''} ({error}); "
            "`heap encoders --timm PATTERN` lists timm's models"
        ) from error
    if isinstance(model, VisionTransformer | Eva):
        raise EncoderError(f"encoder {name}: is a ViT, set `kind: vit`")
    if not hasattr(model, "forward_intermediates") or not getattr(model, "feature_info", None):
        raise EncoderError(f"encoder {name}: timm's {type(model).__name__} does not give its feature maps")
    return model


def stages_of(model: Any) -> list[tuple[int, int]]:
    """Return channels and stride in pixels of each of a timm model's feature maps, finest first."""
    maps = getattr(model.feature_info, "info", model.feature_info)  # a list of dicts, or timm's wrapper of one
    return [(int(stage["num_chs"]), int(stage["reduction"])) for stage in maps]


class Cnn(Encoder):
    """A frozen CNN.

    A patch is described by the chosen maps: each is upsampled to the finest one's grid, L2-normalised over channels,
    and they are concatenated. The attention is a substitute: the L2 norm over channels of one map, whose large
    values mark what the network reacts to.
    """

    attention_kind: AttentionKind = "feature_norm"
    heads = 1

    def __init__(self, model: Any, settings: CnnEncoder, weights: Weights, device: str) -> None:
        """Freeze `model` on `device`.

        Raises:
            EncoderError: a stage is out of range, or the finest one has another stride than the config states.
        """
        self.settings, self.weights, self.device = settings, weights, device
        self.model = model.eval().requires_grad_(False).to(device)
        self.strides = [stride for _, stride in stages_of(model)]
        self.stages = [self._number(stage) for stage in settings.stages]
        if len(set(self.stages)) != len(self.stages):
            raise EncoderError(f"encoder stages: {settings.stages} name one map twice")
        self.attention_stage = self._number(settings.attention_stage)
        self._mean, self._std = pixel_norm(model, device, settings.mean, settings.std)
        self._indices = sorted({stage for stage in (*self.stages, self.attention_stage) if stage is not None})
        self.patch_px = min(self._stride(stage) for stage in self.stages)
        if self.patch_px != settings.patch_px:
            raise EncoderError(
                f"encoder patch_px: the finest of the stages {settings.stages} of {settings.architecture} has a stride "
                f"of {self.patch_px} px, the config states {settings.patch_px}"
            )
        if self._stride(self.attention_stage) < self.patch_px:
            raise EncoderError(f"encoder attention_stage: {settings.attention_stage} is finer than every stage")
        self.dim = self.encode(np.zeros((1, 2 * self._stride(None), 2 * self._stride(None), 3), np.uint8)).cls.shape[1]
        self.label = label_of(settings, weights)

    @torch.inference_mode()
    def start(self, photos: Photos) -> Transfer:
        """Begin to encode uint8 photos of one grid; right and bottom are padded with the mean colour."""
        pixels = padded_pixels(photos, self.patch_px, self._mean, self._std)
        grid_h, grid_w = (side // self.patch_px for side in pixels.shape[2:])
        last, found = self.model.forward_intermediates(pixels, indices=self._indices or [-1])
        maps: dict[int | None, Tensor] = {None: last, **dict(zip(self._indices, found, strict=False))}
        described = [F.normalize(self._to_grid(maps[stage], stage, grid_h, grid_w), dim=1) for stage in self.stages]
        features = torch.cat(described, dim=1).flatten(2).transpose(1, 2)  # (B, N, D)
        norm = maps[self.attention_stage].norm(dim=1, keepdim=True)
        attention = self._to_grid(norm, self.attention_stage, grid_h, grid_w).flatten(2).transpose(1, 2)
        return Transfer(features, attention, features.mean(dim=1))

    def _to_grid(self, values: Tensor, stage: int | None, grid_h: int, grid_w: int) -> Tensor:
        """Bring a map `(B, C, h, w)` to the grid: bilinear by its stride, so that places stay true, then cropped."""
        times = self._stride(stage) // self.patch_px
        expected = (-(-grid_h // times), -(-grid_w // times))
        if values.shape[2:] != expected:
            raise EncoderError(
                f"encoder {self.settings.architecture}: its map {self._name(stage)} is {tuple(values.shape[2:])}, "
                f"expected {expected} for a grid of {grid_h} x {grid_w}"
            )
        if times > 1:
            values = F.interpolate(values, scale_factor=times, mode="bilinear", align_corners=False)
        return values[:, :, :grid_h, :grid_w]

    def _number(self, stage: int | str) -> int | None:
        """Return the index of a map from the start, None for the last map of the network."""
        if isinstance(stage, str):
            return None
        count = len(self.strides)
        if not -count <= stage < count:
            raise EncoderError(
                f"encoder stage {stage} is out of range: {self.settings.architecture} has {-count} to {count - 1} "
                f"(strides {self.strides}), and `head`"
            )
        return stage % count

    def _stride(self, stage: int | None) -> int:
        return self.strides[-1 if stage is None else stage]

    def _name(self, stage: int | None) -> str:
        return "head" if stage is None else str(stage)


def label_of(settings: CnnEncoder, weights: Weights) -> str:
    """Return how tables name the encoder: that it is a CNN, how it was trained, where its weights come from."""
    stages = "+".join(str(stage) for stage in settings.stages)
    trained = "" if weights.source == "random" else f"{settings.supervision}, "
    return f"CNN {settings.architecture} stages {stages}, {trained}{weights_in_words(weights)}"


def load(settings: CnnEncoder, weights: Weights, device: str) -> Cnn:
    """Return the encoder of `settings` with the weights that `heap.encoders.weights.locate` found.

    Raises:
        EncoderError: see `build`, `Cnn` and `with_weights`.
    """
    return Cnn(with_weights(lambda: build(settings), weights), settings, weights, device)
