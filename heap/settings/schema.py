"""The configuration's JSON schema, generated from the settings' types for editors and for Snakemake."""

from __future__ import annotations

from typing import Any

import yaml

from heap.settings.config import Config

_HEADER = "# Generated from heap/settings by `heap schema`; do not edit. A test keeps the two in step.\n"


def schema_text() -> str:
    """Return the schema as YAML."""
    schema: dict[str, Any] = Config.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    text: str = yaml.safe_dump(schema, sort_keys=True, allow_unicode=True, width=120)
    return _HEADER + text
