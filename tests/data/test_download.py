from __future__ import annotations

import hashlib
import socket
from pathlib import Path

import numpy as np
import pytest
import requests

from heap.data import download as module
from heap.data.download import Retry, checksums, download
from heap.errors import FetchError
from heap.files import read_json

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, np.uint8).tobytes()
OTHER = np.random.default_rng(1).integers(0, 256, 300_000, np.uint8).tobytes()
QUICK = Retry(attempts=3, wait_s=0.01)


@pytest.fixture
def to(tmp_path: Path, server, monkeypatch: pytest.MonkeyPatch) -> Path:
    server.files["/a.bin"] = CONTENT
    monkeypatch.setattr(module, "BLOCK_BYTES", 10_000)
    return tmp_path / "a.bin"


def interrupt(server, to: Path, after: int = 120_000) -> None:
    """A run that ended with part of the file: the server cut it off and the run had no patience."""
    server.cut_after = [after]
    with pytest.raises(FetchError, match=r"gave up after 1 tries"):
        download(f"{server.url}/a.bin", to, retry=Retry(attempts=1))
    assert not to.exists()


def test_whole_file(server, to: Path, tmp_path: Path) -> None:
    download(f"{server.url}/a.bin", to, tmp_path / "progress.json")
    assert to.read_bytes() == CONTENT
    assert read_json(tmp_path / "progress.json")["done"] == len(CONTENT)
    assert server.asked == [("/a.bin", None)]


def test_a_cut_connection_is_resumed_within_the_run(server, to: Path) -> None:
    server.cut_after = [120_000, 90_000]
    download(f"{server.url}/a.bin", to, retry=QUICK)
    assert to.read_bytes() == CONTENT
    assert len(server.asked) == 3
    first, second = (int((wanted or "").removeprefix("bytes=").rstrip("-")) for _, wanted in server.asked[1:])
    assert 0 < first <= 120_000 < second <= 210_000


def test_any_number_of_cuts_is_borne_while_bytes_come(server, to: Path) -> None:
    server.cut_after = [30_000] * 9
    download(f"{server.url}/a.bin", to, retry=QUICK)
    assert to.read_bytes() == CONTENT


def test_the_next_run_goes_on(server, to: Path) -> None:
    interrupt(server, to)
    part = to.with_name("a.bin.part").stat().st_size
    download(f"{server.url}/a.bin", to)
    assert to.read_bytes() == CONTENT
    assert server.asked[-1] == ("/a.bin", f"bytes={part}-")


def test_a_server_without_ranges_begins_anew(server, to: Path) -> None:
    server.ranges = False
    interrupt(server, to)
    download(f"{server.url}/a.bin", to)
    assert to.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("etag", "headers", "resumed"),
    [
        ('W/"v1"', {}, False),
        (None, {}, False),
        (None, {"Last-Modified": "Mon, 01 Jun 2020 00:00:00 GMT"}, True),
        (None, {"Last-Modified": "Thu, 01 Jan 2099 00:00:00 GMT"}, False),  # later than the answer: may change again
        (None, {"Last-Modified": "yesterday"}, False),
    ],
)
def test_only_a_strong_validator_lets_a_download_go_on(
    server, to: Path, etag: str | None, headers: dict[str, str], resumed: bool
) -> None:
    server.etag, server.extra_headers = etag, headers
    interrupt(server, to)
    if not resumed:
        server.files["/a.bin"] = OTHER  # of the same length: nothing else would tell
    server.asked.clear()
    download(f"{server.url}/a.bin", to)
    assert to.read_bytes() == (CONTENT if resumed else OTHER)
    assert [asked is not None for _, asked in server.asked] == [resumed]


def test_a_range_that_is_refused_at_the_first_request(server, to: Path) -> None:
    server.statuses = [416]
    with pytest.raises(FetchError, match=r"a\.bin: HTTP 416"):
        download(f"{server.url}/a.bin", to, retry=QUICK)


def test_a_download_that_trickles_is_given_up(server, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_S", 0.1)
    server.trickles = True
    with pytest.raises(FetchError, match=r"only \d+ bytes came in .*gave up after 2 tries"):
        download(f"{server.url}/a.bin", to, retry=Retry(attempts=2, wait_s=0.01))


@pytest.mark.parametrize(
    ("hops", "refused"),
    [
        (["https://a/x", "http://b/x"], True),
        (["http://a/x", "https://a/x", "http://b/x"], True),
        (["http://a/x", "http://b/x"], False),
        (["http://a/x", "https://b/x"], False),
        (["https://a/x"], False),
    ],
)
def test_a_redirect_from_https_to_http_is_refused(hops: list[str], refused: bool) -> None:
    answers = []
    for hop in hops:
        answers.append(requests.Response())
        answers[-1].url = hop
    *answers[-1].history, last = answers
    if refused:
        with pytest.raises(FetchError, match=r"leads from https to http://b/x"):
            module._refuse_downgrade(hops[0], last)
    else:
        module._refuse_downgrade(hops[0], last)


@pytest.mark.parametrize("etag", ['"v2"', None])
def test_a_changed_file_begins_anew(server, to: Path, etag: str | None) -> None:
    interrupt(server, to)
    server.files["/a.bin"], server.etag = OTHER, etag
    download(f"{server.url}/a.bin", to, retry=QUICK)
    assert to.read_bytes() == OTHER
    if etag is not None:  # If-Range makes the server send the whole new file at once
        assert len(server.asked) == 2


def test_a_cut_is_noticed_where_the_server_tells_no_length(server, to: Path) -> None:
    interrupt(server, to)
    server.lengths = False
    server.cut_after = [50_000]
    download(f"{server.url}/a.bin", to, retry=QUICK)
    assert to.read_bytes() == CONTENT


def test_a_changed_size_begins_anew_where_no_etag_tells(server, to: Path) -> None:
    server.etag = None
    interrupt(server, to)
    server.files["/a.bin"] = OTHER[:250_000]
    download(f"{server.url}/a.bin", to, retry=QUICK)
    assert to.read_bytes() == OTHER[:250_000]


def test_another_url_of_the_same_name_begins_anew(server, to: Path) -> None:
    interrupt(server, to)
    server.files["/mirror/a.bin"] = OTHER
    download(f"{server.url}/mirror/a.bin", to)
    assert to.read_bytes() == OTHER


def test_a_part_that_is_whole_already(server, to: Path) -> None:
    """Killed between the last byte and the renaming."""
    interrupt(server, to)
    to.with_name("a.bin.part").write_bytes(CONTENT)
    download(f"{server.url}/a.bin", to)
    assert to.read_bytes() == CONTENT
    to.unlink()
    to.with_name("a.bin.part").write_bytes(CONTENT + b"x")  # longer than the file can be
    download(f"{server.url}/a.bin", to, retry=QUICK)
    assert to.read_bytes() == CONTENT


def test_a_lost_note_begins_anew(server, to: Path) -> None:
    interrupt(server, to)
    to.with_name("a.bin.part.json").write_text("{")
    to.with_name("a.bin.part").write_bytes(OTHER[:1000])
    download(f"{server.url}/a.bin", to)
    assert to.read_bytes() == CONTENT


def test_bytes_come_as_they_are_though_declared_as_compressed(server, to: Path) -> None:
    server.extra_headers = {"Content-Encoding": "gzip"}  # as misconfigured servers say of .tar.gz
    download(f"{server.url}/a.bin", to)
    assert to.read_bytes() == CONTENT


def test_passing_faults_are_waited_out_and_lasting_ones_are_not(server, to: Path) -> None:
    server.statuses = [503, 429]
    download(f"{server.url}/a.bin", to, retry=QUICK)
    assert len(server.asked) == 3
    server.asked.clear()
    server.statuses = [500] * 9
    with pytest.raises(FetchError, match=r"HTTP 500 .*gave up after 3 tries"):
        download(f"{server.url}/a.bin", to, retry=QUICK)
    assert len(server.asked) == 3
    server.asked.clear()
    server.statuses = []
    with pytest.raises(FetchError, match=r"/gone\.bin: HTTP 404 Not Found"):
        download(f"{server.url}/gone.bin", to, retry=QUICK)
    assert len(server.asked) == 1


def test_unreachable(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(FetchError, match=rf"http://127\.0\.0\.1:{port}/a: .*gave up after 2 tries"):
        download(f"http://127.0.0.1:{port}/a", tmp_path / "a", retry=Retry(2, 0.01))
    with pytest.raises(FetchError, match="http://"):
        download("http://", tmp_path / "a", retry=QUICK)


def test_a_place_that_cannot_be_written_is_named(server, to: Path) -> None:
    to.with_name("no").write_text("a file, no folder")
    with pytest.raises(FetchError, match=r"no/such/a\.bin\.part"):
        download(f"{server.url}/a.bin", to.parent / "no/such/a.bin", retry=QUICK)


def test_checksums(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    assert checksums(tmp_path / "x") == (hashlib.sha256(CONTENT).hexdigest(), hashlib.md5(CONTENT).hexdigest())
