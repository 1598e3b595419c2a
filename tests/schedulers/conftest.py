"""Fixtures of the tests that submit jobs."""

from workflow.running import small_config

__all__ = ["small_config"]
