"""Fixtures of the workflow tests."""

from running import small_config

__all__ = ["small_config"]
