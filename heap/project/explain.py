"""What an edit of the configuration costs: resolved settings before and after it, and Snakemake's own plan."""

from __future__ import annotations

import copy
import difflib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from heap.errors import SettingsError
from heap.project.records import outputs
from heap.settings import Config, parse, settings_of
from heap.settings.config import splits_of
from heap.settings.freeze import names_of
from heap.settings.keys import Key, all_keys
from heap.settings.resolved import STAGES

# Changed settings by job (`segment/scenes`): each key with its value before and after; None where it was not there.
Difference = dict[str, dict[str, tuple[Any, Any]]]


@dataclass(frozen=True)
class Place:
    """One key at its place in a configuration.

    Attributes:
        key: what the settings' types say of it.
        path: dotted, with names in place of `*` (`encoders.dino_vits8.facet`).
        value: the present one.
    """

    key: Key
    path: str
    value: Any


def places(config: Config) -> list[Place]:
    """Return every key of a configuration at its place, in the order of the file's sections."""
    return list(_places(config, "", ""))


def _places(settings: BaseModel, path: str, pattern: str) -> Iterator[Place]:
    own = {key.pattern: key for key in all_keys() if key.fits(settings)}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        here, general = f"{path}{name}", f"{pattern}{name}"
        if general in own:
            plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
            yield Place(own[general], here, plain)
        elif isinstance(value, BaseModel):
            yield from _places(value, f"{here}.", f"{general}.")
        else:
            for part, below in value.items() if isinstance(value, Mapping) else enumerate(value or []):
                yield from _places(below, f"{here}.{part}.", f"{general}.*.")


def find(config: Config, asked: str) -> list[Place]:
    """Return the key called `asked`, or those below it (`datasets.ecssd`, `train.loss`); all for "".

    Raises:
        SettingsError: the configuration has no such key; the message names the nearest.
    """
    every = places(config)
    found = [place for place in every if asked in ("", place.path) or place.path.startswith(f"{asked}.")]
    # Names that a key holds (`splits.train`, `overrides.head`) belong to the key's value.
    found = found or [place for place in every if asked.startswith(f"{place.path}.") and isinstance(place.value, dict)]
    if found:
        return found
    names = [place.path for place in every] + [place.path.rsplit(".", 1)[0] for place in every]
    near = difflib.get_close_matches(asked, names, n=3, cutoff=0.5)
    near += [place.path for place in every if place.key.name == asked.rsplit(".", 1)[-1]][:3]
    hint = f"; did you mean {', '.join(dict.fromkeys(near))}?" if near else ""
    raise SettingsError(f"{asked}: no such key in the configuration{hint}")


def edited(raw: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a configuration, as YAML reads it, with another value at a dotted path."""
    changed: Any = copy.deepcopy(dict(raw))
    place, (*parents, last) = changed, path.split(".")
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
    place[int(last) if isinstance(place, list) else last] = value
    return changed


def another(raw: Mapping[str, Any], config: Config, place: Place) -> Any:
    """Return another value that a key may have.

    Raises:
        SettingsError: none of those that suggest themselves is valid alone, as of `kind`: another kind has other keys.
    """
    old, sections = place.value, (config.encoders, config.models, config.datasets, config.benchmarks)
    likely: list[Any] = []
    if isinstance(old, bool):
        likely = [not old]
    elif isinstance(old, int | float):
        likely = [old + 1, old - 1, old * 2, old / 2, 0, 4096, 0.25]
    elif isinstance(old, list):
        likely = [old[:-1], old[::-1], [*old, *old]]
    elif isinstance(old, dict):
        likely = [{}, {**old, "other": ["a"]}, {**old, "other": {}}]
    also = [
        *place.key.choices,
        0.3,
        3,
        8,
        True,
        [0, 3],
        [0.1, 0.2, 0.3],
        [160, 160],
        "a" * 64,
        "b" * 32,
        "https://other.example/a",
    ]
    also += ["other", "same", *(split for dataset in config.datasets.values() for split in splits_of(dataset))]
    also += [name for section in sections for name in section]
    for value in (*likely, *also, None):
        if type(value) is type(old) and value == old:
            continue
        try:
            parse(edited(raw, place.path, value))
        except (SettingsError, KeyError, TypeError):
            continue
        return value
    raise SettingsError(f"{place.path}: no other value alone is valid here; say one: heap explain {place.path} VALUE")


def resolved(config: Config) -> dict[str, dict[str, Any]]:
    """Return the resolved settings of every job, flat: dotted keys."""
    return {
        f"{stage}/{name}": dict(_flat(settings_of(config, stage, name)))
        for stage in STAGES
        for name in names_of(config, stage)
    }


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from _flat(below, f"{path}.{key}" if path else key)
    else:
        yield path, value


def differences(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> Difference:
    """Return what two `resolved` differ in, jobs that only the later one has included."""
    found: Difference = {}
    for job, now in after.items():
        then = before.get(job, {})
        keys = [key for key in {**then, **now} if then.get(key) != now.get(key) or (key in then) != (key in now)]
        if keys:
            found[job] = {key: (then.get(key), now.get(key)) for key in keys}
    return found


def reruns(changed: Difference) -> list[str]:
    """Return the jobs of a difference that run again: those in which more than runtime options differ."""
    return [job for job, keys in changed.items() if any(not key.startswith("runtime.") for key in keys)]


def plan(folder: Path, raw: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what Snakemake would make again of what was made in a project, with `raw` as its configuration.

    Returns:
        Files by rule.

    Raises:
        SettingsError: Snakemake cannot plan; in its words.
    """
    made = [path for path in outputs(folder) if (folder / path).is_file()]
    if not made:
        return {}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(raw, file)
        file.flush()
        command = [sys.executable, "-m", "snakemake", "--summary", "--nolock", "--configfile", file.name, "--", *made]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SettingsError(f"{folder}: Snakemake cannot plan: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, list[str]] = {}
    for row in (line.split("\t") for line in done.stdout.splitlines()):
        if row[-1] == "update pending":
            found.setdefault(row[2], []).append(row[0])
    return found
