"""A dataset whose photos bear names that hurt shells, web pages and parsers, served as an archive from this machine."""

from __future__ import annotations

import functools
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from PIL import Image

NAMES = (
    "a b",
    "$(touch pwned)",
    "`touch pwned`",
    "-rf",
    "--help",
    ";touch pwned;",
    "| touch pwned",
    'it\'s "quoted"',
    "new\nline",
    "tab\tand\rreturn",
    "ünï-日本-\U0001f33b",
    "<img src=x onerror=alert(1)>",
    "&lt;b&gt;",
    "{wildcard}",
    "{{ 7 * 7 }}",
    "%s%n%d",
    "*",
    "[ab]?",
    "~",
    "#",
    "CON",
    "x" * 200,
    "=1+1",
    "null",
)


def photo(number: int) -> tuple[bytes, bytes]:
    """Return a photo (PNG) with one bright rectangle on a dim ground, and its mask."""
    rng = np.random.default_rng(number)
    height, width = (64, 80) if number % 3 else (80, 56)
    pixels = rng.integers(40, 80, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), dtype=np.uint8)
    top, left = rng.integers(8, height - 40), rng.integers(8, width - 40)
    where = (slice(top, top + 32), slice(left, left + 32))
    pixels[where] = rng.integers(150, 256, 3, dtype=np.uint8) // 2 + pixels[where]
    mask[where] = 255
    both = []
    for values in (pixels, mask):
        buffer = io.BytesIO()
        Image.fromarray(values).save(buffer, format="PNG")
        both.append(buffer.getvalue())
    return both[0], both[1]


def write_archive(path: Path) -> None:
    """Write the dataset in the layout `saliency`."""
    with zipfile.ZipFile(path, "w") as packed:
        for number, name in enumerate(NAMES):
            pixels, mask = photo(number)
            packed.writestr(f"photos/{name}.png", pixels)
            packed.writestr(f"truth/{name}.png", mask)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine; yields its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def config(small: dict[str, Any], url: str) -> dict[str, Any]:
    """Return the small configuration with this dataset, `odd`, and a benchmark of its own."""
    small["datasets"]["odd"] = {
        "layout": "saliency", "images": "photos", "masks": "truth", "model": "demo",
        "archives": [{"url": f"{url}/odd%20photos.zip"}],
    }  # fmt: skip
    small["models"]["demo"] |= {"train_on": "odd", "train_split": None}
    small["train"] |= {"steps": 20, "checkpoint_every": 5}
    small["cluster"] |= {"foreground": 3, "background": 3}
    small["benchmarks"]["odd"] = {
        "methods": ["heap", "found", "centred_box"],
        "tasks": [{"task": "saliency", "dataset": "odd"}],
    }
    return small
