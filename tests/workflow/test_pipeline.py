"""The DAG: the demo end to end, nothing to do twice, an edit re-runs what depends on it."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch
from workflow.running import Run

from heap import load, paths

pytestmark = pytest.mark.slow  # the whole small demo; test_small_run.py is its quick sister

DEMO = paths.metrics("demo")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, small_config: Callable[[], dict[str, Any]]) -> Run:
    return Run(tmp_path_factory.mktemp("demo"), small_config())


@pytest.fixture(scope="module")
def done(run: Run) -> Run:
    """The small demo, made once for this module; tests that edit the configuration put it back."""
    run.snakemake(DEMO, paths.report("demo"), "--set-scatter", "extract=3")
    return run


def test_a_clone_without_data_plans_every_benchmark(run: Run) -> None:
    planned = run.planned(
        paths.metrics("voc"), paths.metrics("coco20k"), paths.metrics("ecssd"), paths.clusters("everyday")
    )
    assert {
        "cluster",
        "fetch",
        "weights",
        "manifest",
        "extract",
        "gather",
        "train",
        "group",
        "evaluate",
    } <= planned


def test_the_demo_fills_its_table_and_its_page(done: Run) -> None:
    table = pd.read_csv(done.folder / DEMO)
    assert set(table["task"]) == {"saliency", "discovery", "instances", "retrieval", "semantic"}
    assert set(table.loc[table["task"] == "instances", "metric"]) == {"ap50", "ap50_95", "ar100"}
    # Every figure has an interval but the mean of ten shuffles.
    assert set(table.loc[table["low"].isna(), "metric"]) == {
        "miou_shuffled", "miou_objects_shuffled", "nmi_shuffled",
    }  # fmt: skip
    assert not (table["low"] > table["high"]).any()
    assert table["value"].notna().all()
    everything = table[(table["method"] == "everything") & (table["metric"] == "iou")]["value"]
    assert 0 < everything.iloc[0] < 0.6
    details = json.loads((done.folder / paths.metrics_details("demo")).read_text())
    assert "descriptors (hand-made" in json.dumps(details)
    page = (done.folder / paths.report("demo")).read_text()
    assert "hand-made" in page
    masks = list((done.folder / "results/masks/scenes").glob("*.png"))
    assert len(masks) == 16


def test_a_baseline_gets_masks_of_its_own(done: Run) -> None:
    target = paths.method_masks("tokencut", "scenes")
    assert done.planned(target, "--set-scatter", "extract=3") == {"method_masks"}
    done.snakemake(target, "--set-scatter", "extract=3")
    ours = {p.name for p in (done.folder / "results/masks/scenes").glob("*.png")}
    assert {p.name for p in (done.folder / "results/masks/tokencut/scenes").glob("*.png")} == ours
    assert json.loads((done.folder / target).read_text())["method"] == "tokencut"


def test_a_trained_model_becomes_one_folder(done: Run) -> None:
    target = paths.model("demo")
    assert done.planned(target, "--set-scatter", "extract=3") == {"model"}
    done.snakemake(target, "--set-scatter", "extract=3")
    made, trained = (load(done.folder / name) for name in ("results/models/demo", "results/head"))
    assert made.identity == trained.identity == json.loads((done.folder / target).read_text())["identity"]
    assert made.clusters == 4


def test_the_demo_says_how_much_hangs_on_the_seed(done: Run) -> None:
    done.snakemake(paths.seeds("demo"), "--set-scatter", "extract=3")
    table = pd.read_csv(done.folder / paths.seeds("demo"))
    chosen = json.loads((done.folder / paths.seeds_details("demo")).read_text())["chosen"]["scenes"]
    metrics = pd.read_csv(done.folder / DEMO)
    ours = metrics[(metrics["method"] == "heap") & ~metrics["variant"].str.contains("+smooth", regex=False)]
    ours = ours[ours["task"].isin(list(table["task"]))].reset_index(drop=True)
    assert (table["seeds"] == 2).all()
    assert set(table["task"]) == {"saliency", "discovery", "retrieval"}
    # The chosen seed's figures are those of the benchmark's own table.
    assert table[f"seed_{chosen}"].tolist() == pytest.approx(ours["value"].tolist(), abs=1e-9)


def test_every_variant_of_the_ablation_is_trained_on_the_cache_that_is_there(done: Run) -> None:
    scatter = ("--set-scatter", "extract=3")
    needed = {"train", "group", "ablation"}
    assert done.planned(paths.ablation(), *scatter) == needed
    done.snakemake(paths.ablation(), *scatter)
    table = pd.read_csv(done.folder / paths.ablation())
    assert list(dict.fromkeys(table["ablation"])) == ["no_inter", "full"]  # in the configuration's order
    for _, rows in table.groupby("ablation"):
        assert set(rows["task"]) == {"saliency", "discovery", "retrieval"}
        assert (rows["seeds"] == 2).all()
        assert not rows[["mean", "deviation"]].isna().any(axis=None)
    # The model as it is gives the figures of its own seeds.
    done.snakemake(paths.seeds("demo"), *scatter)
    own = pd.read_csv(done.folder / paths.seeds("demo"))
    full = table[table["ablation"] == "full"].drop(columns="ablation").reset_index(drop=True)
    pd.testing.assert_frame_equal(full, own)
    details = json.loads((done.folder / paths.ablation_details()).read_text())
    assert set(details["heads"]["no_inter"]) == {"seed 0", "seed 1"}
    assert done.planned(paths.ablation(), *scatter) == set()


def test_pictures_for_people_and_snakemakes_own_report(done: Run) -> None:
    scatter = ("--set-scatter", "extract=3")
    extra = (paths.curves("demo"), paths.comparison("demo"), paths.pictures("scenes"))
    assert done.planned(*extra, *scatter) == {"curves", "compare", "pictures"}
    done.snakemake(*extra, *scatter)
    ours = {path.stem for path in (done.folder / "results/masks/scenes").glob("*.png")}
    assert {path.stem for path in (done.folder / "results/pictures/scenes").glob("*.jpg")} == ours
    # Tables, curves and page: the annotated outputs of every job behind the targets.
    done.snakemake(DEMO, paths.report("demo"), *extra, *scatter, "--report", "report.zip")
    with zipfile.ZipFile(done.folder / "report.zip") as archive:
        names = {name.split("/")[-1] for name in archive.namelist()}
        page = next(name for name in archive.namelist() if name.endswith("report.html"))
        text = archive.read(page).decode()
    assert names == {"report.html", "demo_metrics.csv", "demo_table.md", "demo.html", "demo.csv", "demo_curves.svg"}
    assert "Signs" not in text  # results lie beside the page, not in it
    assert "one a row, with its 95 % interval" in text  # the captions


def test_a_forced_training_that_fails_takes_nothing_away(done: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    scatter = ("--set-scatter", "extract=3")
    before = {path: path.read_bytes() for path in (done.folder / "results").glob("head*/demo/**/head.safetensors")}
    assert len(before) == 3  # of two seeds, and the chosen one's copy
    monkeypatch.setenv("HEAP_DEVICE", "mps" if torch.cuda.is_available() else "cuda")
    text = done.snakemake(DEMO, *scatter, "--forcerun", "train", ok=False)
    monkeypatch.delenv("HEAP_DEVICE")
    assert re.search(r"HEAP_DEVICE: device '\w+' was asked for, but torch sees none", text)
    assert "Error in rule" not in text, "said before the first job"
    (store,) = (done.folder / "results/features/scenes").glob("*.zarr")
    store.rename(store.with_suffix(".away"))
    text = done.snakemake(DEMO, *scatter, "--forcerun", "train", ok=False)
    store.with_suffix(".away").rename(store)
    assert "Error in rule train" in text
    assert {path: path.read_bytes() for path in before} == before
    load(done.folder / "results/head")
    assert done.planned(DEMO, *scatter) == set()


def test_extraction_was_scattered(done: Run) -> None:
    parts = [json.loads(p.read_text()) for p in (done.folder / "results/features/scenes.parts").glob("*.json")]
    assert len(parts) == 3
    assert sum(part["photos_encoded"] for part in parts) == 16
    assert all(part["photos_encoded"] > 0 for part in parts)


@pytest.mark.parametrize(
    ("key", "value", "rules"),
    [
        ("models.demo.overrides.seeds", [0], {"select", "group", "cluster", "segment", "evaluate"}),
        ("segment.threshold", 0.6, {"segment", "evaluate"}),
        ("baselines.tokencut.tau", 0.1, {"baseline", "evaluate"}),
        ("baselines.found.seed", 1, set()),
        ("cluster.seed", 1, {"cluster", "segment", "evaluate"}),
        ("datasets.scenes.max_px", 100, {"extract", "gather", "train", "select", "group", "baseline",
                                         "cluster", "segment", "evaluate"}),
        ("datasets.ecssd.root", "/elsewhere", set()),
        ("report.photos", 9, set()),
    ],
)  # fmt: skip
def test_an_edit_reruns_what_depends_on_it(done: Run, key: str, value: Any, rules: set[str]) -> None:
    before = json.loads(json.dumps(done.config))
    changed = json.loads(json.dumps(done.config))
    *parents, last = key.split(".")
    place = changed
    for name in parents:
        place = place.setdefault(name, {})
    place[last] = value
    done.edit(changed)
    try:
        assert done.planned(DEMO, "--set-scatter", "extract=3") == rules
    finally:
        done.edit(before)


def test_a_second_run_has_nothing_to_do_after_all_these_edits_were_taken_back(done: Run) -> None:
    text = done.snakemake(DEMO, paths.report("demo"), "--set-scatter", "extract=3")
    assert "Nothing to be done" in text


def test_a_failing_job_fails_the_run_and_says_why(done: Run) -> None:
    changed = json.loads(json.dumps(done.config))
    changed["models"]["photos"]["encoder"] = "descriptors"  # no test downloads weights
    before, _ = done.config, done.edit(changed)
    try:
        text = done.snakemake(paths.masks("photos"), ok=False)
    finally:
        done.edit(before)
    assert "datasets.photos.root" in text


def test_a_swallowed_target_stops_the_run_before_any_job(done: Run) -> None:
    """Without a target Snakemake would make everything, downloads and all."""
    text = done.snakemake("--forcerun", "cluster", DEMO, ok=False)
    assert f"--forcerun took {DEMO} as its own value" in text
    assert f"snakemake --cores all {DEMO} --forcerun cluster" in text
    assert "localrule fetch:" not in text
    assert not (done.folder / "resources/ecssd.json").exists()


def test_one_method_and_one_dataset_of_several_can_be_asked_for(done: Run) -> None:
    scatter = ("--set-scatter", "extract=3")
    assert done.planned(paths.maps("tokencut", "scenes"), *scatter, "--forcerun", "baseline") == {"baseline"}
    assert done.planned(paths.clusters("scenes"), *scatter, "--forcerun", "cluster") == {"cluster"}
    assert done.planned(DEMO, *scatter, "--forcerun", "cluster") == {"cluster", "segment", "evaluate"}


def test_one_stage_again_and_no_further_than_it(done: Run) -> None:
    """The last test of this file: what it leaves is newer than before."""
    scatter = ("--set-scatter", "extract=3")
    before = (done.folder / DEMO).read_bytes()
    text = done.snakemake(DEMO, *scatter, "--until", "cluster", "--forcerun", "cluster")
    assert re.findall(r"^(?:local)?rule (\w+):", text, re.MULTILINE) == ["cluster"]
    assert (done.folder / DEMO).read_bytes() == before
    text = done.snakemake(DEMO, *scatter, "--forcerun", "cluster")
    assert re.findall(r"^(?:local)?rule (\w+):", text, re.MULTILINE) == ["cluster", "segment", "evaluate"]
    assert (done.folder / DEMO).read_bytes() == before
