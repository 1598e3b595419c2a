from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from heap.data import folder
from heap.data.folder import image_ids

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
