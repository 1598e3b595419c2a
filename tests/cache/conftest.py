"""Fixtures of the cache's tests."""

from process_farm import farm

__all__ = ["farm"]
