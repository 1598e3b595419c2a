"""Masks stay in their folder, whatever an image is called."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from heap.errors import DataError
from heap.segment.names import mask_name, mask_names, mask_path, remove_stale

ODD = ["a b", "$(touch x)", "-rf", "Grüße/ärger", "<script>", "x.jpg", "a;b", "'\"", ".hidden", "new\nline", "a/b/c"]


@pytest.mark.parametrize("image_id", ODD)
def test_odd_ids_keep_their_name(image_id: str) -> None:
    assert str(mask_name(image_id)) == image_id + ".png"


@pytest.mark.parametrize("image_id", ["../x", "a/../../x", "/etc/x", "", "a//b", "a/", ".", "..", "a/.", "x\0y"])
def test_ids_that_lead_elsewhere_are_refused(image_id: str) -> None:
    with pytest.raises(DataError, match="image id"):
        mask_path("masks", image_id)


def test_ids_that_meet_are_refused() -> None:
    assert mask_names(["a", "a.png", "b/a"]) == {
        PurePosixPath("a.png"), PurePosixPath("a.png.png"), PurePosixPath("b/a.png"),
    }  # fmt: skip
    with pytest.raises(DataError, match="stands twice"):
        mask_names(["a", "b", "a"])
    with pytest.raises(DataError, match=r"'a\.png' would be a folder"):
        mask_names(["a", "a.png/b"])


def test_only_masks_of_photos_that_are_gone_are_removed(tmp_path: Path) -> None:
    for name in ("keep.png", "gone.png", "deep/gone.png", "deep/er/gone.png", ".temporary.png", "note.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    remove_stale(tmp_path, mask_names(["keep"]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keep.png", "note.txt"]


def test_a_link_to_another_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/x.png").write_bytes(b"")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/link").symlink_to(tmp_path / "elsewhere")
    remove_stale(tmp_path / "masks", set())
    assert (tmp_path / "elsewhere/x.png").exists()
