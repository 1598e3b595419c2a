from __future__ import annotations

import errno
from pathlib import Path

import pytest

from heap.errors import DataError
from heap.files import atomic_path, read_json


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": NaN}', "NaN is no number of JSON"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ('{"a": "\\ud800"}', "surrogates not allowed"),
        ("1" * 5000, "4300 digits"),
        ("[" * 100_000, "recursion"),
        ("{", "Expecting property name"),
    ],
)
def test_what_is_no_json_is_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=rf"a\.json: not readable as JSON .*{reason}"):
        read_json(tmp_path / "a.json")


def test_a_folder_in_place_of_json_and_escaped_signs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not readable as JSON .*Is a directory"):
        read_json(tmp_path)
    (tmp_path / "a.json").write_text('"\\u65e5 \\ud83c\\udf3b"')
    assert read_json(tmp_path / "a.json") == "日 \U0001f33b"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("write error in x: 3 != 9 (No space left on device)"),
        OSError(errno.ENOSPC, "No space left on device", "/elsewhere/source", None, "{folder}/.copy"),
    ],
    ids=["a write, without a name", "another library's words", "a copy, which names its source first"],
)
def test_a_full_disk_bears_the_name_of_the_result(tmp_path: Path, error: Exception) -> None:
    if isinstance(error, OSError) and error.filename2:
        error.filename2 = error.filename2.format(folder=tmp_path)
    with pytest.raises(OSError, match="No space left") as caught, atomic_path(tmp_path / "result.csv"):
        raise error
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "result.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied", "/elsewhere/photo.jpg"),
        ValueError("a bug"),
        DataError("ours"),
    ],
    ids=["of another file", "no error of a disk", "one of ours"],
)
def test_other_errors_stay_as_they_are(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, atomic_path(tmp_path / "result.csv"):
        raise error
    assert caught.value is error
