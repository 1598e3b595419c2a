from __future__ import annotations

import hashlib
import io
import socket
import zipfile
from pathlib import Path
from typing import Any

import pytest

from heap.data import fetch as module
from heap.data.download import Retry
from heap.data.fetch import fetch, file_names, read_receipt
from heap.errors import DataError, FetchError
from heap.files import read_json, write_json
from heap.settings.datasets import Archive
from heap.settings.resolved import STAGE_VERSION

QUICK = Retry(attempts=2, wait_s=0.01)
RECEIPT = Path("resources/mine.json")
FOLDER = Path("resources/mine")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return buffer.getvalue()


PHOTOS = zipped({"images/a.jpg": b"photo"})


def run(dataset: dict[str, Any], root: str | None = None) -> dict[str, Any]:
    write_json(
        "frozen.json",
        {"stage": "fetch", "name": "mine", "version": STAGE_VERSION["fetch"], "dataset": dataset, "root": root},
    )
    fetch("frozen.json", RECEIPT, "mine", Path("progress.json"), QUICK)
    return read_receipt(RECEIPT)


def archives(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"archives": list(entries)}


def test_a_root_is_taken_as_it_is(tmp_path: Path, server) -> None:
    (tmp_path / "here").mkdir()
    receipt = run(archives({"url": f"{server.url}/a.zip"}), "here")
    assert receipt == {"name": "mine", "root": "here", "how": "root", "archives": []}
    assert server.asked == []
    with pytest.raises(DataError, match=r"datasets\.mine\.root: 'gone' is no folder .*/gone"):
        run(archives(), "gone")


def test_downloaded_unpacked_and_cleaned_up(server) -> None:
    server.files = {"/x/a.zip": PHOTOS, "/list.txt": b"a.jpg\n"}
    sums = hashlib.sha256(PHOTOS).hexdigest(), hashlib.md5(b"a.jpg\n").hexdigest()
    dataset = archives(
        {"url": f"{server.url}/x/a.zip", "sha256": sums[0]},
        {"url": f"{server.url}/list.txt?raw=1", "md5": sums[1], "into": "lists"},
    )
    server.files["/list.txt?raw=1"] = b"a.jpg\n"
    receipt = run(dataset)
    assert receipt["how"] == "fetched"
    assert receipt["root"] == "resources/mine"
    assert receipt["archives"][0] == {"url": f"{server.url}/x/a.zip", "sha256": sums[0], "bytes": len(PHOTOS)}
    assert (FOLDER / "images/a.jpg").read_bytes() == b"photo"
    assert (FOLDER / "lists/list.txt").read_bytes() == b"a.jpg\n"
    left = {path.name for path in (FOLDER / ".downloads").iterdir()}
    assert left == {"a.zip.done.json", "list.txt.done.json"}

    # Again: nothing is asked for, and the receipt is the same.
    server.asked.clear()
    before = RECEIPT.read_bytes()
    run(dataset)
    assert server.asked == []
    assert RECEIPT.read_bytes() == before

    # What was unpacked is gone: only that archive is fetched again.
    (FOLDER / "images/a.jpg").unlink()
    (FOLDER / "images").rmdir()
    run(dataset)
    assert [path for path, _ in server.asked] == ["/x/a.zip"]
    assert (FOLDER / "images/a.jpg").is_file()


@pytest.mark.parametrize("damage", ["gone", "cut", "grown", "empty"])
def test_a_damaged_unpack_heals(server, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    files = {"images/a.jpg": b"photo", "images/b.jpg": b"another"}
    server.files = {"/a.zip": zipped(files)}
    run(archives({"url": f"{server.url}/a.zip"}))
    (FOLDER / "images/b.jpg").unlink()
    if damage != "gone":
        # Empty is what a power cut leaves of a file that was not on the disk yet.
        (FOLDER / "images/b.jpg").write_bytes({"cut": b"an", "grown": b"another one", "empty": b""}[damage])
    server.asked.clear()
    run(archives({"url": f"{server.url}/a.zip"}))
    assert len(server.asked) == 1
    assert "1 of 2 files are gone or cut, the first: resources/mine/images/b.jpg" in caplog.text
    assert {f"images/{path.name}": path.read_bytes() for path in (FOLDER / "images").iterdir()} == files


def test_a_file_that_a_later_archive_replaced_is_no_damage(server) -> None:
    server.files = {"/a.zip": zipped({"VOC/readme": b"1", "VOC/a": b"1"}), "/b.zip": zipped({"VOC/readme": b"22"})}
    both = archives({"url": f"{server.url}/a.zip"}, {"url": f"{server.url}/b.zip"})
    run(both)
    server.asked.clear()
    run(both)
    assert server.asked == []
    assert (FOLDER / "VOC/readme").read_bytes() == b"22"


def test_files_are_on_the_disk_before_they_are_noted_and_the_archive_goes_last(
    server, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr("heap.data.unpack.os.sync", lambda: done.append("synced"))
    for name in ("write_durable", "write_json"):
        real = getattr(module, name)

        def noted(path: Any, *content: Any, real: Any = real) -> None:
            assert (FOLDER / ".downloads/a.zip").exists()
            done.append(Path(path).name)
            real(path, *content)

        monkeypatch.setattr(module, name, noted)
    server.files = {"/a.zip": PHOTOS}
    run(archives({"url": f"{server.url}/a.zip"}))
    assert done == ["synced", "a.zip.done.json", "mine.json"]
    assert not (FOLDER / ".downloads/a.zip").exists()


@pytest.mark.parametrize("into", [".", ".downloads", ".downloads/x"])
def test_no_archive_writes_among_the_archives(server, into: str) -> None:
    server.files = {"/a.zip": zipped({".Downloads/b.zip.done.json": b"{}", "x": b""})}
    with pytest.raises(FetchError, match="is where archives are kept"):
        run(archives({"url": f"{server.url}/a.zip", "into": into}))
    assert {path.name for path in FOLDER.rglob("*")} == {".downloads", "a.zip", "a.zip.part.json"}


def test_another_checksum_in_the_settings_fetches_again(server) -> None:
    server.files = {"/a.zip": PHOTOS}
    run(archives({"url": f"{server.url}/a.zip"}))
    server.files = {"/a.zip": zipped({"images/a.jpg": b"corrected"})}
    md5 = hashlib.md5(server.files["/a.zip"]).hexdigest()
    run(archives({"url": f"{server.url}/a.zip", "md5": md5}))
    assert (FOLDER / "images/a.jpg").read_bytes() == b"corrected"


@pytest.mark.parametrize(("kind", "length"), [("sha256", 64), ("md5", 32)])
def test_a_wrong_checksum_names_both_and_is_not_unpacked(server, kind: str, length: int) -> None:
    server.files = {"/a.zip": PHOTOS}
    found = hashlib.new(kind, PHOTOS).hexdigest()
    dataset = archives({"url": f"{server.url}/a.zip", kind: "0" * length})
    with pytest.raises(FetchError, match=rf"a\.zip: {kind} is {found}, expected {'0' * length}.*a\.zip\.bad"):
        run(dataset)
    assert not (FOLDER / "images").exists()
    assert not RECEIPT.exists()
    assert not (FOLDER / ".downloads/a.zip").exists()
    server.asked.clear()
    with pytest.raises(FetchError, match="expected 000"):
        run(dataset)
    assert len(server.asked) == 1  # a fresh download, not the bad file again


@pytest.mark.parametrize("place", ["resources/mine/.downloads/a.zip", "resources/mine/a.zip"])
def test_a_file_put_by_hand_is_verified_used_and_kept(server, place: str) -> None:
    Path(place).parent.mkdir(parents=True)
    Path(place).write_bytes(PHOTOS)
    dataset = archives({"url": f"{server.url}/a.zip", "sha256": hashlib.sha256(PHOTOS).hexdigest()})
    assert run(dataset)["how"] == "by_hand"
    assert server.asked == []
    assert (FOLDER / "images/a.jpg").is_file()
    assert Path(place).read_bytes() == PHOTOS


def test_a_wrong_file_put_by_hand_is_left_to_its_owner(server) -> None:
    FOLDER.mkdir(parents=True)
    (FOLDER / "a.zip").write_bytes(PHOTOS)
    with pytest.raises(FetchError, match=r"expected 000.*\(resources/mine/a\.zip\)"):
        run(archives({"url": f"{server.url}/a.zip", "md5": "0" * 32}))
    assert (FOLDER / "a.zip").is_file()


def test_a_plain_file_put_by_hand(server) -> None:
    FOLDER.mkdir(parents=True)
    (FOLDER / "list.txt").write_text("a\n")
    for into in (".", "lists"):
        run(archives({"url": f"{server.url}/list.txt", "into": into}))
        assert (FOLDER / into / "list.txt").read_text() == "a\n"
        assert (FOLDER / "list.txt").exists()
    assert server.asked == []


def test_a_kill_while_unpacking_leaves_a_download_and_no_hand(server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files = {"/a.zip": PHOTOS}

    def dies(*args: object) -> list[str]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "unpack", dies)
        with pytest.raises(KeyboardInterrupt):
            run(archives({"url": f"{server.url}/a.zip"}))
    assert (FOLDER / ".downloads/a.zip").exists()
    server.asked.clear()
    assert run(archives({"url": f"{server.url}/a.zip"}))["how"] == "fetched"
    assert server.asked == []
    assert not (FOLDER / ".downloads/a.zip").exists()


def test_unreachable_says_what_to_put_where(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x/VOC.tar"
    with pytest.raises(FetchError) as caught:
        run(archives({"url": url}))
    told = str(caught.value)
    assert url in told
    assert str(tmp_path / "resources/mine/VOC.tar") in told
    assert "datasets.mine.root" in told
    assert not RECEIPT.exists()


def test_a_page_served_as_an_archive_is_no_dataset(server) -> None:
    server.files = {"/a.zip": b"<html>moved</html>"}
    with pytest.raises(FetchError, match=r"a\.zip: named as an archive.*<html>"):
        run(archives({"url": f"{server.url}/a.zip"}))
    assert not RECEIPT.exists()


def test_no_archive_unpacks_outside(server, tmp_path: Path) -> None:
    server.files = {"/a.zip": zipped({"../../evil": b"x"})}
    with pytest.raises(FetchError, match="would leave the folder"):
        run(archives({"url": f"{server.url}/a.zip"}))
    with pytest.raises(DataError, match=r"datasets\.mine\.archives\.into: '\.\./\.\.' does not lie below"):
        run(archives({"url": f"{server.url}/a.zip", "into": "../.."}))
    assert not list(tmp_path.rglob("evil"))


def test_without_archives_the_folder_is_the_users(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(FetchError, match=rf"{tmp_path}/resources/mine/, or set datasets\.mine\.root"):
            run(archives())
        (FOLDER / ".downloads").mkdir(parents=True, exist_ok=True)  # hidden files are no dataset
    (FOLDER / "a.jpg").write_bytes(b"x")
    assert run(archives())["how"] == "by_hand"


def test_scenes_are_generated() -> None:
    scenes = {"layout": "scenes", "train_images": 1, "val_images": 1, "height_px": 64, "width_px": 64, "seed": 3}
    receipt = run(scenes)
    assert (receipt["how"], receipt["root"]) == ("generated", "resources/mine")
    assert len(list((FOLDER / "JPEGImages").iterdir())) == 2


def test_file_names() -> None:
    def names(*urls: str) -> list[str]:
        return file_names([Archive(url=url) for url in urls])

    assert names("http://a/b/c%20d.zip?x=/e", "http://a/f.tar") == ["c d.zip", "f.tar"]
    assert names("http://a/train/x.zip", "http://a/test/x.zip") == ["1-x.zip", "2-x.zip"]
    for url in ("http://a/", "http://a", "http://a/b/..", "http://a/%2e%2e", "http://a/x%2f.hidden"):
        with pytest.raises(FetchError, match="ends in no file name"):
            names(url)


def test_a_damaged_marker_or_receipt(server) -> None:
    server.files = {"/a.zip": PHOTOS}
    run(archives({"url": f"{server.url}/a.zip"}))
    (FOLDER / ".downloads/a.zip.done.json").write_text('{"url": 1}')
    run(archives({"url": f"{server.url}/a.zip"}))
    assert read_json(FOLDER / ".downloads/a.zip.done.json")["members"] == {"images/a.jpg": 5}
    RECEIPT.write_text("[]")
    with pytest.raises(DataError, match=r"mine\.json: not the receipt of fetching"):
        read_receipt(RECEIPT)
