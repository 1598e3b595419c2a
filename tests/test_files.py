from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from discover.small import Trained

from heap import paths
from heap.cache.maps import write_maps
from heap.cache.reader import FeatureReader
from heap.errors import DataError
from heap.files import CSV_SHA256, atomic_path, check_csv, file_sha256, put_in_place, read_json, write_json
from heap.segment.stage import segment


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": NaN}', "NaN is no number of JSON"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ('{"a": [-1e999]}', "-1e999 is no number"),
        ("1" * 310 + ".5", r"1\.\.\. is no number"),
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


def test_large_numbers_within_float64_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[1e308, 1e-999, 1e+0000012, "1e999"]')
    assert read_json(tmp_path / "a.json") == [1e308, 0.0, 1e12, "1e999"]


def test_json_is_sealed_and_its_checksum_is_not_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"patch_px": 8})
    assert read_json(path) == {"patch_px": 8}
    path.write_text(path.read_text().replace("8\n", "9\n"))
    with pytest.raises(DataError, match=r"a\.json: is damaged, or was edited.*delete its line \"checksum\""):
        read_json(path)
    path.write_text('{\n "patch_px": 9\n}\n')
    assert read_json(path) == {"patch_px": 9}
    for unsealed in ([1], {}):
        write_json(path, unsealed)
        assert read_json(path) == unsealed


def test_a_csv_is_compared_with_the_checksum_next_to_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    check_csv(tmp_path / "a.csv")  # of another program
    write_json(tmp_path / "a.json", {CSV_SHA256: file_sha256(tmp_path / "a.csv")})
    check_csv(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("x\n2\n")
    with pytest.raises(DataError, match=r"a\.csv: is damaged, or was edited \(.*a\.json has the checksum"):
        check_csv(tmp_path / "a.csv")


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reached the disk, and which names were given, one after the other."""
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        fsync(handle)
        events.append(f"sync {Path(f'/proc/self/fd/{handle}').readlink().name}")

    def renamed(path: Path, target: Path) -> Path:
        events.append(f"name {Path(target).name}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    return events


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks up open files in /proc")
class TestOrder:
    """Data to the disk, then the names in its folder, then the note: what a power cut leaves is whole, or unnamed."""

    def test_a_file_is_on_the_disk_before_it_is_named_and_its_folder_after(
        self, tmp_path: Path, order: list[str]
    ) -> None:
        with atomic_path(tmp_path / "new" / "a.csv") as temporary:
            temporary.write_text("x")
        assert order[0] == f"sync {tmp_path.name}", "the name of the new folder"
        assert order[1].startswith("sync .")
        assert order[2:] == ["name a.csv", "sync new"]

    def test_a_folder_is_on_the_disk_before_it_is_named(self, tmp_path: Path, order: list[str]) -> None:
        work = tmp_path / ".work"
        (work / "c").mkdir(parents=True)
        (work / "c" / "0").write_text("x")
        (work / "zarr.json").write_text("{}")
        (tmp_path / "final").mkdir()
        put_in_place(work, tmp_path / "final")
        assert set(order[:2]) == {"sync 0", "sync zarr.json"}
        assert order[2:] == ["sync c", "sync .work", "name final", f"sync {tmp_path.name}"] or order[2:] == [
            "sync .work", "sync c", "name final", f"sync {tmp_path.name}"]  # fmt: skip
        assert (tmp_path / "final" / "c" / "0").read_text() == "x"

    def test_maps_are_on_the_disk_before_their_receipt(
        self, trained: Trained, tmp_path: Path, order: list[str]
    ) -> None:
        reader = FeatureReader(trained.path(paths.features("scenes")))
        maps = [(np.full(reader.patches(i), 0.5, np.float32), None) for i in range(len(reader))]
        write_maps(tmp_path / "maps" / "scenes.json", reader, "even", maps, {})
        named = [event for event in order if event.startswith("name ")]
        assert [name.split(".")[-1] for name in named][-2:] == ["zarr", "json"]
        before = order[: order.index(named[-2])]
        assert before.count("sync 0") == 2, "a chunk of the map, and one of its regions"
        assert before.count("sync zarr.json") == 2
        assert order[order.index(named[-2]) + 1] == "sync scenes", "the folder of the maps, before the receipt"

    def test_masks_are_on_the_disk_before_their_json(self, trained: Trained, tmp_path: Path, order: list[str]) -> None:
        settings = trained.path(paths.settings("segment", "scenes"))
        inputs = (trained.path(of("scenes")) for of in (lambda name: paths.maps("heap", name), paths.clusters))
        segment(settings, *inputs, trained.path(paths.manifest("scenes")), tmp_path / "masks" / "scenes.json",
                tmp_path / "instances" / "scenes.parquet", workers=1)  # fmt: skip
        masks = {f"sync {path.name}" for path in (tmp_path / "masks" / "scenes").glob("*.png")}
        assert masks < set(order[: order.index("name scenes.json")])
