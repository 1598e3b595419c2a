"""Every key of the configuration, read off the settings' own types: meaning, type, range, default."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from heap.settings.base import Settings
from heap.settings.config import Config


@dataclass(frozen=True)
class Key:
    """A key of the configuration.

    Attributes:
        pattern: dotted; `*` stands for a name (`encoders.*.facet`) or a place in a list (`benchmarks.*.tasks.*.split`).
        owner: the settings type it belongs to; layouts and kinds may each have a key of the same pattern.
        name: its last part.
        meaning: what it is for.
        kind: type and allowed range, in words.
        choices: the values allowed, where they are listed.
        default: the value where none is given; None also where one must be given.
        required: one must be given.
    """

    pattern: str
    owner: type[Settings]
    name: str
    meaning: str
    kind: str
    choices: tuple[Any, ...] = field(compare=False)
    default: Any = field(compare=False)
    required: bool

    def fits(self, settings: object) -> bool:
        """Return whether `settings` is of the type that this key belongs to."""
        return type(settings) is self.owner


@cache
def all_keys() -> tuple[Key, ...]:
    """Return every key, in the order of the types."""
    return tuple(dict.fromkeys(_keys(Config, "")))  # an archive is the same in every layout


def _keys(owner: type[Settings], prefix: str) -> Iterator[Key]:
    schema = owner.model_json_schema()
    for name, about in owner.model_fields.items():
        pattern = f"{prefix}{name}"
        deeper, below = _below(about.annotation)
        if deeper:
            for part in deeper:
                yield from _keys(part, f"{pattern}{below}.")
        else:
            own, defs = schema["properties"][name], schema.get("$defs", {})
            words, choices = _words(own, defs), tuple(_choices(own, defs))
            yield Key(pattern, owner, name, _meaning(owner, name), words, choices, *_default(about))


def _below(annotation: Any) -> tuple[list[type[Settings]], str]:
    """Return the settings types that a field holds, and what stands for a name or number between (`.*`)."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _below(arguments[0])
    if origin in (Union, types.UnionType):
        found = [_below(part)[0] for part in arguments]
        if not all(parts or part is type(None) for part, parts in zip(arguments, found, strict=True)):
            return [], ""  # a plain value, or settings in its place: one key
        return [part for parts in found for part in parts], ""
    if origin in (dict, list):
        deeper, _ = _below(arguments[-1])
        return deeper, ".*" if deeper else ""
    return ([annotation], "") if isinstance(annotation, type) and issubclass(annotation, Settings) else ([], "")


def _meaning(owner: type[Settings], name: str) -> str:
    """Return a field's own docstring, else its base class's, else its type's."""
    for base in owner.__mro__:
        if issubclass(base, Settings) and name in base.model_fields and base.model_fields[name].description:
            return " ".join(str(base.model_fields[name].description).split())
    return " ".join((owner.__doc__ or "").split())


def _default(about: FieldInfo) -> tuple[Any, bool]:
    if about.is_required():
        return None, True
    value = about.get_default(call_default_factory=True)
    return (value.model_dump(mode="json") if isinstance(value, BaseModel) else value), False


_BOUNDS = (
    ("minimum", "at least {}"), ("ge", "at least {}"), ("exclusiveMinimum", "above {}"), ("gt", "above {}"),
    ("maximum", "at most {}"), ("le", "at most {}"), ("exclusiveMaximum", "below {}"), ("lt", "below {}"),
)  # fmt: skip
_PATTERNS = {
    r"^[A-Za-z][A-Za-z0-9_]*$": "a name", r"^[0-9a-f]{64}$": "64 hex digits", r"^[0-9a-f]{32}$": "32 hex digits",
    r"^https?://": "a URL (http or https)",
}  # fmt: skip
_PLAIN = {"number": "number", "integer": "integer", "boolean": "true or false", "null": "null"}


def _words(schema: dict[str, Any], defs: dict[str, Any]) -> str:
    """Return a JSON schema in words: `number, above 0`, `float16 or uint8`, `integer, at least 1, or null`."""
    if "$ref" in schema:
        return _words(defs[schema["$ref"].rsplit("/", 1)[-1]], defs)
    if "enum" in schema:
        return _either([str(value) for value in schema["enum"]])
    if "const" in schema:
        return str(schema["const"])
    bounds = [words.format(schema[key]) for key, words in _BOUNDS if key in schema]
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        # Numbers may be written as text (`5e-2` is text to PyYAML): no choice that a person has.
        number = any(choice.get("type") == "number" for choice in choices)
        parts = [_words(c, defs) for c in choices if not (number and c == {"type": "string"})]
        return ", ".join([_either(parts), *bounds])
    kind = schema.get("type")
    if kind == "array":
        lengths = {schema.get("minItems"), schema.get("maxItems")}
        count = f"{lengths.pop()} " if len(lengths) == 1 and None not in lengths else ""
        least = f" (at least {schema['minItems']})" if not count and "minItems" in schema else ""
        return f"list of {count}{_words(schema['items'], defs)}{least}"
    if kind == "object":
        values = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), True)
        return f"name: {_words(values, defs)}" if isinstance(values, dict) and values else "name: value"
    if kind == "string":
        pattern = schema.get("pattern")
        return _PATTERNS.get(pattern, f"text matching {pattern}") if pattern else "text"
    return ", ".join([_PLAIN.get(str(kind), "any value"), *bounds])


def _choices(schema: dict[str, Any], defs: dict[str, Any]) -> Iterator[Any]:
    """Yield the values that a JSON schema lists."""
    if "$ref" in schema:
        yield from _choices(defs[schema["$ref"].rsplit("/", 1)[-1]], defs)
    yield from schema.get("enum", [])
    for part in [*schema.get("anyOf", []), *schema.get("oneOf", [])]:
        yield from _choices(part, defs)
    if schema.get("type") == "array":
        yield from ([value] for value in _choices(schema["items"], defs))


def _either(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"
