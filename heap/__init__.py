"""HEAP: unsupervised object discovery and localization with contrastive grouping.

Zhang, Xie, Yuan, Bi Mi, Tan. AAAI 2024, arXiv 2312.17492. The equations here are consistent with the published
description and are this project's own where the paper could not be read; see the README.

    import heap

    model = heap.load("results/head")
    found = model.discover("photo.jpg")
    found.instances, found.regions, found.mask, found.picture()

`docs/tutorials/python.md` shows all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heap.errors import HeapError

if TYPE_CHECKING:
    from heap.discover.model import Model, load
    from heap.discover.result import Discovery, Region
    from heap.segment.instances import Instance

__version__ = "0.1.0"
__all__ = ["Discovery", "HeapError", "Instance", "Model", "Region", "__version__", "load"]

_FROM = {
    "Discovery": "heap.discover.result",
    "Instance": "heap.segment.instances",
    "Model": "heap.discover.model",
    "Region": "heap.discover.result",
    "load": "heap.discover.model",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and only then: `import heap` and `heap --help` must not wait for torch."""
    if name in _FROM:
        from importlib import import_module

        return getattr(import_module(_FROM[name]), name)
    raise AttributeError(f"module 'heap' has no attribute {name!r}")
