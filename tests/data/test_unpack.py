from __future__ import annotations

import gzip
import io
import stat
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from heap.data import unpack as module
from heap.data.unpack import is_archive, unpack
from heap.errors import FetchError

FILES = {"d/a.txt": b"alpha", "d/e/b.txt": b"beta", "c.txt": b"", "ü x.txt": b"u"}


def zipped(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, f"w:{path.suffix[1:]}" if path.suffix != ".tar" else "w") as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return path


def special(path: Path, kind: bytes, name: str = "x", target: str = "/etc/passwd") -> Path:
    with tarfile.open(path, "w") as packed:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        packed.addfile(member)
    return path


def found(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(archive: Path, tmp_path: Path, told: str) -> None:
    """Unpacking fails, says why, and leaves neither the target nor anything in the workplace or beside them."""
    before = set(tmp_path.rglob("*")) | {tmp_path / "work"}
    with pytest.raises(FetchError, match=told) as caught:
        unpack(archive, tmp_path / "out", tmp_path / "work")
    assert archive.name in str(caught.value)
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.zip.zip"])
def test_unpacks(tmp_path: Path, name: str) -> None:
    archive = (zipped if name.endswith("zip") else tarred)(tmp_path / name, FILES)
    assert is_archive(archive)
    members = unpack(archive, tmp_path / "out", tmp_path / "work")
    assert members == {name: len(content) for name, content in FILES.items()}
    assert found(tmp_path / "out") == FILES
    assert not list((tmp_path / "work").iterdir())


def test_folders_are_merged_and_files_replaced(tmp_path: Path) -> None:
    unpack(zipped(tmp_path / "1.zip", {"VOC/a": b"1", "VOC/b": b"1"}), tmp_path / "out", tmp_path / "work")
    unpack(zipped(tmp_path / "2.zip", {"VOC/b": b"2", "VOC/c": b"2"}), tmp_path / "out", tmp_path / "work")
    assert found(tmp_path / "out") == {"VOC/a": b"1", "VOC/b": b"2", "VOC/c": b"2"}


def test_what_a_kill_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "work/unpack-old/outer").mkdir(parents=True)
    (tmp_path / "work/unpack-old/outer/half").write_bytes(b"x")
    (tmp_path / "work/other.part").write_bytes(b"x")
    unpack(zipped(tmp_path / "1.zip", {"a": b"1"}), tmp_path / "out", tmp_path / "work")
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["other.part"]


def test_an_archive_in_an_archive(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "gt.zip", {"gt/a.png": b"png"}).read_bytes()
    archive = zipped(tmp_path / "gt.zip.zip", {"gt.zip": inner, "__MACOSX/._gt.zip": b"x"})
    assert unpack(archive, tmp_path / "out", tmp_path / "work") == {"gt/a.png": 3}
    assert found(tmp_path / "out") == {"gt/a.png": b"png"}
    # A single plain file is left as it is.
    assert unpack(zipped(tmp_path / "1.zip", {"list.txt": b"x"}), tmp_path / "out", tmp_path / "work") == {
        "list.txt": 1
    }


def test_names_of_windows_and_folders_of_tar(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as packed:
        packed.writestr("D\\", b"")
        packed.writestr("D\\a.txt", b"alpha")
    unpack(tmp_path / "w.zip", tmp_path / "out", tmp_path / "work")
    assert found(tmp_path / "out") == {"D/a.txt": b"alpha"}
    special(tmp_path / "d.tar", tarfile.DIRTYPE, "./empty/deep", "")
    unpack(tmp_path / "d.tar", tmp_path / "out2", tmp_path / "work")
    assert (tmp_path / "out2/empty/deep").is_dir()


@pytest.mark.parametrize("name", ["../evil", "d/../../evil", "/evil", "..\\evil", "C:\\evil", "C:/evil", "d/.."])
def test_no_name_leaves_the_folder(tmp_path: Path, name: str) -> None:
    files = {"good.txt": b"x", name: b"evil"}
    refused(zipped(tmp_path / "a.zip", files), tmp_path, "would leave the folder")
    refused(tarred(tmp_path / "a.tar", files), tmp_path, "would leave the folder")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    refused(special(tmp_path / "a.tar", kind), tmp_path, "'x' is a link or device")


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        link = zipfile.ZipInfo("x")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        packed.writestr(link, "/etc/passwd")
    refused(tmp_path / "a.zip", tmp_path, "'x' is a link or device")


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RATIO_FROM_BYTES", 1_000_000)
    nothing = {"a": b"\0" * 600_000, "b": b"\0" * 600_000}  # 1 : 900
    refused(zipped(tmp_path / "a.zip", nothing), tmp_path, "holds too much, at 'b'")
    refused(tarred(tmp_path / "a.tar.gz", nothing), tmp_path, "holds too much, at 'b'")
    unpack(zipped(tmp_path / "stored.zip", nothing, zipfile.ZIP_STORED), tmp_path / "fine", tmp_path / "work2")
    monkeypatch.setattr(module, "MAX_FILES", 1)
    refused(zipped(tmp_path / "b.zip", {"a": b"", "b": b""}), tmp_path, "2 files")
    monkeypatch.setattr(module, "MAX_BYTES", 5)
    refused(zipped(tmp_path / "c.zip", {"a": b"123456"}), tmp_path, "6 of 5 bytes")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
@pytest.mark.parametrize("first", [True, False], ids=["first member", "second member"])
def test_a_header_that_claims_much_takes_no_memory(tmp_path: Path, kind: bytes, first: bool) -> None:
    claimed = 64 * 2**20
    archive = tmp_path / "a.tar.gz"
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, claimed
    with gzip.open(archive, "wb", compresslevel=1) as packed:
        if not first:
            packed.write(tarfile.TarInfo("a").tobuf())
        packed.write(header.tobuf())
        packed.write(bytes(claimed))
        packed.write(tarfile.TarInfo("b").tobuf() + bytes(1024))
    tracemalloc.start()
    with pytest.raises(FetchError, match=f"a header claims to be of {claimed} bytes"):
        _ = is_archive(archive) and unpack(archive, tmp_path / "out", tmp_path / "work")
    assert tracemalloc.get_traced_memory()[1] < claimed / 4
    tracemalloc.stop()


def test_long_names_and_attributes_are_read(tmp_path: Path) -> None:
    name = "/".join(["n" * 100] * 9)
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        with tarfile.open(tmp_path / "a.tar", "w", format=form) as packed:
            packed.addfile(tarfile.TarInfo(name))
        assert unpack(tmp_path / "a.tar", tmp_path / "out", tmp_path / "work") == {name: 0}


def test_folders_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 2)
    refused(zipped(tmp_path / "a.zip", {"a/": b"", "b/": b"", "c/": b""}), tmp_path, "holds too much")


def test_damaged_archives_are_named(tmp_path: Path) -> None:
    content = b"".join(bytes([i % 251, i % 241]) for i in range(40_000))
    for make, name in ((zipped, "a.zip"), (tarred, "a.tar.gz"), (tarred, "b.tar")):
        archive = make(tmp_path / name, {"x": content, "y": content})
        whole = archive.read_bytes()
        archive.write_bytes(whole[: len(whole) * 2 // 3])
        with pytest.raises(FetchError, match=name):
            is_archive(archive) and unpack(archive, tmp_path / "out", tmp_path / "work")
        assert not (tmp_path / "out").exists()
    (tmp_path / "start.tar.gz").write_bytes((tmp_path / "a.tar.gz").read_bytes()[:40])
    with pytest.raises(FetchError, match=r"start\.tar\.gz"):
        is_archive(tmp_path / "start.tar.gz")
    archive = zipped(tmp_path / "flip.zip", {"x": content}, zipfile.ZIP_STORED)
    flipped = bytearray(archive.read_bytes())
    flipped[20_000] ^= 1
    archive.write_bytes(flipped)
    refused(archive, tmp_path, "cannot be unpacked .*CRC")


def test_a_page_in_place_of_an_archive_and_plain_files(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("<!DOCTYPE html>Not here any more")
    with pytest.raises(FetchError, match=r"a\.zip: named as an archive.*DOCTYPE html"):
        is_archive(tmp_path / "a.zip")
    for name, content in (("list.txt", "a\nb\n"), ("x.json", "{}"), ("empty.txt", "")):
        (tmp_path / name).write_text(content)
        assert not is_archive(tmp_path / name)


def test_encrypted_zips_are_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"x": b"secret"})
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # the flag in the local header and in the directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    refused(archive, tmp_path, "cannot be unpacked .*encrypted")
