"""Fixtures of the cache's tests."""

from __future__ import annotations

import pytest
from process_farm import farm
from tiny_cache import Tiny

__all__ = ["farm", "made"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """An extracted dataset, one for each test file; tests damage copies of it."""
    tiny = Tiny(tmp_path_factory.mktemp("made"))
    tiny.make()
    return tiny
