"""All methods by name, and what each is made with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from heap.baselines.found import FoundHead, found_seed
from heap.baselines.patches import Answer, Patches
from heap.baselines.trivial import attention, centred_box, everything
from heap.cache.reader import FeatureReader
from heap.errors import SettingsError
from heap.files import file_sha256
from heap.settings.baselines import BASELINES, KmeansSettings, LostSettings, TokenCutSettings

Method = Callable[[Patches], Answer]


# Imported where they are used, so that workers of the other methods need not load scipy's solvers and FAISS: settings,
# and the photos that take as long as a process needs to start. That is two to three seconds (see `heap.workers`) over
# what a photo of 1,900 patches takes on one core: 68 ms for TokenCut, 28 ms for LOST, 10 ms for k-means
# (benchmarks/baselines.py). The others are quicker than the reading, 5 ms.
_WITH_SETTINGS: dict[str, tuple[Any, int]] = {
    "kmeans": (KmeansSettings, 200), "lost": (LostSettings, 80), "tokencut": (TokenCutSettings, 30),
}  # fmt: skip
_PLAIN: dict[str, Method] = {
    "everything": everything, "centred_box": centred_box, "attention": attention, "found_seed": found_seed,
}  # fmt: skip
_QUICK = 500


@dataclass(frozen=True)
class Made:
    """A method ready for photos.

    Attributes:
        run: the method.
        info: what its maps' receipt says of it, and what distinguishes them from others of the method.
        photos_per_worker: photos that take as long as a process needs to start.
    """

    run: Method
    info: dict[str, Any]
    photos_per_worker: int = _QUICK


def make(method: str, own: dict[str, Any] | None, head: Path | None, reader: FeatureReader) -> Made:
    """Return a method.

    Args:
        method: its name.
        own: its settings as they were frozen; None for methods without.
        head: FOUND's trained head, for `found` alone.
        reader: features it is to be run on.

    Raises:
        SettingsError: no such method; a head is missing, or given to a method without one.
        TrainingError: the head does not fit the features.
    """
    if method not in BASELINES:
        raise SettingsError(f"method {method!r}: unknown (there are: heap, {', '.join(BASELINES)})")
    if (head is not None) != (method == "found"):
        wrong = "needs a trained head (--head)" if head is None else "takes no --head"
        raise SettingsError(f"method {method!r}: {wrong}")
    if head is not None:
        trained, description = FoundHead.load(head, reader)
        info = {"model": description["model"], "settings": description["found"], "warnings": description["warnings"]}
        return Made(trained, {"head_sha256": file_sha256(head), **info})
    if method in _PLAIN:
        return Made(_PLAIN[method], {})
    kind, photos_per_worker = _WITH_SETTINGS[method]
    run = getattr(import_module(f"heap.baselines.{method}"), method)
    settings = TypeAdapter(kind).validate_python(own)
    return Made(partial(run, settings=settings), {"settings": own}, photos_per_worker)
