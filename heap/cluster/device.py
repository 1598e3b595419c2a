"""Where FAISS computes: on the GPUs that it sees, unless $HEAP_DEVICE says otherwise."""

from __future__ import annotations

import os

import faiss

from heap.encoders.open import choose_device
from heap.errors import EncoderError


def gpus() -> list[int]:
    """Return the numbers of the GPUs that FAISS computes on; none: it computes on the CPU.

    $HEAP_DEVICE decides as for torch: unset or `auto` takes all that FAISS sees, `cuda` insists on them, `cuda:1` on
    that one; with `cpu` and `mps`, which FAISS does not know, it computes on the CPU.

    Raises:
        EncoderError: the device asked for is not there.
    """
    asked = os.environ.get("HEAP_DEVICE") or "auto"
    seen = list(range(faiss.get_num_gpus()))
    if asked == "auto":
        return seen
    kind, _, number = choose_device(asked).partition(":")
    if kind != "cuda":
        return []
    wanted = [int(number)] if number else seen
    if not set(wanted) <= set(seen) or not wanted:
        raise EncoderError(
            f"device {asked!r} was asked for, but FAISS sees {len(seen)} GPUs; install faiss-gpu, or set "
            "HEAP_DEVICE=cpu for the cluster stage"
        )
    return wanted


def placed(index: faiss.Index) -> faiss.Index:
    """Return an index on the GPUs that FAISS computes on, or itself (only run on CPUs so far)."""
    chosen = gpus()
    return faiss.index_cpu_to_gpus_list(index, gpus=chosen) if chosen else index
