"""The reference of all configuration keys as Markdown, made from the settings' own types (docs/reference/config.md)."""

from __future__ import annotations

import json
from itertools import groupby

from heap.project.keys import Key, all_keys
from heap.project.reads import READS


def reference() -> str:
    """Return a table for each section of the configuration, a row a key."""
    return "\n\n".join(
        _table(section, list(keys)) for section, keys in groupby(all_keys(), lambda key: key.pattern.partition(".")[0])
    )


def _table(section: str, keys: list[Key]) -> str:
    rows = [
        f"| `{key.pattern}` | {_cell(key.kind)} | {_default(key)} | {_cell(key.meaning)} | {_stages(key)} |"
        for key in keys
    ]
    head = ["| key | type | default | meaning | an edit re-runs, and what follows |", "|---|---|---|---|---|"]
    return "\n".join([f"## {section}", "", *head, *rows])


def _default(key: Key) -> str:
    return "required" if key.required else f"`{json.dumps(key.default)}`"


def _stages(key: Key) -> str:
    return ", ".join(READS[key.pattern].stages) or "nothing"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")
