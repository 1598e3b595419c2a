"""`heap predict`: what lies in the folder, what a rerun keeps, what a kill leaves."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from discover.small import Trained
from PIL import Image
from pycocotools.coco import COCO
from report.browser import chromium
from typer.testing import CliRunner, Result

from heap.cli import app
from heap.data.folder import PREDICT_RECORD
from heap.discover import outputs
from heap.discover.model import Model
from heap.discover.photos import listed
from heap.discover.predict import predict
from heap.errors import DataError
from heap.files import read_json
from heap.spreadsheet import unquoted

NAMES = ["plain", "a b", "$(touch x)", "-rf", "deep/er/ä", "[bold]", "=1+1"]


@pytest.fixture
def photos(trained: Trained, tmp_path: Path) -> Path:
    folder = tmp_path / "my photos"
    for number, name in enumerate(NAMES, start=1):
        path = folder / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(trained.photos / f"train_000{number}.jpg", path)
    (folder / "broken.jpg").write_text("no photo")
    return folder


def heap(trained: Trained, *arguments: str) -> Result:
    model = ["--model", str(trained.path("results/models/demo")), "--device", "cpu"]
    return CliRunner().invoke(app, ["predict", *model, *arguments])


def test_masks_tables_and_pictures_of_a_folder(trained: Trained, model: Model, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    done = heap(trained, str(photos), "--out", str(out))
    assert done.exit_code == 1, "a photo could not be read"
    assert "8 photos (7 computed, 0 done before, 1 unreadable)" in done.output
    assert "broken.jpg" in done.output
    assert "1 photo left out" in (out / "index.html").read_text()
    coco = COCO(out / "instances.json")
    assert len(coco.imgs) == len(NAMES)
    objects = pd.read_parquet(out / "objects.parquet")
    assert len(objects) == len(coco.anns) > 0
    assert len(pd.read_csv(out / "objects.csv")) == len(objects)
    for number, image in coco.imgs.items():
        found = model.discover(photos / image["file_name"])
        name = image["heap_id"]
        with Image.open(out / f"masks/{name}.png") as mask:
            assert np.array_equal(np.asarray(mask) > 0, found.mask)
        with Image.open(out / f"overlays/{name}.jpg") as overlay:
            assert overlay.size == found.size[::-1]
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=number))
        assert [item["category_id"] for item in annotations] == [one.cluster + 1 for one in found.instances]
        for item, one in zip(annotations, found.instances, strict=True):
            assert np.array_equal(coco.annToMask(item) > 0, one.mask)
        mine = objects[objects["photo"] == name]
        assert [tuple(row) for row in mine[["x1", "y1", "x2", "y2"]].to_numpy()] == [o.box for o in found.instances]
    listed = pd.read_csv(out / "photos.csv").set_index("photo").rename(index=unquoted)
    assert set(listed.index) == {*NAMES, "broken"}
    assert listed.loc["broken", "state"] == "unreadable"
    assert "not a photo" in listed.loc["broken", "reason"]
    assert listed["objects"].sum() == len(objects)
    assert not list(tmp_path.rglob("x")), "a file name was run as a command"


def test_a_rerun_computes_what_changed_and_nothing_else(
    model: Model, trained: Trained, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "found"
    (photos / "broken.jpg").unlink()
    assert predict(model, [photos], out, page=False).computed == 7
    before = {name: (out / name).read_bytes() for name in ("instances.json", "objects.csv", "photos.csv")}
    again = predict(model, [photos], out, page=False)
    assert (again.computed, again.kept) == (0, 7)
    assert before == {name: (out / name).read_bytes() for name in before}
    shutil.copy(trained.photos / "val_0004.jpg", photos / "plain.jpg")  # another photo under its name
    (out / "masks/a b.png").unlink()
    again = predict(model, [photos], out, page=False)
    assert (again.computed, again.kept) == (2, 5)
    assert predict(model, [photos], out, max_px=64, page=False).computed == 7, "other features"


def results(out: Path) -> dict[str, bytes]:
    """What people get. Maps of patches, and so the page, agree to rounding only: their batch may be another one."""
    kept = {".png", ".jpg", ".json", ".csv"}
    files = [path for path in out.rglob("*") if path.suffix in kept and path.parent.name != ".done"]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def test_a_killed_run_keeps_what_was_finished(
    model: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "broken.jpg").unlink()
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "found"
    predict(model, [photos], undisturbed, page=False)
    written = 0
    real = outputs.write_json

    def killed(path: Path, value: object) -> None:
        nonlocal written
        if written == 4:
            raise KeyboardInterrupt  # after this photo's pictures, before its record
        written += 1  # the options of the run, then records
        real(path, value)

    with monkeypatch.context() as patch:
        patch.setattr(outputs, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            predict(model, [photos], out, page=False)
    assert not (out / "instances.json").exists(), "tables of half a folder"
    resumed = predict(model, [photos], out, page=False)
    assert (resumed.computed, resumed.kept) == (4, 3)
    assert results(out) == results(undisturbed)


def two(trained: Trained, tmp_path: Path) -> list[Path]:
    files = []
    for number, name in enumerate(("one", "two"), start=1):
        files.append(tmp_path / f"{name}.jpg")
        shutil.copy(trained.photos / f"val_000{number}.jpg", files[-1])
    return files


@pytest.mark.parametrize("damage", ["mask", "overlay", "record: cut", "record: other value", "record: []"])
def test_what_is_damaged_is_made_again(trained: Trained, model: Model, tmp_path: Path, damage: str) -> None:
    photos, out = two(trained, tmp_path), tmp_path / "found"
    predict(model, photos, out, page=False)
    before = results(out)
    record = outputs.Outputs(out, {}).record("one")
    path = {"mask": out / "masks/one.png", "overlay": out / "overlays/one.jpg"}.get(damage, record)
    content = path.read_bytes()
    damaged = {"record: other value": content.replace(b'"foreground": 0', b'"foreground": 1'), "record: []": b"[]"}
    path.write_bytes(damaged.get(damage, content[: len(content) // 2]))
    again = predict(model, photos, out, page=False)
    assert (again.computed, again.kept) == (1, 1)
    assert results(out) == before


def test_a_kill_leaves_nothing_that_the_next_run_does_not_remove(
    trained: Trained, model: Model, tmp_path: Path
) -> None:
    photos, out = two(trained, tmp_path), tmp_path / "found"
    (out / ".done").mkdir(parents=True)
    for name in ("part.png", ".abcdefgh.png"):
        (out / ".done" / name).write_text("half a mask")
    predict(model, photos, out, page=False)
    assert {path.suffix for path in (out / ".done").iterdir()} == {".json", ".npz"}
    hidden = [path.name for path in out.rglob(".*") if path.is_file()]
    assert sorted(hidden) == ["..done.lock", ".heap-predict.json"]


def test_an_overlay_of_an_earlier_photo_does_not_stay(trained: Trained, model: Model, tmp_path: Path) -> None:
    photos, out = two(trained, tmp_path), tmp_path / "found"
    predict(model, photos, out, page=False)
    shutil.copy(trained.photos / "val_0003.jpg", photos[0])
    predict(model, photos, out, overlays=False, page=False)
    assert [path.name for path in (out / "overlays").iterdir()] == ["two.jpg"]


def test_runs_of_other_options_do_not_mix(trained: Trained, model: Model, tmp_path: Path) -> None:
    (one, other), out = two(trained, tmp_path), tmp_path / "found"
    predict(model, [one], out, page=False)
    (out / "mine.txt").write_text("keep me")
    with pytest.raises(DataError, match=r"results of other options \(max_px\) for 1 photos .*'one' for one"):
        predict(model, [other], out, max_px=64, page=False)
    assert not (out / "masks/two.png").exists()
    assert predict(model, [one, other], out, max_px=64, page=False).computed == 2, (
        "all of the earlier run's photos are replaced"
    )
    assert predict(model, [other], out, max_px=64, page=False).kept == 1
    assert (out / "mine.txt").read_text() == "keep me"
    # And not at the same time either: the second waits.
    second = threading.Thread(target=predict, args=(model, [other], out, 64), kwargs={"page": False})
    options = read_json(out / ".heap-predict.json")["options"]
    with outputs.Outputs(out, options).claimed({"one", "two"}):
        (out / "photos.csv").unlink()
        second.start()
        second.join(1)
        assert second.is_alive()
    second.join()
    assert (out / "photos.csv").is_file()


def test_a_photo_given_twice_counts_once(trained: Trained, model: Model, tmp_path: Path) -> None:
    (tmp_path / "a/deep").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    for name in ("a/x", "a/deep/y", "b/x"):
        shutil.copy(trained.photos / "val_0001.jpg", tmp_path / f"{name}.jpg")
    a, b = tmp_path / "a", tmp_path / "b"
    out = tmp_path / "found"
    for inputs in ([a / "x.jpg", a / "../a/x.jpg"], [a / "x.jpg", a], [a, a]):
        assert [photo.item.image_id for photo in listed(inputs, out)] in (["x"], ["x", "deep/y"], ["deep/y", "x"])
    with pytest.raises(DataError, match=r"b/x\.jpg and .*a/x\.jpg would both be 'x(\.jpg)?'"):
        listed([a / "x.jpg", b / "x.jpg"], out)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DataError, match=r"pipe\.jpg: is neither a regular file nor a folder"):
        listed([tmp_path / "pipe.jpg"], out)


def test_results_of_a_run_inside_a_folder_of_photos_are_no_photos(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.jpg", "found/masks/a.png", "found/overlays/a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6)).save(tmp_path / name)
    (tmp_path / "found" / PREDICT_RECORD).write_text("{}")
    assert [photo.item.path for photo in listed([tmp_path], tmp_path / "elsewhere")] == ["a.jpg"]
    assert "2 masks and overlays of heap predict in found are no photos and were left out" in caplog.text


def test_results_inside_the_folder_of_photos_are_no_photos(model: Model, photos: Path) -> None:
    (photos / "broken.jpg").unlink()
    for _ in range(2):
        assert predict(model, [photos], photos / "found", page=False).photos == 7
    with pytest.raises(DataError, match="is the folder of photos itself"):
        predict(model, [photos], photos, page=False)


def test_the_page_shows_every_photo_and_leads_to_like_regions(
    trained: Trained, model: Model, photos: Path, tmp_path: Path
) -> None:
    (photos / "<b>x.jpg").write_bytes((photos / "plain.jpg").read_bytes())
    predict(model, [photos], tmp_path / "found", overlays=False)
    from selenium.webdriver.support.ui import WebDriverWait

    with chromium() as driver:
        driver.get((tmp_path / "found/index.html").as_uri())
        WebDriverWait(driver, 20).until(lambda _: driver.execute_script(
            "return document.documentElement.classList.contains('ready')"))  # fmt: skip
        names = [one.get_attribute("textContent") for one in driver.find_elements("css selector", ".card h3")]
        assert {*NAMES, "<b>x"} <= set(names)
        assert "broken" not in names
        assert len(driver.find_elements("css selector", "#photos-1 .pictures img")) == 8 * 4
        driver.get((tmp_path / "found/index.html").as_uri() + "#photos/region-0")
        near = driver.execute_script("return document.querySelectorAll('.nearest li').length")
        assert near == 5
        assert driver.get_log("browser") == []
    predict(model, [photos], tmp_path / "found", overlays=False, page=False)
    assert not (tmp_path / "found/index.html").exists()


def test_single_photos_and_odd_names_on_the_command_line(
    trained: Trained, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    done = heap(trained, "--out", "../found", "--no-overlays", "--", "-rf.jpg", "a b.jpg")
    assert done.exit_code == 0, done.output
    files = sorted(str(path.relative_to("../found")) for path in Path("../found").rglob("*.*") if path.is_file())
    assert [name for name in files if not name.startswith(".")] == [
        "index.html", "instances.json", "masks/-rf.png", "masks/a b.png", "objects.csv", "objects.parquet",
        "photos.csv",
    ]  # fmt: skip


def test_what_cannot_be_meant_is_refused(model: Model, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jpg: no such photo or folder"):
        predict(model, [tmp_path / "none.jpg"], tmp_path / "found")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no photo there"):
        predict(model, [tmp_path / "empty"], tmp_path / "found")
    shutil.copytree(photos, tmp_path / "other")
    with pytest.raises(DataError, match="would both be '"):
        predict(model, [photos, tmp_path / "other"], tmp_path / "found")


def test_a_model_without_clusters_names_none(trained: Trained, photos: Path, tmp_path: Path) -> None:
    from heap.discover.model import load

    shutil.copytree(trained.path("results/head"), tmp_path / "results/head")
    bare = load(tmp_path / "results/head", device="cpu")
    assert bare.clusters == 0
    predict(bare, [photos / "plain.jpg"], tmp_path / "found")
    assert "none in the model" in (tmp_path / "found/index.html").read_text()
    coco = json.loads((tmp_path / "found/instances.json").read_text())
    assert [category["name"] for category in coco["categories"]] == ["unclustered"]
    assert {item["category_id"] for item in coco["annotations"]} <= {coco["categories"][0]["id"]}
