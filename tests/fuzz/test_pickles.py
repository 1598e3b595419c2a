"""Checkpoints and arrays from strangers are data: a pickle that would run something is refused, and does not run."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from discover.small import Trained
from fuzz.readers import checkpoint

from heap import parquet, paths
from heap.cluster import table as cluster_table
from heap.encoders.weights import read_state
from heap.errors import HeapError
from heap.head import folder as heads
from heap.head.checkpoint import Checkpoint


class Hostile:
    """Runs a command where it is unpickled by one who trusts it."""

    def __init__(self, path: Path) -> None:
        self.command = f"touch '{path}'"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (self.command,)


def readers(trained: Trained, folder: Path, hostile: Hostile) -> dict[str, Callable[[], object]]:
    """Return what reads a hostile file, by the kind of file."""
    for name in ("bare.pth", "head.safetensors", "checkpoint.pt"):
        content = pickle.dumps(hostile)
        (folder / name).write_bytes(checkpoint(content) if name == "checkpoint.pt" else content)
    torch.save({"teacher": {"a": torch.ones(2), "b": hostile}}, folder / "wrapped.pth")
    packed = io.BytesIO()
    torch.save({"identity": "x", "head": {}, "random": hostile}, packed)
    (folder / "packed.pt").write_bytes(checkpoint(packed.getvalue()))
    table = pq.read_table(trained.path(paths.clusters("scenes")))
    buffer = io.BytesIO()
    np.save(buffer, np.array([hostile], dtype=object), allow_pickle=True)
    metadata = {**table.schema.metadata, b"heap.centroids": buffer.getvalue()}
    parquet.write(folder / "clusters.parquet", table.replace_schema_metadata(metadata))
    return {
        "encoder, a bare pickle": lambda: read_state(folder / "bare.pth"),
        "encoder, within torch's archive": lambda: read_state(folder / "wrapped.pth"),
        "head": lambda: heads.load(folder / "head.safetensors", "cpu"),
        "training, a bare pickle": lambda: Checkpoint(folder / "checkpoint.pt", "x").read(),
        "training, within torch's archive": lambda: Checkpoint(folder / "packed.pt", "x").read(),
        "centroids": lambda: cluster_table.read(folder / "clusters.parquet"),
    }


def test_a_hostile_pickle_is_refused_and_does_not_run(trained: Trained, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    hostile = Hostile(trace)
    pickle.loads(pickle.dumps(hostile))
    assert trace.exists(), "it would run, were it trusted"
    trace.unlink()
    for kind, read in readers(trained, tmp_path, hostile).items():
        with pytest.raises(HeapError, match=str(tmp_path)):
            read()
        assert not trace.exists(), kind
