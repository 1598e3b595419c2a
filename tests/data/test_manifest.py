from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import ExifTags, Image

from heap import parquet
from heap.data import manifest
from heap.data.manifest import Manifest, build
from heap.errors import DataError, PhotoError, SettingsError
from heap.files import read_json, write_json
from heap.settings.datasets import CocoDataset, FolderDataset, SaliencyDataset, VocDataset
from heap.settings.resolved import STAGE_VERSION

FOLDER = FolderDataset(layout="folder")
SALIENCY = SaliencyDataset(layout="saliency", images="img", masks="gt")
PhotoMaker = Callable[..., Path]


def test_rows_hold_upright_size_and_hash_of_the_bytes(tmp_path: Path, photo: PhotoMaker) -> None:
    photo("a.png", 6, 8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (8, 6)).save(tmp_path / "b.jpg", exif=exif)
    table = build(FOLDER, "mine", tmp_path).table
    assert table["image_id"].tolist() == ["a", "b"]
    assert table[["height_px", "width_px"]].to_numpy().tolist() == [[6, 8], [8, 6]]
    assert str(table["height_px"].dtype) == "int32"
    expected = hashlib.blake2b((tmp_path / "b.jpg").read_bytes(), digest_size=16).hexdigest()
    assert table["content"][1] == expected
    assert table[["split", "mask_path", "class_mask_path", "boxes", "box_classes"]].iloc[0].tolist() == [
        "", None, None, None, None,
    ]  # fmt: skip


def test_written_and_read_back_nothing_changes(tmp_path: Path, shared: Path) -> None:
    settings = VocDataset(layout="voc", year=2012, splits={"all": "Main/trainval"}, class_masks=True)
    made = build(settings, "mini", shared / "data/voc_mini")
    manifest.write(tmp_path / "m.parquet", made)
    again = manifest.read(tmp_path / "m.parquet")
    pd.testing.assert_frame_equal(again.table, made.table)
    assert again.info == made.info
    row = again.table.iloc[2]
    assert row["boxes"][0] == [163, 227, 293, 411]
    assert row["mask_path"] is None
    assert again.photo(row) == (shared / "data/voc_mini/VOC2012/JPEGImages/2012_000049.jpg").resolve()
    assert again.class_mask(next(again.table.itertuples())).is_file()
    assert again.info["classes"][0] == "aeroplane"
    assert again.root == (shared / "data/voc_mini").resolve()
    manifest.write(tmp_path / "n.parquet", again)
    assert (tmp_path / "m.parquet").read_bytes() == (tmp_path / "n.parquet").read_bytes()


def test_absent_and_empty_boxes_stay_apart(tmp_path: Path, shared: Path) -> None:
    settings = CocoDataset(layout="coco", images="train2014", annotations="instances_train2014.json")
    made = build(settings, "coco", shared / "data/coco_mini")
    made.table.at[0, "boxes"] = []
    made.table.at[1, "boxes"] = None
    manifest.write(tmp_path / "m.parquet", made)
    assert manifest.read(tmp_path / "m.parquet").table["boxes"].tolist()[:2] == [[], None]


def test_rows_of_a_split_keep_their_numbers(tmp_path: Path, shared: Path) -> None:
    splits = {"train": "Segmentation/train", "val": "Segmentation/val"}
    made = build(VocDataset(layout="voc", year=2012, splits=splits), "mini", shared / "data/voc_mini")
    train, val = made.rows("train"), made.rows("val")
    assert len(train) + len(val) == len(made.rows(None)) == 47
    assert val.index[0] == len(train)
    with pytest.raises(DataError, match=r"mini: no images in split 'test' \(splits: train, val\)"):
        made.rows("test")


def test_masks_are_checked_against_their_photos(tmp_path: Path, photo: PhotoMaker) -> None:
    photo("img/a.jpg", 6, 8)
    photo("gt/a.png", 6, 8, grey=255)
    made = build(SALIENCY, "s", tmp_path)
    assert made.mask(made.table.iloc[0]) == (tmp_path / "gt/a.png").resolve()
    photo("gt/a.png", 8, 6, grey=255)
    told = r"gt/a\.png: a mask of 8 x 6 pixels, its photo has 6 x 8"
    with pytest.raises(PhotoError, match=told):
        build(SALIENCY, "s", tmp_path)
    photo("img/b.jpg", 6, 8)
    photo("gt/b.png", 6, 8, grey=255)
    made = build(SALIENCY.model_copy(update={"on_bad_image": "skip"}), "s", tmp_path)
    assert made.table["image_id"].tolist() == ["b"]
    ((skipped),) = made.info["skipped"]
    assert skipped["path"] == "img/a.jpg"
    assert re.search(told, skipped["reason"])


def test_class_masks_are_checked_too(tmp_path: Path, shared: Path) -> None:
    shutil.copytree(shared / "data/voc_mini/VOC2012", tmp_path / "VOC2012")
    broken = tmp_path / "VOC2012/SegmentationClass/2012_000049.png"
    Image.new("P", (5, 5)).save(broken)
    settings = VocDataset(layout="voc", year=2012, splits={"all": "Main/trainval"}, class_masks=True)
    with pytest.raises(DataError, match=r"2012_000049\.png: a mask of 5 x 5 pixels"):
        build(settings, "mini", tmp_path)


def test_bad_photos_fail_or_are_skipped_and_listed(
    tmp_path: Path, photo: PhotoMaker, caplog: pytest.LogCaptureFixture
) -> None:
    photo("good.png")
    (tmp_path / "bad.jpg").write_text("text")
    with pytest.raises(PhotoError, match=r"bad\.jpg: not a photo .*datasets\.mine\.on_bad_image: skip"):
        build(FOLDER.model_copy(update={"on_bad_image": "fail"}), "mine", tmp_path)
    with caplog.at_level(logging.WARNING, "heap"):
        made = build(FOLDER, "mine", tmp_path)
    assert made.table["image_id"].tolist() == ["good"]
    assert made.info["images"] == 1
    (skipped,) = made.info["skipped"]
    assert skipped["path"] == "bad.jpg"
    assert "not a photo in a known format" in skipped["reason"]
    assert "bad.jpg" in caplog.text


def test_another_number_of_images_is_told(tmp_path: Path, photo: PhotoMaker, caplog: pytest.LogCaptureFixture) -> None:
    photo("a.png")
    told = "1 images, but mine was published with 1000"
    made = build(FOLDER.model_copy(update={"expected_images": 1000}), "mine", tmp_path)
    assert made.info["warnings"] == [told]
    assert told in caplog.text
    assert build(FOLDER.model_copy(update={"expected_images": 1}), "mine", tmp_path).info["warnings"] == []


def test_a_size_that_contradicts_the_annotation_is_told(tmp_path: Path, shared: Path) -> None:
    shutil.copytree(shared / "data/voc_mini/VOC2012", tmp_path / "VOC2012")
    photo = tmp_path / "VOC2012/JPEGImages/2012_000049.jpg"
    Image.open(photo).transpose(Image.Transpose.ROTATE_90).save(photo)
    made = build(VocDataset(layout="voc", year=2012, splits={"all": "Main/trainval"}), "mini", tmp_path)
    assert made.info["warnings"] == [
        "1 photos have another size than their annotation says: VOC2012/JPEGImages/2012_000049.jpg",
        "1 boxes hold no pixel of their photo, nothing can match them: VOC2012/JPEGImages/2012_000049.jpg",
    ]


def test_nothing_to_find_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no photos for dataset mine"):
        build(FOLDER, "mine", tmp_path)
    (tmp_path / "a.jpg").write_text("text")
    with pytest.raises(DataError, match=r"the first of 1 skipped: .*a\.jpg"):
        build(FOLDER, "mine", tmp_path)
    with pytest.raises(DataError, match=r"gone: no such folder \(dataset mine\)"):
        build(FOLDER, "mine", tmp_path / "gone")


def test_names_that_no_table_can_hold_are_skipped_readably(tmp_path: Path, photo: PhotoMaker) -> None:
    photo("ü.png")
    photo("x.png").rename(tmp_path / os.fsdecode(b"b\xfc.png"))  # Latin-1
    made = build(FOLDER, "mine", tmp_path)
    assert made.table["image_id"].tolist() == ["ü"]
    assert made.info["skipped"][0]["path"] == "b\\xfc.png"
    manifest.write(tmp_path / "m.parquet", made)
    assert manifest.read(tmp_path / "m.parquet").info == made.info


def small(tmp_path: Path, photo: PhotoMaker) -> Path:
    photo("photos/a.png")
    path = tmp_path / "m.parquet"
    manifest.write(path, build(FOLDER, "mine", tmp_path / "photos"))
    return path


def test_damage_is_found(tmp_path: Path, photo: PhotoMaker) -> None:
    path = small(tmp_path, photo)
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        with pytest.raises(DataError, match=r"m\.parquet: "):
            manifest.read(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"m\.parquet: not readable as a manifest"):
        manifest.read(path)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    with pytest.raises(DataError, match="no such file"):
        manifest.read(path)
    path.write_text("text")
    with pytest.raises(DataError, match="not readable"):
        manifest.read(path)
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(DataError, match="its footer has no checksum; make it again"):
        manifest.read(path)


def test_a_killed_write_leaves_the_old_manifest(
    tmp_path: Path, photo: PhotoMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small(tmp_path, photo)
    made = manifest.read(path)

    def dies(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(parquet.pq, "write_table", dies)
    with pytest.raises(KeyboardInterrupt):
        manifest.write(path, Manifest(made.table, {**made.info, "dataset": "other"}))
    assert manifest.read(path).info["dataset"] == "mine"
    assert {p.name for p in tmp_path.iterdir()} == {"m.parquet", "photos"}


def freeze(tmp_path: Path, dataset: dict[str, object], root: Path) -> tuple[Path, Path]:
    frozen = {"stage": "manifest", "name": "mine", "version": STAGE_VERSION["manifest"], "dataset": dataset}
    write_json(tmp_path / "frozen.json", frozen)
    write_json(tmp_path / "receipt.json", {"name": "mine", "root": str(root), "how": "root", "archives": []})
    return tmp_path / "frozen.json", tmp_path / "receipt.json"


def test_the_stage(tmp_path: Path, photo: PhotoMaker) -> None:
    photo("photos/a.png")
    frozen, receipt = freeze(tmp_path, {"layout": "folder", "on_bad_image": "skip"}, tmp_path / "photos")
    manifest.make(frozen, receipt, tmp_path / "out/m.parquet", tmp_path / "progress.json")
    made = manifest.read(tmp_path / "out/m.parquet")
    assert made.info["dataset"] == "mine"
    assert made.photo(made.table.iloc[0]).is_file()
    assert not (tmp_path / "progress.json").exists()
    write_json(frozen, {**read_json(frozen), "stage": "extract"})
    with pytest.raises(SettingsError, match="stage manifest"):
        manifest.make(frozen, receipt, tmp_path / "m.parquet")
    write_json(receipt, {"root": "x"})
    frozen, receipt = freeze(tmp_path, {"layout": "folder"}, tmp_path)
    write_json(receipt, {"root": "x"})
    with pytest.raises(DataError, match=r"receipt\.json: not the receipt of fetching"):
        manifest.make(frozen, receipt, tmp_path / "m.parquet")


def test_real_ecssd(shared: Path) -> None:
    settings = SaliencyDataset(layout="saliency", images="images", masks="ground_truth_mask", expected_images=1000)
    made = build(settings, "ecssd", shared / "data/ecssd")
    assert len(made.table) == 300
    assert made.info["warnings"] == ["300 images, but ecssd was published with 1000"]
    assert made.table["content"].is_unique
    assert made.table["image_id"].is_monotonic_increasing
