"""Photos as people have them, from the folder to the cache: encoded as they look, or left out with a reason."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from tiny_cache import Tiny

from heap.data.photos import photo_size, read_photo
from heap.encoders.open import open_encoder
from heap.errors import PhotoError

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
PHOTO = Image.fromarray(PIXELS)


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    PHOTO.save(path, exif=exif)


def claims(path: Path, height_px: int, width_px: int) -> None:
    """A PNG of a hundred bytes that claims any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def truncated(path: Path) -> None:
    PHOTO.save(path)
    path.write_bytes(path.read_bytes()[:-900])


def loop(path: Path) -> None:
    path.symlink_to(path.name + ".other.jpg")
    (path.parent / (path.name + ".other.jpg")).symlink_to(path)


Make = Callable[[Path], object]
# name of the file: how it is made, and the size of what the encoder sees
GOOD: dict[str, tuple[Make, tuple[int, int]]] = {
    "turned.jpg": (turned, (56, 40)),
    "grey.png": (lambda path: PHOTO.convert("L").save(path), (40, 56)),
    "palette.png": (lambda path: PHOTO.quantize(16).save(path), (40, 56)),
    "alpha.png": (lambda path: PHOTO.convert("RGBA").save(path), (40, 56)),
    "deep.png": (lambda path: Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257).save(path), (40, 56)),
    "print.jpg": (lambda path: PHOTO.convert("CMYK").save(path), (40, 56)),
    "progressive.jpg": (lambda path: PHOTO.save(path, progressive=True), (40, 56)),
    "moving.gif": (lambda path: PHOTO.save(path, save_all=True, append_images=[PHOTO.rotate(90)]), (40, 56)),
    "thin.png": (lambda path: PHOTO.resize((1, 30)).save(path), (30, 1)),
    "wide.jpg": (lambda path: PHOTO.resize((12_000, 5)).save(path), (5, 12_000)),
    "one pixel.png": (lambda path: PHOTO.resize((1, 1)).save(path), (1, 1)),
    "really a png.jpg": (lambda path: PHOTO.save(path, format="PNG"), (40, 56)),
    "Straße im Süden 雨.jpg": (PHOTO.save, (40, 56)),
    "$(touch x).jpg": (PHOTO.save, (40, 56)),
    "-rf.jpg": (PHOTO.save, (40, 56)),
    "two\nlines.jpg": (PHOTO.save, (40, 56)),
    "'quote\" & ; | *.jpg": (PHOTO.save, (40, 56)),
}
# name of the file: how it is made, and a word of the reason
BAD: dict[str, tuple[Make, str]] = {
    "truncated.jpg": (truncated, "truncated"),
    "empty.jpg": (lambda path: path.write_bytes(b""), "the file is empty"),
    "letter.jpg": (lambda path: path.write_text("Dear Sir or Madam"), "not a photo in a known format"),
    "phone.heic": (lambda path: path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0"), "not a photo in a known format"),
    "gone.jpg": (lambda path: path.symlink_to("nowhere.jpg"), "No such file"),
    "loop.jpg": (loop, "symbolic links"),
    "float.tif": (lambda path: Image.fromarray(PIXELS[:, :, 0].astype(np.float32)).save(path), "floating point"),
    "bomb.png": (lambda path: claims(path, 30_000, 20_000), "30000 x 20000 px are 9375000 patches"),
    "large.png": (lambda path: Image.new("RGB", (2056, 2048)).save(path), "2048 x 2056 px are 65792 patches"),
}


def folder_of(tmp_path: Path, files: dict[str, Make]) -> Tiny:
    tiny = Tiny(tmp_path / "tiny", photos=1)
    for name, make in files.items():
        make(tiny.photos / name)
    return tiny


def test_every_good_photo_is_encoded_as_it_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = folder_of(tmp_path, {name: make for name, (make, _) in GOOD.items()})
    tiny.freeze(on_bad_image="fail", max_px=None)
    tiny.list_photos("fail")
    reader = tiny.make()
    assert reader.receipt.skipped == []
    encoder = open_encoder(tiny.config.encoders["descriptors"], {}, "cpu")
    found = {row.path: i for i, row in enumerate(reader.images.itertuples())}
    assert set(found) == {*GOOD, "00.png"}
    for name, (_, size) in GOOD.items():
        row = reader.images.iloc[found[name]]
        assert (row["input_h_px"], row["input_w_px"]) == size, name
        live = encoder.encode(read_photo(tiny.photos / name)[None]).features[0]
        np.testing.assert_array_equal(reader.features(found[name]), live.astype(np.float16).astype(np.float32))
    assert not list(tmp_path.rglob("x")), "no name was run by a shell"


def test_every_bad_photo_is_left_out_counted_and_listed_with_its_reason(tmp_path: Path) -> None:
    tiny = folder_of(tmp_path, {name: make for name, (make, _) in BAD.items()})
    (tiny.photos / "folder.jpg").mkdir()  # a folder is no photo, whatever its name; it is looked into
    PHOTO.save(tiny.photos / "folder.jpg" / "inside.jpg")
    tiny.freeze(max_px=None)
    tiny.list_photos()
    reader = tiny.make()
    assert reader.images["path"].tolist() == ["00.png", "folder.jpg/inside.jpg"]
    said = {Path(item.reason.split(": ")[0]).name: item.reason for item in reader.receipt.skipped}
    for name, (_, reason) in BAD.items():
        assert reason in said[name], said[name]
    assert set(said) == {*BAD, "loop.jpg.other.jpg"}
    assert reader.receipt.as_json()["images"] == 2
    assert reader.receipt.rows_per_shard < 100, "the bomb sized no shard"


@pytest.mark.parametrize("name", BAD)
def test_a_benchmark_stops_at_a_bad_photo_and_names_it(tmp_path: Path, name: str) -> None:
    tiny = folder_of(tmp_path, {name: BAD[name][0]})
    tiny.freeze(on_bad_image="fail", max_px=None)

    def run() -> None:
        tiny.list_photos("fail")
        tiny.extract()

    with pytest.raises(PhotoError) as caught:
        run()
    assert name in str(caught.value)
    assert BAD[name][1] in str(caught.value)


def test_a_large_photo_is_scaled_where_max_px_says_so(tmp_path: Path) -> None:
    tiny = folder_of(tmp_path, {"large.png": BAD["large.png"][0]})
    tiny.freeze(on_bad_image="fail", max_px=64)
    tiny.list_photos("fail")
    reader = tiny.make()
    assert reader.images["input_w_px"].tolist() == [56, 64]


def test_another_limit_makes_no_other_store(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path, photos=4)
    first = tiny.extract()["fingerprint"]
    tiny.freeze(max_patches=100)
    again = tiny.extract()
    assert again["fingerprint"] == first
    assert again["photos_encoded"] == 0
    tiny.freeze(max_patches=30)
    fewer = tiny.extract()
    assert len(fewer["refused"]) == 2
    assert fewer["fingerprint"] != first
    tiny.freeze(max_patches=2)
    with pytest.raises(PhotoError, match=r"4 photos are too large, the first: 00\.png: 40 x 56 px are 35 patches"):
        tiny.extract()


def test_a_file_that_may_not_be_read_is_a_bad_photo(tmp_path: Path) -> None:
    """Root may read everything, so root becomes nobody for a moment."""
    tiny = Tiny(tmp_path, photos=2)
    secret = tiny.photos / "01.png"
    secret.chmod(0)
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(PhotoError, match=r"01\.png: not readable as a photo \(Permission denied\)"):
            photo_size(secret)
    finally:
        os.seteuid(me)
