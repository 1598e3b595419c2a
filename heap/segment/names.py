"""Which file holds the mask of which photo."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from heap.errors import DataError


def mask_name(image_id: str, suffix: str = ".png") -> PurePosixPath:
    """Return the name of a photo's mask inside the folder of masks.

    An image_id may hold slashes (nested folders), spaces and any sign a file name may; the suffix is added and nothing
    is replaced, so different ids never meet in one file.

    Raises:
        DataError: the id would lead out of the folder, or is no file name at all.
    """
    parts = image_id.split("/")
    if "\0" in image_id or any(part in ("", ".", "..") for part in parts):
        raise DataError(f"image id {image_id!r}: cannot name a mask (empty part, `.`, `..` or a zero byte)")
    return PurePosixPath(*parts[:-1], parts[-1] + suffix)


def mask_path(folder: str | Path, image_id: str, suffix: str = ".png") -> Path:
    """Return where the mask of a photo lies in `folder`.

    Raises:
        DataError: as `mask_name`.
    """
    return Path(folder) / mask_name(image_id, suffix)


def mask_names(image_ids: Iterable[str], suffix: str = ".png") -> set[PurePosixPath]:
    """Return the names of all masks of a dataset.

    Raises:
        DataError: two photos want one file, or the file of one is a folder of another.
    """
    names: set[PurePosixPath] = set()
    for image_id in image_ids:
        name = mask_name(image_id, suffix)
        if name in names:
            raise DataError(f"image id {image_id!r} stands twice")
        names.add(name)
    for name in names:
        for folder in name.parents:
            if folder in names:
                raise DataError(f"the mask {str(folder)!r} would be a folder of the mask {str(name)!r}")
    return names


def remove_stale(folder: Path, names: set[PurePosixPath], suffix: str = ".png") -> int:
    """Remove masks of photos that are no longer in the dataset (and temporary files of a killed run); return how many.

    Folders that become empty go too.
    """
    if not folder.is_dir():
        return 0
    stale = [
        path for path in folder.rglob("*" + suffix) if PurePosixPath(path.relative_to(folder).as_posix()) not in names
    ]
    removed = 0
    for path in stale:
        if path.is_dir() and not path.is_symlink():
            continue
        path.unlink()
        removed += 1
    # Deepest first, so that a folder of empty folders goes as well.
    for path in sorted((p for p in folder.rglob("*") if p.is_dir() and not p.is_symlink()), reverse=True):
        if not any(path.iterdir()):
            path.rmdir()
    return removed
