"""All methods by name, and what each is made with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
    photos_per_worker: int


# Two to three seconds (see `heap.workers`) over what a photo of 1,900 patches takes on one core: 68 ms for TokenCut,
# 28 ms for LOST, 10 ms for k-means (benchmarks/baselines.py). The others are quicker than the reading, 5 ms.
_PHOTOS_PER_WORKER = {"tokencut": 30, "lost": 80, "kmeans": 200}
_QUICK = 500


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
        told = {"model": description["model"], "settings": description["found"], "warnings": description["warnings"]}
        info = {"head_sha256": file_sha256(head), **told}
        return Made(trained, info, _QUICK)
    plain: dict[str, Method] = {
        "everything": everything, "centred_box": centred_box, "attention": attention, "found_seed": found_seed,
    }  # fmt: skip
    if method in plain:
        return Made(plain[method], {}, _QUICK)
    return Made(_with_settings(method, own), {"settings": own}, _PHOTOS_PER_WORKER[method])


def _with_settings(method: str, own: dict[str, Any] | None) -> Method:
    # Imported here, so that workers of the other methods need not load scipy's solvers and FAISS.
    if method == "kmeans":
        from heap.baselines.kmeans import kmeans

        return partial(kmeans, settings=TypeAdapter(KmeansSettings).validate_python(own))
    if method == "lost":
        from heap.baselines.lost import lost

        return partial(lost, settings=TypeAdapter(LostSettings).validate_python(own))
    from heap.baselines.tokencut import tokencut

    return partial(tokencut, settings=TypeAdapter(TokenCutSettings).validate_python(own))
