"""Fixtures of the whole suite."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from discover.small import Trained

# One thread a process, before anything loads torch: on arrays as small as these, threads that wait for each other took
# two thirds of the suite's processor time, and so no figure of a test depends on the number of cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A law that takes 0.3 s on a busy machine is no broken law: hypothesis' deadline of 0.2 s looks at a clock.
hypothesis.settings.register_profile("heap", deadline=None)
hypothesis.settings.load_profile("heap")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True, scope="session")
def _weights_of_nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test finds, or leaves, weights in the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _only_this_machine() -> Iterator[None]:
    """No test connects to another machine: `make test` passes without a network, and CI does not hang on one."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test connects to {address}")
        real(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The developers' folder of real photos and golden data, or a skip that says why."""
    folder = Path(os.environ.get("HEAP_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder} (set HEAP_SHARED)")
    return folder


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    """Outputs of the peers' own code."""
    return shared / "golden"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One small dataset with everything that the stages make of it, for all tests that only read it."""
    from discover.small import make  # here, so that other tests do not load torch

    return make(tmp_path_factory.mktemp("trained"))
