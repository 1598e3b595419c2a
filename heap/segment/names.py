"""One file a photo in the folder of an output: its name, and what else may stand there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from heap import paths
from heap.errors import DataError
from heap.files import make_folder, sync_tree


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


@contextmanager
def folder_of(receipt: Path, image_ids: Iterable[str], suffix: str = ".png") -> Iterator[Path]:
    """Yield the folder of an output, to be filled with one file a photo.

    Afterwards files of photos that are no longer in the dataset are gone and the rest is on the disk, so the receipt
    may be written.

    Raises:
        DataError: as `mask_names`; nothing was written.
    """
    names = mask_names(image_ids, suffix)
    folder = paths.folder_of(receipt)
    make_folder(folder)
    yield folder
    remove_stale(folder, names, suffix)
    sync_tree(folder)


def remove_stale(folder: Path, names: set[PurePosixPath], suffix: str = ".png") -> None:
    """Remove files of photos that are no longer in the dataset, temporary ones of a killed run, and empty folders."""
    below = [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
    for path in below:
        if path.name.endswith(suffix) and PurePosixPath(path.relative_to(folder).as_posix()) not in names:
            path.unlink()
    # Deepest first, so that a folder of empty folders goes as well.
    for path in sorted((p for p in folder.rglob("*") if p.is_dir() and not p.is_symlink()), reverse=True):
        if not any(path.iterdir()):
            path.rmdir()
