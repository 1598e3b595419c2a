"""Photos to a device as normalised pixels, and features back to the host while the device goes on computing."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor

from heap.encoders.base import Encoded, Photos
from heap.grid import grid_of


def pixel_norm(model: Any, device: str, mean: Any = None, std: Any = None) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of pixels `(1, 3, 1, 1)`: as stated, else as timm says the model was trained with.

    Models of other publishers were trained on pixels normalised otherwise (0.5, or CLIP's values).
    """
    config = getattr(model, "pretrained_cfg", None) or {}  # timm's models have it, a bare module does not
    chosen = mean or config.get("mean", IMAGENET_DEFAULT_MEAN), std or config.get("std", IMAGENET_DEFAULT_STD)
    one, two = (torch.tensor(value, device=device, dtype=torch.float32).view(1, 3, 1, 1) for value in chosen)
    return one, two


def padded_pixels(photos: Photos, patch_px: int, mean: Tensor, std: Tensor) -> Tensor:
    """Return normalised pixels `(B, 3, H, W)` float32 on the device of `mean`, H and W whole patches.

    Padding comes after normalisation, as the peers do it: zero is then the mean colour (black padding changes the keys
    by 100 %). Each photo has its own padding, so photos that differ by less than a patch share a batch exactly.

    Args:
        photos: uint8 RGB of one grid.
        patch_px: side of a patch.
        mean: `(1, 3, 1, 1)` of values 0 to 1.
        std: `(1, 3, 1, 1)`.

    Raises:
        ValueError: the photos have different grids.
    """
    sizes = [(photo.shape[0], photo.shape[1]) for photo in photos]
    grids = {grid_of(height, width, patch_px) for height, width in sizes}
    if len(grids) != 1:
        raise ValueError(f"photos of the grids {sorted(grids)}: a batch has one grid")
    grid_h, grid_w = grids.pop()
    # Page-locked, so that the copy to the GPU runs during the computation. Bytes travel, four times fewer than floats.
    shape = (len(sizes), grid_h * patch_px, grid_w * patch_px, 3)
    canvas = torch.zeros(shape, dtype=torch.uint8, pin_memory=mean.is_cuda)
    for number, (photo, (height, width)) in enumerate(zip(photos, sizes, strict=True)):
        canvas.numpy()[number, :height, :width] = photo
    pixels = canvas.to(mean.device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
    pixels = (pixels - mean) / std
    for number, (height, width) in enumerate(sizes):
        pixels[number, :, height:] = 0
        pixels[number, :, :, width:] = 0
    return pixels


class Transfer:
    """An encoded batch on its way to the host.

    From a GPU the copy runs on a stream of its own into page-locked memory, so that the next batch can be computed
    meanwhile; elsewhere there is nothing to wait for.

    Args:
        features: `(B, N, D)`.
        attention: `(B, N, heads)`.
        cls: `(B, D)`.
    """

    def __init__(self, features: Tensor, attention: Tensor, cls: Tensor) -> None:
        values = [value.float() for value in (features, attention, cls)]
        self._done: torch.cuda.Event | None = None
        if values[0].device.type != "cuda":
            self._host = [value.cpu() for value in values]
            return
        stream = _copy_stream(values[0].device)
        stream.wait_stream(torch.cuda.current_stream(values[0].device))
        with torch.cuda.stream(stream):
            self._host = [torch.empty(value.shape, pin_memory=True) for value in values]
            for host, value in zip(self._host, values, strict=True):
                host.copy_(value, non_blocking=True)
                # Else the allocator could hand this memory to the next batch while it is still being copied.
                value.record_stream(stream)
        self._done = stream.record_event()

    def result(self) -> Encoded:
        """Wait for the batch and return it."""
        if self._done is not None:
            self._done.synchronize()
        return Encoded(*(np.asarray(value.numpy()) for value in self._host))


@cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the one stream that copies from `device`."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
