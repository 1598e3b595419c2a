from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_benchmark import PATCH_PX, Bench

from heap.cache.maps import write_maps
from heap.cache.reader import FeatureReader
from heap.errors import DataError
from heap.evaluate.stage import evaluate
from heap.grid import PatchGrid
from heap.group.smooth import smooth

TASKS: list[dict[str, Any]] = [
    {"task": "saliency", "dataset": "tiny"},
    {"task": "discovery", "dataset": "tiny"},
    {"task": "retrieval", "dataset": "tiny", "gallery": "train", "query": "val", "subsets": {"miou_cat": ["cat"]}},
    {"task": "semantic", "dataset": "tiny"},
    {"task": "instances", "dataset": "tiny"},
]
METHODS = ["heap", "everything", "attention"]


def run(bench: Bench, tasks: list[dict[str, Any]] = TASKS, **changes: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    manifest = bench.write_manifest()
    features = bench.write_features(manifest)
    files: dict[str, Any] = {
        "frozen": bench.write_frozen(tasks, METHODS),
        "manifests": [manifest],
        # Any order: each receipt says itself what it is of.
        "maps": [bench.write_maps(features, method) for method in reversed(METHODS)],
        "features": [features],
        "masks": [bench.write_masks()],
        "out_csv": bench.folder / "tiny_metrics.csv",
        "out_photos": bench.folder / "tiny_photos.parquet",
    }
    evaluate(**{**files, **changes})
    return pd.read_csv(files["out_csv"]), json.loads((bench.folder / "tiny_metrics.json").read_text())


def value(table: pd.DataFrame, **wanted: str) -> float:
    rows = table
    for column, name in wanted.items():
        rows = rows[rows[column] == name]
    (row,) = rows.itertuples()
    return float(row.value)


def test_a_perfect_method_and_a_trivial_one(bench: Bench) -> None:
    table, about = run(bench)
    assert (table["images"].where(table["task"] != "retrieval", 9) == 9).all()
    assert (table[table["task"] == "retrieval"]["images"] == 5).all()
    assert (table["skipped"] == 0).all()
    assert list(dict.fromkeys(table["task"])) == ["saliency", "discovery", "retrieval", "semantic", "instances"]
    assert list(dict.fromkeys(table["method"])) == METHODS

    for variant in ("multi", "single"):
        assert value(table, method="heap", variant=variant, metric="iou") == pytest.approx(1, abs=1e-6)
        assert value(table, method="heap", variant=variant, metric="acc") == 1
    shares = [bench.truth(i).mean() for i in range(9)]
    assert value(table, method="everything", variant="multi", metric="iou") == pytest.approx(np.mean(shares), abs=1e-6)
    # The binary map is empty, but thresholds below 0.4 find the object.
    assert value(table, method="attention", variant="multi", metric="iou") == 0
    assert value(table, method="attention", variant="single", metric="max_f") == 0
    assert value(table, method="attention", variant="multi", metric="max_f") > 0.7

    assert value(table, method="heap", metric="corloc") == 100
    assert value(table, method="everything", metric="corloc") == 0
    fallbacks = table[table["metric"] == "corloc"].set_index("method")["fallbacks"]
    assert fallbacks.to_dict() == {"heap": 0, "everything": 0, "attention": 9}

    assert value(table, method="heap", metric="miou_3", task="retrieval") == 1
    assert value(table, method="heap", metric="miou_cat") == 1
    assert value(table, method="attention", metric="miou_3") < 0.34  # all masks empty: only background is right
    (told,) = (t for t in about["tasks"] if t["task"] == "retrieval" and t["method"] == "attention")
    assert (told["gallery"], told["gallery_with_a_class"], told["queries_without_a_mask"]) == (4, 0, 5)
    assert any("every query stayed background" in warning for warning in about["warnings"])

    assert value(table, metric="miou_3", task="semantic") == 1
    assert value(table, metric="nmi") == pytest.approx(1)
    assert value(table, metric="miou_shuffled") < 0.8

    for metric in ("ap50", "ap50_95", "ar100"):
        assert value(table, method="heap", metric=metric) == pytest.approx(1)
        # One box around each whole photo, of which the band is less than half; nothing of a map below 0.5.
        assert value(table, method="everything", metric=metric) == 0
        assert value(table, method="attention", metric=metric) == 0
    assert table["low"].isna().all()  # intervals are switched off here

    assert about["settings"]["benchmark"]["methods"] == METHODS
    assert about["datasets"]["tiny"]["maps"]["heap"]["encoder"] == "planted"
    assert about["datasets"]["tiny"]["maps"]["heap"]["weights"] == {"source": "random", "sha256": "a" * 64}
    assert about["datasets"]["tiny"]["maps"]["heap"]["head_sha256"] == "b" * 64
    assert not list(bench.folder.glob("progress*"))


def test_every_photo_has_its_own_figures_and_every_figure_an_interval(tmp_path: Path) -> None:
    bench = Bench(tmp_path, bootstrap=50)
    table, about = run(bench)
    photos = pd.read_parquet(tmp_path / "tiny_photos.parquet")
    assert about["settings"]["evaluate"] == {"bootstrap": 50, "seed": 0}
    assert set(table.loc[table["low"].isna(), "metric"]) == {
        "miou_shuffled", "miou_objects_shuffled", "nmi_shuffled",
    }  # fmt: skip
    assert (table["low"].isna() | (table["low"] <= table["high"])).all()
    for (task, method, variant), rows in photos.groupby(["task", "method", "variant"]):
        assert rows["photo"].is_unique
        chosen = table[(table["task"] == task) & (table["method"] == method) & (table["variant"] == variant)]
        assert (chosen["images"] == len(rows)).all()
        # The figures that are plain means are the means of the rows.
        for row in chosen[chosen["metric"].isin(["iou", "acc", "max_f_found"])].itertuples():
            assert rows[row.metric].mean() == pytest.approx(row.value)
        for row in chosen[chosen["metric"] == "corloc"].itertuples():
            assert 100 * rows["correct"].mean() == row.value
    everything = table[(table["method"] == "everything") & (table["metric"] == "iou") & (table["variant"] == "multi")]
    assert (everything["low"] < everything["value"]).all()
    assert (everything["value"] < everything["high"]).all()


def test_neither_workers_nor_the_order_of_photos_show(tmp_path: Path) -> None:
    tables = {}
    for name, order, workers in (
        ("plain", range(9), 1),
        ("order", [4, 8, 0, 3, 7, 1, 6, 2, 5], 1),
        ("two", range(9), 2),
    ):
        folder = tmp_path / name
        folder.mkdir()
        # Starting processes takes seconds, so only two of the tasks do it.
        run(Bench(folder, order=list(order), bootstrap=20), TASKS if workers == 1 else TASKS[:3:2], workers=workers)
        tables[name] = (folder / "tiny_metrics.csv").read_text().splitlines()
    assert tables["plain"] == tables["order"]
    others = (",discovery,", ",semantic,", ",instances,")
    assert tables["two"] == [row for row in tables["plain"] if not any(task in row for task in others)]


def test_photos_skipped_at_extraction_are_counted(tmp_path: Path) -> None:
    table, about = run(Bench(tmp_path, skipped=(2, 7)))
    rows = table[(table["method"] == "heap") & (table["task"] == "saliency")]
    assert set(zip(rows["images"], rows["skipped"], strict=True)) == {(7, 2)}
    (told,) = (t for t in about["tasks"] if t["task"] == "saliency" and t["method"] == "heap")
    assert told["skipped"] == [{"photo": f"photo{i}", "reason": "cut file"} for i in (2, 7)]
    assert value(table, method="heap", metric="corloc") == 100


def test_only_the_asked_split_is_measured_and_named_where_two_are(bench: Bench) -> None:
    tasks = [{"task": "discovery", "dataset": "tiny", "split": split} for split in ("train", "val")]
    table, _ = run(bench, tasks)
    heap = table[table["method"] == "heap"].set_index("variant")["images"]
    assert heap.to_dict() == {"largest+train": 4, "largest+val": 5}
    table, _ = run(bench, tasks[:1])
    assert set(table["variant"]) == {"largest"}


def test_both_readings_of_the_truth_stand_side_by_side(bench: Bench) -> None:
    tasks = [{"task": "saliency", "dataset": "tiny"}, {"task": "saliency", "dataset": "tiny", "truth": "nonzero"}]
    table, _ = run(bench, tasks)
    assert set(table["variant"]) == {"multi", "single", "multi+nonzero", "single+nonzero"}


def test_masks_of_0_and_1_are_refused_by_name(tmp_path: Path) -> None:
    bench = Bench(tmp_path, foreground=1)
    told = r"9 of 9 true masks have pixels above 0 but none of 255.*mask0\.png \(highest 1\).*truth: nonzero"
    with pytest.raises(DataError, match=told):
        run(bench, TASKS[:1])
    table, about = run(bench, [{**TASKS[0], "truth": "nonzero"}])
    assert value(table, method="heap", variant="multi+nonzero", metric="acc") == 1
    assert [w for w in about["warnings"] if "grey pixels" in w] == about["warnings"]  # once, not once a method


def test_every_method_stands_in_the_table_smoothed_as_heap_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path, smoothing=1.0, bootstrap=20)
    table, about = run(bench)
    plain = {"saliency": "multi", "discovery": "largest", "retrieval": "train-val", "instances": "boxes"}
    for task, variant in plain.items():
        of = table[table["task"] == task].set_index(["method", "variant", "metric"])
        rows, smoothed = (of.xs(name, level="variant") for name in (variant, variant + "+smooth"))
        assert list(smoothed.index.get_level_values("method").unique()) == METHODS
        # HEAP's maps are smoothed already, and a map of one side of 0.5 is left alone.
        pd.testing.assert_frame_equal(rows, smoothed)
    assert set(table[table["task"] == "semantic"]["variant"]) == {"hungarian"}
    assert [told["smoothed"] for told in about["tasks"][:6]] == [False] * 3 + [True] * 3


def test_what_smoothing_makes_of_a_map_is_measured(tmp_path: Path) -> None:
    bench = Bench(tmp_path, smoothing=1.0)
    features = bench.write_features(bench.write_manifest())
    reader = FeatureReader(features)
    ids = [str(image_id) for image_id in reader.images["image_id"]]
    halves = []
    for image_id in ids:  # the left half of each object: its other patches are like these
        grid = bench.grid(int(image_id.removeprefix("photo")))
        grid[:, grid.shape[1] // 2 :] = 0
        halves.append(grid.ravel())
    write_maps(tmp_path / "lost.json", reader, "lost", [(half, None) for half in halves], {})
    frozen = bench.write_frozen([{"task": "saliency", "dataset": "tiny"}], ["lost"])
    out = tmp_path / "m.csv"
    given: dict[str, Any] = {"maps": [tmp_path / "lost.json"], "masks": [], "out_csv": out}
    evaluate(frozen, [tmp_path / "tiny.parquet"], features=[features], **given)
    iou = pd.read_csv(out).set_index(["variant", "metric"])["value"].xs("iou", level="metric")
    assert iou["multi"] == pytest.approx(0.5, abs=0.05)
    expected = []
    for image_id, half, row in zip(ids, halves, range(len(ids)), strict=True):
        i = int(image_id.removeprefix("photo"))
        grid = smooth(half, reader.features(row), 1.0).reshape(bench.grid(i).shape)
        soft = PatchGrid(bench.size(i), bench.size(i), PATCH_PX).saliency(grid)
        expected.append(((soft > 0.5) & bench.truth(i)).sum() / ((soft > 0.5) | bench.truth(i)).sum())
    assert iou["multi+smooth"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert iou["multi+smooth"] > iou["multi"] + 0.1
    with pytest.raises(DataError, match=r"variants \+smooth need the receipt of its features"):
        evaluate(frozen, [tmp_path / "tiny.parquet"], features=[], **given)


@pytest.mark.parametrize("task", [TASKS[2], TASKS[3]])
def test_ground_truth_that_is_ignored_everywhere_is_no_zero(tmp_path: Path, task: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"true class masks ignored \(255\) everywhere.*nothing to score"):
        run(Bench(tmp_path, ignored=tuple(range(9))), [task])
    _, about = run(Bench(tmp_path, ignored=(8,)), [task])
    assert "1 of" in about["warnings"][0]
    assert "(255) everywhere: photo8" in about["warnings"][0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"manifests": []}, "tiny: no manifest"),
        ({"maps": []}, "tiny: no maps of method heap, everything, attention"),
        ({"features": []}, "retrieval needs the receipt of its features"),
        ({"masks": []}, "semantic needs its masks JSON"),
    ],
)
def test_what_is_missing_is_named(bench: Bench, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        run(bench, **changes)
    assert not (bench.folder / "tiny_metrics.csv").exists()


def test_two_maps_of_one_method_are_refused(bench: Bench) -> None:
    manifest = bench.write_manifest()
    receipt = bench.write_maps(bench.write_features(manifest), "heap")
    with pytest.raises(DataError, match="of heap on tiny, like"):
        run(bench, maps=[receipt, receipt])


def test_an_unknown_class_of_a_subset_is_named(bench: Bench) -> None:
    retrieval = {**TASKS[2], "subsets": {"miou_birds": ["bird"]}}
    with pytest.raises(DataError, match="subset miou_birds names bird; there are: cat, dog"):
        run(bench, [retrieval])
