"""One small trained model for the whole session."""

from __future__ import annotations

import pytest
from discover.small import Trained, make

from heap.discover.model import Model, load


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return make(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def model(trained: Trained) -> Model:
    return load(trained.path("results/head"), device="cpu")
