"""The configuration: pydantic models, the checks across them, and the frozen settings of each stage."""

from heap.settings.config import Config, load, parse
from heap.settings.freeze import frozen_text, read_frozen, section, settings_of

__all__ = ["Config", "frozen_text", "load", "parse", "read_frozen", "section", "settings_of"]
