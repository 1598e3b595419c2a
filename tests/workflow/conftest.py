"""Fixtures of the workflow tests."""

from workflow.running import small_config

__all__ = ["small_config"]
