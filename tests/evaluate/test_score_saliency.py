"""`heap score saliency`: the peers' figures from plain files, and every doubtful file refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image
from scoring import Called, save

from heap.bilateral import BilateralGrid
from heap.data.photos import read_photo
from heap.evaluate import saliency

Writer = Callable[[Path], Any]
TOLERANCE = 2e-6  # of the golden files, which are rounded to 6 decimals


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Three photos of other sizes, `pred` perfect but for one column of the first."""
    for i, name in enumerate(("a", "b", "c")):
        truth = np.zeros((10 + i, 20), dtype=bool)
        truth[2:6, 4:12] = True
        save(tmp_path / "truth" / f"{name}.png", truth)
        save(tmp_path / "pred" / f"{name}.png", truth & (np.arange(20) != 4) if i == 0 else truth)
    return tmp_path


def call(world: Path, *options: str, bootstrap: int = 0) -> Called:
    return Called(
        world, "saliency", "--pred", world / "pred", "--truth", world / "truth", *options, bootstrap=bootstrap
    )


def test_golden_maps_give_the_peers_figures(golden: Path, tmp_path: Path) -> None:
    folder = golden / "saliency_metrics"
    expected = json.loads((folder / "expected.json").read_text())
    (tmp_path / "pred").mkdir()
    (tmp_path / "truth").mkdir()
    for name, soft in np.load(folder / "predictions.npz").items():
        np.save(tmp_path / "pred" / f"{name}.npy", soft)  # float16, as they are
        shutil.copy(golden / "gt" / f"{name}.png", tmp_path / "truth")
    done = call(tmp_path)
    for variant in ("multi", "single"):
        for theirs, ours in {"iou": "iou", "acc": "acc", "fmax": "max_f_found"}.items():
            told = expected["mean"][f"found_{variant}"][theirs]
            assert done.value(ours, variant) == pytest.approx(told, abs=TOLERANCE)
    assert done.value("max_f", "multi") == pytest.approx(expected["mean"]["tokencut"]["fmax"], abs=TOLERANCE)
    rows = done.photos[done.photos["variant"] == "multi"].set_index("photo")
    for case in expected["per_image"]:
        assert rows.loc[case["id"], "iou"] == pytest.approx(case["found_multi"]["iou"], abs=TOLERANCE)
        assert rows.loc[case["id"], "max_f_found"] == pytest.approx(case["found_multi"]["fmax"], abs=TOLERANCE)
        assert rows.loc[case["id"], "max_f"] == pytest.approx(case["tokencut"]["fmax"], abs=TOLERANCE)


def test_golden_pngs_of_8_bits_are_values_over_255(golden: Path, tmp_path: Path) -> None:
    folder = golden / "saliency_metrics"
    cases = json.loads((folder / "expected.json").read_text())["png8"]["per_image"]
    for case in cases:
        save(tmp_path / "truth" / f"{case['id']}.png", np.asarray(Image.open(golden / "gt" / f"{case['id']}.png")))
        save(tmp_path / "pred" / f"{case['id']}.png", np.asarray(Image.open(folder / case["file"])))
    rows = call(tmp_path, "--variant", "multi").photos.set_index("photo")
    for case in cases:
        assert rows.loc[case["id"], "max_f_found"] == pytest.approx(case["found_fmax_direct_float32"], abs=TOLERANCE)


def test_tables_rows_and_the_json_beside(world: Path) -> None:
    done = call(world, "--dataset", "toy", "--method", "mine", bootstrap=200)
    table = done.table
    assert (set(table["dataset"]), set(table["method"])) == ({"toy"}, {"mine"})
    assert set(table["variant"]) == {"multi", "single"}
    assert done.value("iou", "multi") == pytest.approx((28 / 32 + 1 + 1) / 3, abs=1e-6)
    low, high = table[(table["metric"] == "iou") & (table["variant"] == "multi")][["low", "high"]].iloc[0]
    assert low == pytest.approx(28 / 32, abs=0.005)  # one draw in 27 is three times the first photo
    assert high == pytest.approx(1, abs=0.005)
    assert done.photos["photo"].tolist() == ["a", "b", "c"] * 2
    about = done.about
    assert (about["scored"], about["images"], about["options"]["truth_reading"]) == ("saliency", 3, "255")
    assert about["inputs"]["pred"]["path"] == str(world / "pred")
    assert about["versions"]["numpy"]
    assert "mine" in done.result.output
    assert "95.8" in done.result.output


def test_one_variant_and_the_other_reading_of_the_truth(world: Path) -> None:
    truth = np.full((10, 20), 0)
    truth[2:6, 4:12] = 200  # grey: foreground for TokenCut only
    truth[2, 4] = 255  # where nothing was found
    save(world / "truth" / "a.png", truth)
    done = call(world, "--variant", "single", "--truth-reading", "nonzero")
    assert set(done.table["variant"]) == {"single+nonzero"}
    assert done.value("iou") == pytest.approx((28 / 32 + 1 + 1) / 3, abs=1e-6)
    assert call(world, "--variant", "single").value("iou") == pytest.approx((0 + 1 + 1) / 3, abs=1e-6)


def test_neither_workers_nor_names_of_folders_show(world: Path) -> None:
    alone = call(world, bootstrap=50).out.read_text()
    assert call(world, "--workers", "2", bootstrap=50).out.read_text() == alone


def test_names_with_spaces_umlauts_capitals_and_folders(tmp_path: Path) -> None:
    truth = np.eye(8, dtype=bool)
    composed, decomposed = "Grüße 1.v2", "Gru\u0308ße 1.v2"  # as Linux and as a Mac write it
    save(tmp_path / "truth" / f"{composed}.png", truth)
    save(tmp_path / "truth" / "deep er" / "x.PNG", truth)
    save(tmp_path / "pred" / "other" / f"{decomposed}.PNG", truth)
    save(tmp_path / "pred" / "x.bmp", truth)
    save(tmp_path / "pred" / "._x.png", truth)  # a Mac's twin
    (tmp_path / "pred" / "notes.txt").write_text("no prediction")
    done = call(tmp_path)
    assert set(done.photos["photo"]) == {composed, "x"}
    assert done.about["counts"]["other_files"] == 1


def test_equal_stems_in_several_folders_are_told_apart_by_folder(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        save(tmp_path / "truth" / folder / "1.png", np.eye(8, dtype=bool))
        save(tmp_path / "pred" / folder / "1.jpg", np.eye(8, dtype=bool))
    assert set(call(tmp_path).photos["photo"]) == {"one/1", "two/1"}
    shutil.move(tmp_path / "pred" / "two", tmp_path / "pred" / "three")
    error = call(tmp_path).error
    assert "1 photos have no prediction" in error
    assert "two/1" in error
    assert "three/1" in error


def test_a_list_picks_photos(world: Path) -> None:
    (world / "list.txt").write_text("images/b.jpg\nc\n\n")
    done = call(world, "--list", str(world / "list.txt"))
    assert done.photos["photo"].unique().tolist() == ["b", "c"]
    assert done.about["counts"]["not_listed"] == 1
    (world / "list.txt").write_text("b\nd\n")
    assert "photos of the list have no truth:\n  d" in call(world, "--list", str(world / "list.txt")).error


def test_missing_and_extra_predictions_are_all_named_at_once(world: Path) -> None:
    (world / "pred" / "b.png").rename(world / "pred" / "bb.png")
    error = call(world).error
    assert error.startswith("DataError: 1 photos have no prediction in")
    assert "\n  b\n" in error
    assert "1 predictions of" in error
    assert error.endswith("have no truth:\n  bb")


def test_a_mask_of_the_stored_pixels_names_exif(world: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    (world / "photos").mkdir()
    for i, name in enumerate(("a", "b", "c")):
        Image.new("RGB", (20, 10 + i)).save(world / "photos" / f"{name}.jpg", exif=exif)
    error = call(world, "--photos", str(world / "photos")).error
    assert "a.jpg: (20, 10) px once turned by its EXIF orientation, but" in error


def test_of_many_the_first_ten_are_named(tmp_path: Path) -> None:
    for i in range(14):
        save(tmp_path / "truth" / f"{i:02}.png", np.eye(4, dtype=bool))
    save(tmp_path / "pred" / "00.png", np.eye(4, dtype=bool))
    error = call(tmp_path).error
    assert "13 photos have no prediction" in error
    assert "\n  10\n  and 3 more" in error


def test_two_files_of_one_name_are_ambiguous(world: Path) -> None:
    shutil.copy(world / "pred" / "b.png", world / "pred" / "b.PNG")
    error = call(world).error
    assert "b.png" in error
    assert "b.PNG" in error


def write_16_bit(path: Path) -> None:
    Image.fromarray(np.zeros((11, 20), np.uint16)).save(path)


def write_palette(path: Path) -> None:
    Image.new("P", (20, 11)).save(path)


def write_alpha(path: Path) -> None:
    Image.new("LA", (20, 11)).save(path)


def write_colour(path: Path) -> None:
    Image.new("RGB", (20, 11), (255, 0, 0)).save(path)


def write_rgba(path: Path) -> None:
    Image.new("RGBA", (20, 11)).save(path)


def write_misshaped(path: Path) -> None:
    save(path, np.zeros((20, 11), bool))


def write_cut(path: Path) -> None:
    content = save(path, np.random.default_rng(0).random((11, 20)) > 0.5).read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (write_16_bit, "16 bit grey"), (write_palette, "a palette image"), (write_alpha, "alpha"),
        (write_colour, "channels differ"), (write_rgba, "alpha"),
        (write_misshaped, "20 x 11 px (height x width), but"), (write_cut, "not readable"),
        (lambda path: path.write_text("no image"), "not a photo in a known format"),
    ],
)  # fmt: skip
def test_what_is_no_8_bit_map_of_the_photos_size_is_refused(world: Path, write: Writer, words: str) -> None:
    for name in ("b", "c"):
        write(world / "pred" / f"{name}.png")
    error = call(world).error
    assert error.startswith("DataError: 2 photos cannot be scored:")
    for name in ("b", "c"):
        assert str(world / "pred" / f"{name}.png") in error
    assert words in error


def test_grey_in_three_channels_and_one_bit_have_one_reading(world: Path) -> None:
    as_grey = call(world).value("iou", "multi")
    for name, mode in (("b", "RGB"), ("c", "1")):
        path = world / "pred" / f"{name}.png"
        Image.open(path).convert(mode).save(path)
    assert call(world).value("iou", "multi") == as_grey


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((11, 20), 1.5), "values from 1.5 to 1.5, expected 0 to 1"),
        (np.full((11, 20), np.nan), "expected 0 to 1"),
        (np.zeros((1, 11, 20)), "shape (1, 11, 20)"),
        (np.zeros((11, 20), np.int64), "an array of int64"),
        (np.array([{}]), "not readable"),
    ],
)
def test_arrays_out_of_range_or_shape_are_refused(world: Path, array: Any, words: str) -> None:
    (world / "pred" / "b.png").unlink()
    np.save(world / "pred" / "b.npy", array)
    error = call(world).error
    assert "b.npy" in error
    assert words in error or "allow_pickle" in error


def test_masks_of_0_and_1_are_not_taken_for_empty_ones(world: Path) -> None:
    for path in (world / "pred").iterdir():
        save(path, np.asarray(Image.open(path)) // 255)
    assert "masks must be 0 and 255, not 0 and 1" in call(world).error


T = np.zeros((40, 60), np.uint8)
T[10:30, 15:40] = 255
ANTIALIASED = np.asarray(Image.fromarray(T).resize((120, 80)).resize((60, 40)))


@pytest.mark.parametrize(
    ("second", "format", "refused", "warned"),
    [
        (T, "PNG", "", ""),
        (T // 255, "PNG", "1 of 2 true masks have pixels above 0 but none of 255", ""),
        (np.where(T > 0, 254, 0), "PNG", "highest 254). Save them as 0 and 255, or", ""),
        (ANTIALIASED, "PNG", "", "1 true masks have grey pixels, "),
        (T, "JPEG", "", "1 true masks are JPEGs"),
        (T * 0, "PNG", "", "1 true masks have no foreground"),
    ],
)
def test_levels_of_the_ground_truth(tmp_path: Path, second: Any, format: str, refused: str, warned: str) -> None:
    """The benchmark's side of this is in test_evaluate_stage.py: both go through `levels.check_levels`."""
    for name, values in (("a", T), ("b", second.astype(np.uint8))):
        save(tmp_path / "pred" / f"{name}.png", T)
        (tmp_path / "truth").mkdir(exist_ok=True)
        Image.fromarray(values).save(tmp_path / "truth" / f"{name}.png", format=format if name == "b" else "PNG")
    done = call(tmp_path)
    if refused:
        assert refused in done.error
        assert str(tmp_path / "truth" / "b.png") in done.error
        assert "--truth-reading nonzero" in done.error
        assert call(tmp_path, "--truth-reading", "nonzero").value("iou", "multi+nonzero") == pytest.approx(1)
        return
    assert bool(done.about["warnings"]) == bool(warned)
    assert warned in "".join(done.about["warnings"])
    assert warned in done.result.output


def test_ground_truth_in_an_alpha_channel_is_refused(world: Path) -> None:
    Image.fromarray(np.dstack([np.full((10, 20), 255, np.uint8)] * 3 + [np.eye(10, 20, dtype=np.uint8)])).save(
        world / "truth" / "a.png"
    )
    assert "a.png: a mask with transparent pixels" in call(world).error


def test_the_solver_looks_at_the_photos(golden: Path, tmp_path: Path) -> None:
    """Maps and photos of the golden folder: the scorer's figures are those of the functions, photo by photo."""
    softs = np.load(golden / "saliency_metrics" / "predictions.npz")
    names = [path.stem for path in sorted((golden / "images").glob("*.png")) if path.stem in softs][:2]
    for folder in ("pred", "truth", "photos"):
        (tmp_path / folder).mkdir()
    for name in names:
        np.save(tmp_path / "pred" / f"{name}.npy", softs[name])
        shutil.copy(golden / "gt" / f"{name}.png", tmp_path / "truth")
        shutil.copy(golden / "images" / f"{name}.png", tmp_path / "photos")
    photos = str(tmp_path / "photos")
    done = call(tmp_path, "--photos", photos)
    assert set(done.table["variant"]) == {"multi", "single", "multi+bs", "single+bs"}
    assert set(done.about["counts"]["bilateral_solver"]) == {"multi+bs", "single+bs"}
    rows = done.photos[done.photos["variant"] == "multi+bs"].set_index("photo")
    solver = saliency.solver_variants(True)
    for name in names:
        truth = np.asarray(Image.open(golden / "gt" / f"{name}.png")) == 255
        grid = BilateralGrid.of(read_photo(golden / "images" / f"{name}.png"))
        expected = saliency.score_refined(softs[name] > 0.5, truth, grid, solver)["multi+bs"]
        assert rows.loc[name, "iou"] == pytest.approx(expected.iou, abs=1e-9)
    peers = call(tmp_path, "--photos", photos, "--variant", "multi+bs-peers")
    assert set(peers.table["variant"]) == {"multi+bs-peers"}
    assert "the bilateral solver needs the photos" in call(tmp_path, "--variant", "single+bs").error
    (tmp_path / "photos" / f"{names[0]}.png").unlink()
    assert f"1 photos are not in {photos}:\n  {names[0]}" in call(tmp_path, "--photos", photos).error


def test_outputs_are_checked_before_the_work(world: Path) -> None:
    same = Called(world, "saliency", "--pred", world / "pred", "--truth", world / "truth", "--list", world / "out.csv")
    assert "would be written over" in str(same.result.exception)
    assert "no such file or folder" in Called(world, "saliency", "--pred", world / "x", "--truth", world).error
