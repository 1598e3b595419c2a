"""Damage to files: bytes flipped, cut, doubled or strewn in; JSON whose values are of other types, sizes, depths."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

# What stands in a place where something else was expected. Python's JSON reads and writes NaN and infinities.
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"), "",
    "0", "x", "../../etc/passwd", "/dev/null", "a\0b", "\ud800", "x" * 5000, [], {}, [None], [[]], [[1, 2], [3]],
    {"": {}}, {"a": None}, [1e308] * 5,
]  # fmt: skip
DEEP = 400  # below Python's own limit of nesting, so that it reaches our code


def nested(depth: int) -> Any:
    """Return lists within lists."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes with one to three damages."""
    result = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["flip", "flip", "cut", "drop", "double", "insert", "blank"]))
        at = draw(st.integers(0, max(0, len(result) - 1)))
        size = draw(st.sampled_from([1, 2, 4, 8, 64, 1000]))
        if kind == "flip" and result:
            result[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del result[at:]
        elif kind == "drop":
            del result[at : at + size]
        elif kind == "double":
            result[at:at] = result[at : at + size]
        elif kind == "insert":
            result[at:at] = draw(st.binary(min_size=1, max_size=8))
        else:
            result[at : at + size] = bytes([draw(st.sampled_from([0, 255]))]) * len(result[at : at + size])
    return bytes(result)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values within a JSON value, its own among them."""
    found = [path]
    if isinstance(value, dict):
        for key, one in value.items():
            found += places(one, (*path, key))
    elif isinstance(value, list):
        for number, one in enumerate(value[:4]):  # entries of a long list are alike
            found += places(one, (*path, number))
    return found


@st.composite
def twisted(draw: st.DrawFn, content: Any) -> Any:
    """A JSON value of which one or two places are lost, of another type, or out of all proportion."""
    value = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(places(value)))
        odd = draw(st.sampled_from([*ODD, "deep", "lose", "add"]))
        new = nested(DEEP) if odd == "deep" else copy.deepcopy(odd)
        if not path:
            value = new
            continue
        parent = value
        for step in path[:-1]:
            parent = parent[step]
        if odd == "lose":
            del parent[path[-1]]
        elif odd == "add" and isinstance(parent, dict):
            parent["unexpected"] = 1
        else:
            parent[path[-1]] = new
    return value


def as_json(value: Any) -> bytes:
    """Return a twisted value as a file would hold it; a lone surrogate stands escaped, which JSON allows."""
    return json.dumps(value).encode()
