"""Photo-like scenes with exact masks, drawn from a seed: a data set that needs no download."""

from heap.data.scenes.objects import CLASSES
from heap.data.scenes.voc import generate

__all__ = ["CLASSES", "generate"]
