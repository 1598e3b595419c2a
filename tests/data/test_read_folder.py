from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from heap.data import folder
from heap.data.folder import image_ids
from heap.data.manifest import build
from heap.data.photos import read_photo
from heap.errors import DataError, PhotoError
from heap.settings.datasets import FolderDataset

PhotoMaker = Callable[..., Path]


def test_nested_folders_odd_names_and_other_files(tmp_path: Path, photo: PhotoMaker) -> None:
    for name in ("b.jpg", "a/Straße im Süden.JPG", "a/x.jpg", "a/x.png", "a/deep/er/y.WebP", "a.b/c.d.jpg"):
        photo(name.replace(".WebP", ".webp")).rename(tmp_path / name)
    for name in ("notes.txt", "movie.mov", "._b.jpg", ".thumbs/b.jpg", "__MACOSX/b.jpg", "no_suffix"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"?")
    (tmp_path / "phone.HEIC").write_bytes(b"?")  # not readable, but reported
    items = folder.read(tmp_path).items
    assert [(item.image_id, item.path) for item in items] == [
        ("a.b/c.d", "a.b/c.d.jpg"),
        ("a/Straße im Süden", "a/Straße im Süden.JPG"),
        ("a/deep/er/y", "a/deep/er/y.WebP"),
        ("a/x.jpg", "a/x.jpg"),  # two photos of one stem keep their suffixes
        ("a/x.png", "a/x.png"),
        ("b", "b.jpg"),
        ("phone", "phone.HEIC"),
    ]


def test_links_are_followed_once_and_loops_end(tmp_path: Path, photo: PhotoMaker) -> None:
    photo("root/a/x.jpg")
    photo("elsewhere/y.jpg")
    root = tmp_path / "root"
    (root / "a/up").symlink_to(root)
    (root / "a/self").symlink_to(root / "a")
    (root / "0").symlink_to(root / "a")  # sorts before the folder itself, which keeps its name all the same
    (root / "a/deep").mkdir()
    (root / "a/deep/z").symlink_to(root / "z")  # met before the folder itself is
    photo("root/z/z.jpg")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "link2").symlink_to(tmp_path / "elsewhere")
    (root / "broken.jpg").symlink_to(tmp_path / "gone.jpg")
    (root / "broken").symlink_to(tmp_path / "gone")
    assert [item.path for item in folder.read(root).items] == ["a/x.jpg", "broken.jpg", "link/y.jpg", "z/z.jpg"]


def test_photos_of_formats_that_are_not_read_are_counted_by_suffix(tmp_path: Path, photo: PhotoMaker) -> None:
    for name, form in (("a.mpo", "MPO"), ("b.pnm", "PPM"), ("c.pbm", "PPM"), ("d.apng", "PNG")):
        photo("x.png").rename(tmp_path / name)
        Image.new("1" if name == "c.pbm" else "RGB", (8, 6)).save(tmp_path / name, format=form)
        assert read_photo(tmp_path / name).shape == (6, 8, 3)
    for name in ("e.dng", "f.DNG", "sub/g.jxl", "h.txt", "noext"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"?")
    found = folder.read(tmp_path)
    assert [item.path for item in found.items] == ["a.mpo", "b.pnm", "c.pbm", "d.apng"]
    assert found.warnings == ["3 photos of formats that are not read (2 .dng, 1 .jxl); convert them to JPEG or TIFF"]


@pytest.mark.parametrize("files", [(folder.PREDICT_RECORD,), (".done/x.json", "instances.json")])
def test_results_of_predict_are_no_photos(tmp_path: Path, photo: PhotoMaker, files: tuple[str, ...]) -> None:
    for name in ("a.jpg", "found/masks/a.png", "found/overlays/deep/a.jpg", "found/b.jpg", "masks/c.png"):
        photo(name)
    for name in files:
        (tmp_path / "found" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "found" / name).write_text("{}")
    found = folder.read(tmp_path)
    assert [item.path for item in found.items] == ["a.jpg", "found/b.jpg", "masks/c.png"]
    assert found.warnings == ["2 masks and overlays of heap predict in found are no photos and were left out"]


def test_a_folder_that_may_not_be_listed_stands_among_the_photos(
    tmp_path: Path, photo: PhotoMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo("a.jpg")
    photo("lost+found/b.jpg")
    scandir = os.scandir

    def refuses(path: Path) -> Iterator[os.DirEntry[str]]:  # root, as whom tests may run, may list every folder
        if Path(path).name == "lost+found":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuses)
    good, closed = folder.read(tmp_path).items
    assert (good.path, good.problem) == ("a.jpg", None)
    assert (closed.image_id, closed.path) == ("lost+found", "lost+found")
    with pytest.raises(DataError, match=r"lost\+found: a folder that cannot be listed \(Permission denied\)"):
        folder.read(tmp_path / "lost+found")
    settings = FolderDataset(layout="folder")
    made = build(settings, "mine", tmp_path)
    assert made.info["skipped"] == [
        {
            "path": "lost+found",
            "reason": f"{tmp_path / 'lost+found'}: a folder that cannot be listed (Permission denied)",
        }
    ]
    with pytest.raises(PhotoError, match=r"lost\+found: .*on_bad_image: skip"):
        build(settings.model_copy(update={"on_bad_image": "fail"}), "mine", tmp_path)


def test_a_kept_suffix_may_meet_another_id() -> None:
    assert image_ids(["a.jpg", "a.png", "a.jpg.png"]) == ["a.jpg", "a.png", "a.jpg.png"]
    assert image_ids(["a.jpg", "b.jpg"]) == ["a", "b"]


names = st.lists(
    st.tuples(st.sampled_from("ab"), st.lists(st.sampled_from([".jpg", ".png", ".b"]), max_size=3)).map(
        lambda parts: parts[0] + "".join(parts[1]) + ".jpg"
    ),
    unique=True,
)


@given(names)
def test_ids_are_unique(paths: list[str]) -> None:
    ids = image_ids(sorted(paths))
    assert len(set(ids)) == len(paths)


def test_real_photos(shared: Path) -> None:
    items = folder.read(shared / "data/photos").items
    assert len(items) == 150
    assert items[0].image_id == "n01440764_tench"
