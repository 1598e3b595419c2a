"""One file over HTTP: resumed after a break, begun again where the server's file may have changed."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import requests
import urllib3

from heap import __version__
from heap.errors import DataError, FetchError
from heap.files import read_json, sync, write_json
from heap.progress import Progress

log = logging.getLogger("heap")

BLOCK_BYTES = 1 << 20
CONNECT_S, READ_S = 15.0, 60.0
"""Universities' servers can be slow to answer; a minute without a byte is a broken connection."""
SLOWEST_BYTES_S = 1000.0
"""On average over `READ_S`; slower is as good as broken, and would keep a download alive for years."""
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses that a later try may not meet again."""
LONGEST_WAIT_S = 60.0


@dataclass(frozen=True)
class Retry:
    """How patient a download is."""

    attempts: int = 5  # tries in a row that bring not even a block (1 MiB) before it is given up
    wait_s: float = 1.0  # before the second try; doubled before each further one


class _PassingFault(Exception):
    """A fault that the next try may not meet."""


def download(url: str, to: Path, progress_file: Path | None = None, retry: Retry | None = None) -> None:
    """Download `url` to `to`, going on where an earlier try or run broke off.

    Until it is whole the file is called `{to}.part`; `{to}.part.json` says which state of which URL it is a part of,
    and stays as the sign that the file was not put there by hand. A server that knows no ranges, that does not say by a
    strong validator which state of the file it sends, or whose file has changed since, makes it begin again. (`pooch`
    and its like resume nothing, and the largest archive is of 13 GB.)

    Raises:
        FetchError: not reachable, refused, broken or too slow too often, or led from https to http; names the URL and
            the reason.
    """
    retry = retry or Retry()
    part, note = part_of(to)
    failures = 0
    with requests.Session() as session:
        session.headers["User-Agent"] = f"heap-discovery/{__version__}"
        while True:
            before = _size(part)
            try:
                _go_on(session, url, part, note, progress_file)
                break
            except (_PassingFault, requests.RequestException, urllib3.exceptions.HTTPError) as error:
                if isinstance(error, requests.RequestException) and not isinstance(
                    error, requests.ConnectionError | requests.Timeout
                ):
                    raise FetchError(f"{url}: {error}") from error
                failures = 1 if _size(part) - before >= BLOCK_BYTES else failures + 1
                if failures >= retry.attempts:
                    raise FetchError(f"{url}: {_in_words(error)} (gave up after {failures} tries)") from error
                wait_s = min(retry.wait_s * 2 ** (failures - 1), LONGEST_WAIT_S)
                log.warning("%s: %s; trying again in %.0f s", url, _in_words(error), wait_s)
                time.sleep(wait_s)
            except OSError as error:
                raise FetchError(f"{part}: cannot be written ({error})") from error
    part.replace(to)
    sync(to.parent)


def part_of(to: Path) -> tuple[Path, Path]:
    """Return the names of a download's part and of its note."""
    return to.with_name(f"{to.name}.part"), to.with_name(f"{to.name}.part.json")


def checksums(path: Path) -> tuple[str, str]:
    """Return (sha256, md5) of a file, in hex, read once: the archives are of many GB."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            sha256.update(block)
            md5.update(block)
    return sha256.hexdigest(), md5.hexdigest()


def _go_on(session: requests.Session, url: str, part: Path, note: Path, progress_file: Path | None) -> None:
    """Ask for what is missing of `part` and write it; return when the file is whole."""
    known = _read_note(note)
    if known.get("url") != url or not known.get("version"):  # of two states of a file one would become neither
        part.unlink(missing_ok=True)
        known = {}
    have = _size(part)
    # Compressed on the way, neither lengths nor ranges would be those of the file.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": known["version"]}
    with session.get(url, headers=headers, stream=True, timeout=(CONNECT_S, READ_S)) as response:
        _refuse_downgrade(url, response)
        total = _total(response, have, known, part)
        if total is not None and total == have and response.status_code == 416:
            return
        mode = "ab" if response.status_code == 206 else "wb"
        have = have if mode == "ab" else 0
        write_json(note, {"url": url, "version": _version(response), "total": total})
        progress = Progress(total or 0, "bytes", f"downloading {url.rsplit('/', 1)[-1]}", progress_file, done=have)
        try:
            with part.open(mode) as stream:
                for block in _blocks(response):
                    stream.write(block)
                    progress.step(len(block))
                stream.flush()
                os.fsync(stream.fileno())
        finally:
            progress.close()
    if total is not None and _size(part) != total:
        if _size(part) > total:
            part.unlink()
        raise _PassingFault(f"the connection closed after {_size(part)} of {total} bytes")


def _refuse_downgrade(url: str, response: requests.Response) -> None:
    """Raise where https was left for http, on which anybody may change the bytes."""
    hops = [answer.url for answer in (*response.history, response)]
    for before, after in pairwise(hops):
        if before.startswith("https:") and not after.startswith("https:"):
            raise FetchError(f"{url}: leads from https to {after}, which is not protected; nothing was downloaded")


def _blocks(response: requests.Response) -> Iterator[bytes]:
    """Yield the bytes as they come; raise where they come too slowly."""
    since, came = time.monotonic(), 0
    # The raw stream: requests would unpack a .tar.gz that a server declares as Content-Encoding: gzip.
    while block := response.raw.read1(BLOCK_BYTES, decode_content=False):
        yield block
        came += len(block)
        if (now := time.monotonic()) - since >= READ_S:
            if came < SLOWEST_BYTES_S * (now - since):
                raise _PassingFault(f"only {came} bytes came in {now - since:.0f} s")
            since, came = now, 0


def _total(response: requests.Response, have: int, known: dict[str, Any], part: Path) -> int | None:
    """Return the size of the whole file, None if the server does not say; raise where the answer is of no use."""
    status = response.status_code
    if status == 200:
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isdecimal() else None
    if status in (206, 416) and have:
        begin, total = _content_range(response.headers.get("Content-Range", ""))
        same = known.get("total") in (None, total) and known.get("version") in (None, _version(response))
        if same and ((status == 206 and begin == have) or (status == 416 and total == have)):
            return total
        part.unlink(missing_ok=True)
        raise _PassingFault("the file on the server is not the one that was begun; beginning again")
    if status in PASSING:
        raise _PassingFault(f"HTTP {status} {response.reason}")
    raise FetchError(f"{response.url}: HTTP {status} {response.reason}")


def _content_range(text: str) -> tuple[int | None, int | None]:
    """Return (first byte, size of the file) of a Content-Range; None for what it does not say."""
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", text.strip())
    if found is None:
        return None, None
    begin, total = found.groups()
    return int(begin) if begin else None, int(total) if total else None


def _version(response: requests.Response) -> str | None:
    """Return the strong validator of the server's file: its ETag, or a date that no later change can share.

    A file may change twice within the second that a date names, so the date counts a minute later (RFC 9110, 8.8.2.2).
    """
    etag = response.headers.get("ETag")
    if etag and not etag.startswith("W/"):
        return etag
    changed = response.headers.get("Last-Modified", "")
    try:
        age = parsedate_to_datetime(response.headers.get("Date", "")) - parsedate_to_datetime(changed)
    except (ValueError, TypeError):  # TypeError: one of the two without a time zone
        return None
    return changed if age.total_seconds() >= 60 else None


def _read_note(note: Path) -> dict[str, Any]:
    try:
        known = read_json(note)
    except DataError:  # none yet, or lost in a crash: either way nothing is known of the part
        return {}
    return known if isinstance(known, dict) else {}


def _in_words(error: Exception) -> str:
    """Return what a person needs of an error; requests wraps the cause of a failed connection in three others."""
    text = str(error)
    for sign, words in (
        ("Failed to resolve", "the host's name cannot be resolved (no network?)"),
        ("Connection refused", "the host refuses the connection"),
        ("timed out", "no answer in time"),
    ):
        if sign in text:
            return words
    return text


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
