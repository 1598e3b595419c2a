from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageFile, ImageOps, PngImagePlugin

from heap.data import photos
from heap.data.photos import input_size, photo_size, read_photo
from heap.errors import PhotoError

# Four colours in four corners: every one of the eight orientations looks different.
RED, GREEN, BLUE, GREY = (250, 10, 10), (10, 240, 10), (10, 10, 250), (120, 120, 120)


def corners(height: int = 64, width: int = 96) -> Image.Image:
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = RED, GREEN
    image[height // 2 :, : width // 2], image[height // 2 :, width // 2 :] = BLUE, GREY
    return Image.fromarray(image)


# What a viewer shows at top left, top right, bottom left, bottom right, by the EXIF standard's table.
UPRIGHT = {
    1: (RED, GREEN, BLUE, GREY),
    2: (GREEN, RED, GREY, BLUE),  # mirrored left to right
    3: (GREY, BLUE, GREEN, RED),  # turned by 180 degrees
    4: (BLUE, GREY, RED, GREEN),  # mirrored top to bottom
    5: (RED, BLUE, GREEN, GREY),  # rows are columns
    6: (BLUE, RED, GREY, GREEN),  # to be turned clockwise
    7: (GREY, GREEN, BLUE, RED),
    8: (GREEN, GREY, RED, BLUE),  # to be turned counterclockwise
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_of_all_formats_end_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"x.{suffix}"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"tiffinfo": {ExifTags.Base.Orientation: orientation}} if suffix == "tiff" else {"exif": exif}
    corners().save(path, quality=95, **options)
    size = (64, 96) if orientation < 5 else (96, 64)
    assert photo_size(path) == size
    pixels = read_photo(path).astype(int)
    assert pixels.shape == (*size, 3)
    seen = pixels[8, 8], pixels[8, -8], pixels[-8, 8], pixels[-8, -8]
    np.testing.assert_allclose(seen, UPRIGHT[orientation], atol=20)  # lossy formats


@pytest.mark.parametrize("value", [0, 9, 300])
def test_an_impossible_orientation_is_none(tmp_path: Path, value: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    corners().save(tmp_path / "x.png", exif=exif)
    assert photo_size(tmp_path / "x.png") == (64, 96)
    assert tuple(read_photo(tmp_path / "x.png")[0, 0]) == RED


def test_damaged_exif_leaves_the_photo_readable(tmp_path: Path) -> None:
    corners().save(tmp_path / "x.jpg", quality=95, exif=b"Exif\0\0MM\0*\xff\xff\xff\xffrubbish")
    assert photo_size(tmp_path / "x.jpg") == (64, 96)
    assert read_photo(tmp_path / "x.jpg").shape == (64, 96, 3)


def test_exif_behind_a_pngs_pixels_does_not_make_size_and_pixels_disagree(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    buffer = io.BytesIO()
    corners().save(buffer, "png")
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(data)) + b"eXIf" + data + struct.pack(">I", zlib.crc32(b"eXIf" + data))
    path = tmp_path / "x.png"
    path.write_bytes(buffer.getvalue()[:-12] + chunk + buffer.getvalue()[-12:])
    assert read_photo(path).shape[:2] == photo_size(path)


def test_modes_become_rgb(tmp_path: Path) -> None:
    def read(image: Image.Image, name: str = "x.png", **options: object) -> tuple[int, ...]:
        image.save(tmp_path / name, **options)
        pixels = read_photo(tmp_path / name)
        assert pixels.dtype == np.uint8
        assert pixels.shape == (3, 5, 3)
        assert pixels.flags.writeable
        return tuple(int(value) for value in pixels[1, 2])

    size = (5, 3)
    assert read(Image.new("L", size, 77)) == (77, 77, 77)
    assert read(Image.new("1", size, 1)) == (255, 255, 255)
    assert read(Image.new("RGB", size, RED).quantize(4)) == RED
    assert read(Image.new("CMYK", size, (0, 255, 255, 0)), "x.tif") == (255, 0, 0)
    # JPEG as cameras' printers make it: decoded without the inversion that Adobe's marker asks for, red would be cyan.
    red, green, blue = read(Image.new("CMYK", size, (0, 255, 255, 0)), "x.jpg", quality=95)
    assert red > 240
    assert max(green, blue) < 15
    # Transparency over white: 0.5 of red and 0.5 of white; fully transparent is white, whatever colour lies under it.
    assert read(Image.new("RGBA", size, (255, 0, 0, 128))) == (255, 127, 127)
    assert read(Image.new("RGBA", size, (0, 0, 0, 0)), "x.webp", lossless=True) == (255, 255, 255)
    assert read(Image.new("LA", size, (0, 0))) == (255, 255, 255)
    assert read(Image.new("P", size, 3), "x.gif", transparency=3) == (255, 255, 255)
    # 16 bit: 0..65535 onto 0..255, and not cut off at 255.
    assert read(Image.fromarray(np.full((3, 5), 65535, np.uint16))) == (255, 255, 255)
    assert read(Image.fromarray(np.full((3, 5), 32768, np.uint16))) == (128, 128, 128)
    assert read(Image.fromarray(np.full((3, 5), 257 * 90, np.uint16)), "x.tif") == (90, 90, 90)


def tiff(values: np.ndarray, *, bits: int = 16, photometric: int = 1, sample_format: int = 1) -> bytes:
    """A TIFF of one strip, (H, W) or (H, W, C) of 16 bits a value, with the tags given."""
    height, width, *channels = values.shape
    samples = channels[0] if channels else 1
    data = values.astype("<u2").tobytes()
    entries = [
        (256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 8),
        (277, 3, samples), (278, 4, height), (279, 4, len(data)), (339, 3, sample_format),
    ]  # fmt: skip
    end = 8 + len(data) + 2 + 12 * len(entries) + 4
    body = b""
    for tag, kind, value in entries:  # of several samples the bits stand behind the entries
        several = tag == 258 and samples > 1
        body += struct.pack("<HHII", tag, kind, *((samples, end) if several else (1, value)))
    more = struct.pack(f"<{samples}H", *[bits] * samples) if samples > 1 else b""
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(entries)) + body + bytes(4) + more


@pytest.mark.parametrize(
    ("values", "tags", "expected"),
    [
        ([[0, 32768, 65535]], {}, [[0, 128, 255]]),
        ([[0, 32768, 65535]], {"photometric": 0}, [[255, 127, 0]]),  # white is zero
        ([[0, 16384, 32767]], {"sample_format": 2}, [[0, 128, 255]]),  # signed
        ([[0, 2048, 4095]], {}, [[0, 128, 255]]),  # 12 bits in 16
        ([[0, 2048, 4096]], {}, [[0, 8, 16]]),  # 13 bits are a dark photo of 16
        ([[0, 2048, 4095]], {"photometric": 0}, [[255, 127, 0]]),
    ],
)
def test_the_range_of_a_sixteen_bit_tiff(
    tmp_path: Path, values: list[list[int]], tags: dict[str, int], expected: list[list[int]]
) -> None:
    (tmp_path / "x.tif").write_bytes(tiff(np.array(values), **tags))
    np.testing.assert_array_equal(read_photo(tmp_path / "x.tif"), np.array(expected)[..., None].repeat(3, axis=2))


def test_tiffs_whose_values_cannot_be_had_are_refused(tmp_path: Path) -> None:
    colour = np.full((2, 3, 3), 4095)
    (tmp_path / "rgb.tif").write_bytes(tiff(colour, photometric=2))
    with pytest.raises(PhotoError, match=r"rgb\.tif: uses 12 of its 16 bits a channel"):
        read_photo(tmp_path / "rgb.tif")
    (tmp_path / "rgb.tif").write_bytes(tiff(colour * 16, photometric=2))
    assert (read_photo(tmp_path / "rgb.tif") == 255).all()
    (tmp_path / "s.tif").write_bytes(tiff(np.array([[-5, 9]]), sample_format=2))
    with pytest.raises(PhotoError, match=r"s\.tif: grey values -5 to 9, expected 16 bit"):
        read_photo(tmp_path / "s.tif")


def noise(height: int = 48, width: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("after_pixels", [False, True])
def test_a_png_with_megabytes_of_text_is_read(
    tmp_path: Path, after_pixels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_MEMORY", 1_000_000)  # of all chunks; Pillow's own is 64 MB
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "x" * 2_000_000, zip=True)
    text.add_text("prompt", "x" * 2_000_000)
    text.add_itxt("XML:com.adobe.xmp", "y" * 2_000_000, zip=True)
    if after_pixels:  # Pillow writes such chunks first: move them behind the pixels
        text.chunks = [(kind, data, True) for kind, data, _ in text.chunks]
    noise().save(tmp_path / "x.png", pnginfo=text)
    assert photo_size(tmp_path / "x.png") == (48, 64)
    np.testing.assert_array_equal(read_photo(tmp_path / "x.png"), np.asarray(noise()))


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_only_its_end_is_read(tmp_path: Path, progressive: bool) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    noise(480, 640).save(tmp_path / "whole.jpg", progressive=progressive, exif=exif)
    content = (tmp_path / "whole.jpg").read_bytes()
    for missing in (1, 2):
        (tmp_path / "x.jpg").write_bytes(content[:-missing])
        for max_px in (None, 100):
            expected = read_photo(tmp_path / "whole.jpg", max_px)
            np.testing.assert_array_equal(read_photo(tmp_path / "x.jpg", max_px), expected)
    for missing in (3, 4, 10, 1000):  # the last pixels are gone
        (tmp_path / "x.jpg").write_bytes(content[:-missing])
        with pytest.raises(PhotoError, match="truncated"):
            read_photo(tmp_path / "x.jpg")


def test_a_named_pipe_is_no_photo_and_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jpg")
    for function in (photo_size, read_photo):
        with pytest.raises(PhotoError, match=r"x\.jpg: .*a named pipe or device, expected a regular file"):
            function(tmp_path / "x.jpg")


def test_sixteen_bit_pgm(tmp_path: Path) -> None:
    (tmp_path / "x.pgm").write_bytes(b"P5 2 1 65535\n" + struct.pack(">2H", 65535, 257 * 100))
    np.testing.assert_array_equal(read_photo(tmp_path / "x.pgm")[0, :, 0], [255, 100])


def test_floating_point_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((3, 5), 0.5, np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(PhotoError, match=r"x\.tif: floating point"):
        read_photo(tmp_path / "x.tif")


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (5, 3), colour) for colour in (RED, GREEN)]
    for suffix in ("gif", "webp", "png"):
        frames[0].save(tmp_path / f"x.{suffix}", save_all=True, append_images=frames[1:], duration=50)
        np.testing.assert_allclose(read_photo(tmp_path / f"x.{suffix}")[1, 1], RED, atol=8)


def test_progressive_jpeg(tmp_path: Path) -> None:
    corners().save(tmp_path / "x.jpg", progressive=True, quality=95)
    np.testing.assert_allclose(read_photo(tmp_path / "x.jpg")[8, 8], RED, atol=10)


def test_suffix_does_not_decide(tmp_path: Path) -> None:
    corners().save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.jpg")
    assert photo_size(tmp_path / "x.jpg") == (64, 96)
    assert tuple(read_photo(tmp_path / "x.jpg")[0, 0]) == RED


@pytest.mark.parametrize(("height", "width"), [(5, 12_000), (12_000, 5), (40, 1), (1, 1)])
def test_extreme_shapes(tmp_path: Path, height: int, width: int) -> None:
    for suffix in ("jpg", "png"):
        path = tmp_path / f"x.{suffix}"
        Image.new("RGB", (width, height), RED).save(path, quality=95)
        assert read_photo(path).shape == (height, width, 3)
        small = read_photo(path, max_px=100)
        assert small.shape[:2] == input_size(height, width, 100)
        assert max(small.shape) <= 100
        np.testing.assert_allclose(small[0, 0], RED, atol=6)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"Dear Sir or Madam", "not a photo in a known format"),
        (b"<!DOCTYPE html><html>404</html>", "not a photo in a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a photo in a known format"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "not a photo in a known format"),
        (b"\xff\xd8\xff\xe0", "x.jpg"),
        (b"\x89PNG\r\n\x1a\n", "x.jpg"),
        (b"BM" + b"\0" * 60, "x.jpg"),
        (b"P6 0 0 255\n", "x.jpg"),
    ],
)
def test_unreadable_files_name_file_and_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    for function in (photo_size, read_photo):
        with pytest.raises(PhotoError, match=reason) as caught:
            function(path)
        assert str(path) in str(caught.value)


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"gone\.jpg: .*No such file"):
        read_photo(tmp_path / "gone.jpg")
    (tmp_path / "d.jpg").mkdir()
    with pytest.raises(PhotoError, match=r"d\.jpg: .*directory"):
        photo_size(tmp_path / "d.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp", "avif"])
def test_truncated_files_are_refused_and_never_half_grey(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"x.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(whole)
    content = whole.read_bytes()
    for share in (0.3, 0.6, 0.9):
        (tmp_path / f"cut.{suffix}").write_bytes(content[: int(len(content) * share)])
        with pytest.raises(PhotoError, match=rf"cut\.{suffix}"):
            read_photo(tmp_path / f"cut.{suffix}")
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def png_of(height: int, width: int) -> bytes:
    """A PNG that claims any size in 60 bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_bomb_is_refused_with_its_size_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of(30_000, 20_000))
    assert photo_size(path) == (30_000, 20_000)
    for max_px in (None, 512):  # a PNG cannot be decoded at a fraction, so max_px does not help
        with pytest.raises(PhotoError, match="30000 x 20000 pixels"):
            read_photo(path, max_px)


def test_max_px_reads_a_jpeg_that_is_too_large_to_decode_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "MAX_DECODED_PX", 64 * 96 // 2)
    corners().save(tmp_path / "x.jpg", quality=95)
    with pytest.raises(PhotoError, match="64 x 96 pixels are too many to decode"):
        read_photo(tmp_path / "x.jpg")
    small = read_photo(tmp_path / "x.jpg", max_px=24)
    assert small.shape == (16, 24, 3)
    np.testing.assert_allclose(small[3, 3], RED, atol=12)


def test_a_turned_jpeg_is_decoded_at_a_fraction_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "MAX_DECODED_PX", 64 * 640 // 2)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (640, 64), RED).save(tmp_path / "x.jpg", exif=exif)
    assert read_photo(tmp_path / "x.jpg", max_px=80).shape == (80, 8, 3)


def test_sizes_are_told_without_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def decodes(*args: object) -> None:
        raise AssertionError

    monkeypatch.setattr(ImageFile.ImageFile, "load", decodes)
    for suffix in ("png", "jpg", "gif", "bmp", "tif", "webp"):
        corners().save(tmp_path / f"x.{suffix}")
        assert photo_size(tmp_path / f"x.{suffix}") == (64, 96)


def test_pillow_is_left_as_it_was(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    (tmp_path / "x.png").write_bytes(png_of(10_000, 10_000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Image.open would warn of a possible bomb here
        assert photo_size(tmp_path / "x.png") == (10_000, 10_000)
    assert before == Image.MAX_IMAGE_PIXELS


def test_decoding_a_jpeg_at_a_fraction_changes_little(tmp_path: Path, shared: Path) -> None:
    path = next(iter(sorted((shared / "data/ecssd/images").glob("*.jpg"))))
    at_a_fraction = read_photo(path, max_px=64).astype(int)
    whole = Image.fromarray(read_photo(path))
    size = at_a_fraction.shape
    exact = np.asarray(whole.resize((size[1], size[0]), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(at_a_fraction - exact).mean() < 2


def test_scaling_down_does_not_alias(tmp_path: Path) -> None:
    """A one-pixel checkerboard becomes even grey; picking pixels would make it black or white."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "x.png")
    small = read_photo(tmp_path / "x.png", max_px=8)[2:6, 2:6]
    assert small.min() > 110
    assert small.max() < 145


def test_resize_px_is_pillows_bicubic_and_decides_alone(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(values).save(tmp_path / "x.png")
    expected = np.asarray(Image.fromarray(values).resize((9, 7), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(read_photo(tmp_path / "x.png", resize_px=[7, 9]), expected)
    np.testing.assert_array_equal(read_photo(tmp_path / "x.png", max_px=5, resize_px=[7, 9]), expected)


@pytest.mark.parametrize(
    ("height", "width", "max_px", "expected"),
    [
        (480, 640, None, (480, 640)),
        (480, 640, 640, (480, 640)),
        (480, 640, 320, (240, 320)),
        (640, 480, 321, (321, 241)),  # 480 * 321 / 640 = 240.75
        (3, 4, 2, (2, 2)),  # 1.5 rounds up
        (1, 12_000, 100, (1, 100)),  # never 0
    ],
)
def test_input_size_by_hand(height: int, width: int, max_px: int | None, expected: tuple[int, int]) -> None:
    assert input_size(height, width, max_px) == expected


sides = st.integers(1, 60)


@settings(max_examples=60, deadline=None)
@given(
    height=sides,
    width=sides,
    max_px=st.none() | sides,
    resize_px=st.none() | st.tuples(sides, sides),
    orientation=st.integers(1, 8),
    suffix=st.sampled_from(["jpg", "png"]),
)
def test_input_size_is_what_read_photo_returns(
    tmp_path_factory: pytest.TempPathFactory,
    height: int,
    width: int,
    max_px: int | None,
    resize_px: tuple[int, int] | None,
    orientation: int,
    suffix: str,
) -> None:
    path = tmp_path_factory.getbasetemp() / f"law.{suffix}"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.new("RGB", (width, height), GREY).save(path, exif=exif)
    assert read_photo(path, max_px, resize_px).shape[:2] == input_size(*photo_size(path), max_px, resize_px)


def test_real_photos_are_what_pillow_shows(shared: Path) -> None:
    for path in sorted((shared / "data/photos").iterdir())[:12]:
        expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
        np.testing.assert_array_equal(read_photo(path), expected)
