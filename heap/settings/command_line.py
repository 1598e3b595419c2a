"""Settings as they come from `snakemake --config`."""

from __future__ import annotations

from typing import Any

import yaml


def typed(given: Any) -> Any:
    """Return what was given on the command line with numbers, truth values and null in place of their text.

    Snakemake reads what stands inside braces or brackets as text only: `train={seeds: [0, 1]}` arrives as `["0", "1"]`.
    Here plain words become what they would be in the configuration's file; all else stays text.
    """
    if isinstance(given, dict):
        return {key: typed(value) for key, value in given.items()}
    if isinstance(given, list):
        return [typed(value) for value in given]
    if not isinstance(given, str) or not given:
        return given
    try:
        read = yaml.safe_load(given)
    except (yaml.YAMLError, ValueError):  # ValueError: a date that does not exist
        return given
    return read if read is None or isinstance(read, bool | int | float) else given
