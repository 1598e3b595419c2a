"""What one stage hands to the next in JSON, checked where it is read: a damaged or foreign file is named.

A kind of receipt lists the keys that its reader relies on; more may stand in the file. It lives with its reader.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from heap.errors import DataError, HeapError
from heap.files import read_json

# Counts of this size fit every array and every float; larger ones are damage.
Number = Annotated[int, Field(ge=0, le=2**53)]
Positive = Annotated[int, Field(ge=1, le=2**53)]


class Receipt(BaseModel):
    """Base of all kinds: types are exact, and there may be more keys than those that are listed."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that was read, every key of it."""
        return self.model_dump(exclude_unset=True)


R = TypeVar("R", bound=Receipt)


class Stamp(Receipt):
    """Size and CRC-32 of a file, as it was written."""

    bytes: Number
    crc32: Number


class Skipped(Receipt):
    """A photo that was left out."""

    image_id: str
    reason: str


class Weights(Receipt):
    """Which weights an encoder had."""

    source: str
    file: str | None = None
    sha256: str | None = None
    checksum: str | None = None


def read_receipt(path: str | Path, kind: type[R], what: str, error: type[HeapError] = DataError) -> R:
    """Read a receipt.

    Args:
        path: of the JSON file.
        kind: the keys it must have.
        what: what it is called, with its article ("the receipt of a training").
        error: what is raised where it is something else.

    Raises:
        DataError: the file is missing, or no JSON.
        HeapError: `error`, where it is something else; names the file and the first wrong key.
    """
    return check(read_json(path), kind, f"{path}: not {what}", error)


def check(content: Any, kind: type[R], problem: str, error: type[HeapError] = DataError) -> R:
    """Return `content` as this kind, or raise `error`, beginning with `problem` and naming the first wrong key."""
    try:
        return kind.model_validate(content)
    except ValidationError as found:
        raise error(f"{problem} ({in_words(found)})") from None


def in_words(error: ValidationError) -> str:
    """Return the first thing that is wrong: its key and the reason."""
    first = error.errors(include_url=False, include_input=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    return f"{key}: {first['msg']}" if key else str(first["msg"])
