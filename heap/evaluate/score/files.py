"""Which prediction belongs to which truth: files matched by stem, and everything that does not match named at once."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from heap.data.photos import SUFFIXES
from heap.errors import DataError
from heap.evaluate.problems import refuse

ARRAYS = (".npy",)
# What a mask or map may be kept in. HEIC cannot be read, and is no format for masks.
IMAGES = tuple(sorted(SUFFIXES - {".heic", ".heif"}))


@dataclass(frozen=True)
class Pairs:
    """Names that have both a prediction and a truth.

    Attributes:
        names: in sorted order.
        not_listed: predictions passed over because the list leaves their photo out.
    """

    names: list[str]
    not_listed: int


def normal(name: str) -> str:
    """Return a name with composed letters: a Mac writes an umlaut as two signs, and it is the same name."""
    return unicodedata.normalize("NFC", name)


def name_of(text: str, nested: bool) -> str:
    """Return the name that a line of a list, a JSON key or a path stands for: without folder and image suffix.

    Args:
        text: may hold folders and the suffix of an image; another dot belongs to the name.
        nested: names keep their folders.
    """
    path = PurePosixPath(normal(text))
    if path.suffix.lower() in (*IMAGES, *ARRAYS, ".xml"):
        path = path.with_name(path.name[: -len(path.suffix)])
    return path.as_posix() if nested else path.name


def visible(folder: Path, suffixes: Collection[str]) -> tuple[list[Path], int]:
    """Return the files with these suffixes (of any case) below a folder, sorted, and how many others there are.

    Hidden files and folders are passed over: archives packed on a Mac carry a twin `._x.png` of every file.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    every = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    chosen = [path for path in every if path.suffix.lower() in suffixes]
    return chosen, len(every) - len(chosen)


def are_nested(folder: Path, files: Iterable[Path]) -> bool:
    """Say whether two files of different folders share a stem, so that folders must belong to the names."""
    names = [name_of(path.relative_to(folder).as_posix(), nested=False) for path in files]
    return len(set(names)) < len(names)


def by_name(folder: Path, files: Iterable[Path], nested: bool) -> dict[str, Path]:
    """Return files by name.

    Raises:
        DataError: two files want one name; names them.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        found[name_of(path.relative_to(folder).as_posix(), nested)].append(path)
    twins = [" and ".join(str(p) for p in paths) for paths in found.values() if len(paths) > 1]
    refuse({"files of one name, of which only one can be meant": twins})
    return {name: paths[0] for name, paths in found.items()}


def truth_files(folder: Path) -> tuple[dict[str, Path], bool]:
    """Return true masks by name, and whether the names hold folders.

    Where there are PNGs only these count, as for a manifest: DUTS was published with stray JPEGs among its masks.

    Raises:
        DataError: there is no mask, or two of one name.
    """
    files, _ = visible(folder, IMAGES)
    files = [path for path in files if path.suffix.lower() == ".png"] or files
    if not files:
        raise DataError(f"{folder}: holds no mask ({', '.join(IMAGES)})")
    nested = are_nested(folder, files)
    return by_name(folder, files, nested), nested


def predicted_files(
    folder: Path, nested: bool, suffixes: Collection[str] = (*IMAGES, *ARRAYS)
) -> tuple[dict[str, Path], int]:
    """Return predictions by name, and how many files of other kinds were passed over.

    Raises:
        DataError: there is no prediction, or two of one name.
    """
    files, other = visible(folder, suffixes)
    if not files:
        raise DataError(f"{folder}: holds no prediction ({', '.join(sorted(suffixes))})")
    return by_name(folder, files, nested), other


def read_list(path: Path, nested: bool) -> list[str]:
    """Return the names of a list of photos, one a line; folders and suffixes may be there or not.

    Raises:
        DataError: unreadable or empty.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable as a list of photos ({error})") from error
    names = [name_of(line.strip(), nested) for line in lines if line.strip()]
    if not names:
        raise DataError(f"{path}: lists no photo")
    return list(dict.fromkeys(names))


def match(
    predicted: Mapping[str, object], true: Mapping[str, object], listed: Sequence[str] | None, where: str
) -> Pairs:
    """Return the names to score: all true ones, or the listed.

    Args:
        predicted: by name.
        true: by name.
        listed: only these photos; None takes all.
        where: what the predictions came from, for messages.

    Raises:
        DataError: a listed photo has no truth, a photo no prediction, or a prediction no truth; names them all.
    """
    wanted = list(true) if listed is None else list(listed)
    refuse(
        {
            "photos of the list have no truth": [name for name in wanted if name not in true],
            f"photos have no prediction in {where}": [n for n in wanted if n in true and n not in predicted],
            f"predictions of {where} have no truth": sorted(name for name in predicted if name not in true),
        }
    )
    return Pairs(sorted(wanted), len(predicted) - len(wanted))
