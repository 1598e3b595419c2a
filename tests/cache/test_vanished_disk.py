"""A dataset's disk that vanishes while photos are extracted: reported, and nothing of it is kept as a bad photo."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_cache import Tiny, payload

from heap.errors import DataError, PhotoError


@pytest.mark.parametrize("on_bad_image", ["fail", "skip"])
def test_the_disk_is_named_and_after_mounting_it_the_same_command_goes_on(tmp_path: Path, on_bad_image: str) -> None:
    tiny = Tiny(tmp_path / "tiny", photos=6)
    tiny.freeze(on_bad_image=on_bad_image)
    away = tiny.photos.with_name("unmounted")
    tiny.photos.rename(away)
    tiny.photos.mkdir()  # where it was mounted an empty folder is left
    with pytest.raises(DataError, match=r"photos.*0\d\.png: is gone .*if its disk was unmounted") as caught:
        tiny.extract()
    assert not isinstance(caught.value, PhotoError), "which `skip` would forgive"
    tiny.photos.rmdir()
    away.rename(tiny.photos)
    tiny.extract()
    reader = tiny.gather()
    assert reader.receipt.skipped == []
    whole = Tiny(tmp_path / "whole", photos=6)
    whole.freeze(on_bad_image=on_bad_image)
    assert payload(reader.folder) == payload(whole.make().folder)
