"""A web server on this machine that can misbehave as real ones do, and makers of tiny photos."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@dataclass
class Server:
    """What the server serves, how it misbehaves, and what it was asked."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = '"v1"'
    ranges: bool = True
    lengths: bool = True
    cut_after: list[int] = field(default_factory=list)
    """For each coming answer: close the connection after so many bytes of the body."""
    statuses: list[int] = field(default_factory=list)
    """For each coming request: answer with this error."""
    extra_headers: dict[str, str] = field(default_factory=dict)
    trickles: bool = False
    """Send byte after byte, slowly."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """(path, Range header) of each request."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            if state.statuses:
                return self.send_error(state.statuses.pop(0))
            if self.path not in state.files:
                return self.send_error(404)
            body = state.files[self.path]
            first = 0
            found = re.fullmatch(r"bytes=(\d+)-", wanted or "")
            unchanged = self.headers.get("If-Range") in (None, state.etag)
            if state.ranges and found and unchanged:
                first = int(found[1])
                if first >= len(body):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(body)}")
                    self._end(0)
                    return None
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            self._end(len(body) - first)
            cut = state.cut_after.pop(0) if state.cut_after else None
            if state.trickles:
                with contextlib.suppress(OSError):  # the other side has given up
                    for value in body[first:]:
                        self.wfile.write(bytes([value]))
                        time.sleep(0.005)
                return None
            self.wfile.write(body[first:][:cut])
            return None

        def _end(self, length: int) -> None:
            if state.lengths:
                self.send_header("Content-Length", str(length))
            if state.etag:
                self.send_header("ETag", state.etag)
            for name, value in state.extra_headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


PhotoMaker = Callable[..., Path]


@pytest.fixture
def photo(tmp_path: Path) -> PhotoMaker:
    """Write a small photo below tmp_path and return its path."""

    def make(name: str, height: int = 6, width: int = 8, grey: int | None = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(len(name)).integers(0, 256, (height, width, 3), np.uint8)
        image = Image.fromarray(values)
        if grey is not None:
            image = Image.new("L", (width, height), grey)
        image.save(path)
        return path

    return make
