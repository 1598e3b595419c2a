"""One small trained model for the whole session."""

from __future__ import annotations

import pytest
from discover.small import Trained

from heap.discover.model import Model, load


@pytest.fixture(scope="session")
def model(trained: Trained) -> Model:
    return load(trained.path("results/head"), device="cpu")
