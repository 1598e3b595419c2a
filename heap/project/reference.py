"""The reference of all configuration keys as Markdown, made from the settings' own types (docs/reference/config.md)."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

from heap.errors import SettingsError
from heap.project import explain
from heap.settings import load, parse
from heap.settings.config import read
from heap.settings.keys import Key, all_keys

_KIND = "what another kind of this changes"
_INPUTS = "what reads other files then"


def reference(config: Path = Path("config/config.yaml")) -> str:
    """Return a table for each section of the configuration, a row a key; `config` is what edits are tried on."""
    stages = stages_of_keys(config)
    return "\n\n".join(
        _table(section, list(keys), stages)
        for section, keys in groupby(all_keys(), lambda key: key.pattern.partition(".")[0])
    )


def stages_of_keys(config: Path) -> dict[Key, str]:
    """Return for each key of a configuration the stages whose resolved settings an edit of it changes, in words."""
    raw, loaded = read(config), load(config)
    before, found = explain.resolved(loaded), dict[Key, str]()
    for place in explain.places(loaded):
        if found.get(place.key, _KIND) != _KIND:
            continue
        try:
            after = parse(explain.edited(raw, place.path, explain.another(raw, loaded, place)))
        except SettingsError:
            found[place.key] = _KIND
            continue
        changed = explain.differences(before, explain.resolved(after))
        stages = dict.fromkeys(job.partition("/")[0] for job in explain.reruns(changed))
        found[place.key] = ", ".join(stages) or ("nothing" if changed else _INPUTS)
    return found


def _table(section: str, keys: list[Key], stages: dict[Key, str]) -> str:
    rows = [
        f"| `{key.pattern}` | {_cell(key.kind)} | {_default(key)} | {_cell(key.meaning)} | {stages.get(key, _KIND)} |"
        for key in keys
    ]
    head = ["| key | type | default | meaning | an edit re-runs, and what follows |", "|---|---|---|---|---|"]
    return "\n".join([f"## {section}", "", *head, *rows])


def _default(key: Key) -> str:
    return "required" if key.required else f"`{json.dumps(key.default)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")
