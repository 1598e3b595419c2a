from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from heap.data import saliency
from heap.errors import DataError
from heap.settings.datasets import SaliencyDataset

SETTINGS = SaliencyDataset(layout="saliency", images="img", masks="gt")
PhotoMaker = Callable[..., Path]


def test_photos_and_masks_by_stem(tmp_path: Path, photo: PhotoMaker) -> None:
    for name in ("img/b.jpg", "img/ä 1.JPG", "gt/b.png", "gt/ä 1.PNG"):
        photo(name)
    # What real archives carry besides: a Mac's twins, lists, masks of other photos as .jpg (DUTS).
    for name in ("img/._b.jpg", "img/Thumbs.db", "gt/._b.png", "gt/notes.txt"):
        (tmp_path / name).write_bytes(b"?")
    photo("gt/other.jpg")
    first, second = saliency.read(SETTINGS, tmp_path).items
    assert (first.image_id, first.path, first.mask_path) == ("b", "img/b.jpg", "gt/b.png")
    assert (second.image_id, second.mask_path) == ("ä 1", "gt/ä 1.PNG")
    assert first.boxes is None
    assert first.split == ""


def test_a_photo_without_mask_and_a_mask_without_photo_are_named(tmp_path: Path, photo: PhotoMaker) -> None:
    photo("img/a.jpg")
    photo("img/b.jpg")
    photo("gt/a.png")
    with pytest.raises(DataError, match=r"gt/b\.png: no such mask"):
        saliency.read(SETTINGS, tmp_path)
    photo("gt/b.png")
    photo("gt/c.png")
    with pytest.raises(DataError, match=r"gt/c\.png: a mask without a photo"):
        saliency.read(SETTINGS, tmp_path)
    photo("img/c.jpg")
    photo("img/c.png")
    with pytest.raises(DataError, match=r"c\.png: a second photo of the stem of c\.jpg"):
        saliency.read(SETTINGS, tmp_path)


def test_photos_only(tmp_path: Path, photo: PhotoMaker) -> None:
    photo("img/a.jpg")
    items = saliency.read(SETTINGS.model_copy(update={"masks": None}), tmp_path).items
    assert [(item.image_id, item.mask_path) for item in items] == [("a", None)]
    (tmp_path / "img/b.tga").write_bytes(b"?")
    found = saliency.read(SETTINGS.model_copy(update={"masks": None}), tmp_path)
    assert found.warnings == ["1 photos of formats that are not read (1 .tga); convert them to JPEG or TIFF"]


def test_a_folder_that_may_not_be_listed_is_named(
    tmp_path: Path, photo: PhotoMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo("img/a.jpg")

    def refuses(folder: Path) -> None:  # root, as whom tests may run, may list every folder
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuses)
    with pytest.raises(DataError, match=r"img: a folder that cannot be listed \(Permission denied\)"):
        saliency.read(SETTINGS, tmp_path)


def test_missing_folders_name_the_key(tmp_path: Path, photo: PhotoMaker) -> None:
    with pytest.raises(DataError, match=r"img: no such folder \(key images"):
        saliency.read(SETTINGS, tmp_path)
    photo("img/a.jpg")
    with pytest.raises(DataError, match=r"gt: no such folder \(key masks"):
        saliency.read(SETTINGS, tmp_path)
    with pytest.raises(DataError, match="does not lie below"):
        saliency.read(SETTINGS.model_copy(update={"images": "../img"}), tmp_path / "img")


def test_real_layout(shared: Path) -> None:
    settings = SaliencyDataset(layout="saliency", images="images", masks="ground_truth_mask")
    items = saliency.read(settings, shared / "data/ecssd").items
    assert len(items) == 300
    assert all(Path(item.path).stem == Path(item.mask_path or "").stem == item.image_id for item in items)
