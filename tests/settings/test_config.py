"""The configuration: what is refused, in which words, and what a stage may know of it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from heap.errors import SettingsError
from heap.files import write_json
from heap.settings import frozen_text, load, parse, read_frozen, settings_of
from heap.settings.config import ABLATION, read
from heap.settings.freeze import frozen_digest, names_of
from heap.settings.resolved import STAGES
from heap.settings.schema import schema_text

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = REPOSITORY / "config" / "config.yaml"


@pytest.fixture
def raw() -> dict[str, Any]:
    return read(CONFIG)


def edited(raw: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(raw)
    *parents, last = path.split("/")
    place: Any = changed
    for key in parents:
        place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
    place[last] = value
    return changed


def test_every_benchmark_of_the_mission_is_ready(raw: dict[str, Any]) -> None:
    config = load(CONFIG)
    assert set(config.benchmarks) == {"demo", "voc", "coco20k", "ecssd", "duts_te", "dut_omron"}
    expected = {"voc07": 5011, "voc12": 11540, "coco20k": 19817, "duts_tr": 10553, "duts_te": 5019,
                "dut_omron": 5168, "ecssd": 1000}  # fmt: skip
    assert {name: config.datasets[name].expected_images for name in expected} == expected


def test_every_line_with_a_key_is_explained_in_the_models(raw: dict[str, Any]) -> None:
    def undescribed(schema: dict[str, Any]) -> list[str]:
        return [
            f"{name}.{key}"
            for name, model in schema["$defs"].items()
            for key, value in model.get("properties", {}).items()
            if "description" not in value
            and key not in ("kind", "layout", "task", "dataset")
            and not (name == "FolderDataset" and key == "on_bad_image")
        ]

    assert undescribed(yaml.safe_load(schema_text())) == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("train/sizze", 224, ["train.sizze: unknown key", "(`heap explain train` lists the known)"]),
        ("train/iterations", 3, ["train.iterations", "steps"]),
        ("models/demo/overrides", {"head": {"tokens": 8}}, ["models.demo.overrides.head.tokens", "num_groups"]),
        ("datasets/ecssd/rooot", "x", ["datasets.ecssd.rooot: unknown key; did you mean root? (`heap explain data"]),
        ("train/steps", "many", ["train.steps", "many"]),
        ("train/steps", 0, ["train.steps", "greater than or equal to 1"]),
        ("train/steps", 3.5, ["train.steps", "3.5"]),
        ("train/seeds", [True], ["train.seeds.0", "True"]),
        ("train/seeds", [], ["train.seeds"]),
        ("train/seeds", [1, 1], ["train", "[1, 1]"]),
        ("train/loss/bank", 100, ["train", "loss.bank", "512"]),
        ("train/learning_rate", "fast", ["train.learning_rate", "fast"]),
        ("train/learning_rate", float("nan"), ["train.learning_rate", "finite"]),
        ("train/loss/variant", "robst", ["train.loss.variant", "robst", "'robust'"]),
        ("encoders/dino_vits8/patch_px", 16, ["encoders.dino_vits8.patch_px", "8 px", "16"]),
        ("encoders/dino_vits8/block", 12, ["encoders.dino_vits8.block", "-12 to 11"]),
        ("datasets/duts_tr/resize_px", [225, 224], ["datasets.duts_tr.resize_px", "225", "patch size 8"]),
        ("cluster/foreground", 100000, ["cluster.foreground", "at most"]),
        ("models/benchmarks/encoder", "dyno", ["models.benchmarks.encoder", "dyno", "dino_vits8"]),
        ("models/benchmarks/train_on", "scenes", ["models.benchmarks.train_on", "descriptors"]),
        ("models/demo/train_split", "trian", ["models.demo.train_split", "trian", "train, val"]),
        ("models/demo/overrides", {"iteration": 3}, ["models.demo.overrides", "iteration", "unknown key"]),
        ("models/demo/overrides", {"seed": 3}, ["models.demo.overrides.seed", "unknown key"]),
        ("benchmarks/voc/tasks/0/dataset", "voc08", ["benchmarks.voc.tasks.0.dataset", "voc08"]),
        ("benchmarks/ecssd/tasks/0/task", "discovery", ["benchmarks.ecssd.tasks.0"]),
        ("benchmarks/voc/tasks/2/query", "test", ["benchmarks.voc.tasks.2.query", "test"]),
        ("benchmarks/demo/methods", ["heap", "magic"], ["benchmarks.demo.methods", "magic"]),
        ("datasets/voc12_seg/files", "voc13", ["datasets.voc12_seg.files", "voc13"]),
        ("datasets/bad-name", {"layout": "folder"}, ["datasets.bad-name"]),
        ("datasets/ecssd/layout", "salience", ["datasets.ecssd", "salience"]),
        ("encoders/dino_vits8/sha256", "12", ["encoders.dino_vits8.sha256"]),
        ("baselines/tokencut/tua", 0.2, ["baselines.tokencut.tua", "unknown key"]),
        ("baselines/kmeans/clusters", 1, ["baselines.kmeans.clusters", "greater than or equal to 2"]),
        ("cluster/foreground", 0, ["cluster.foreground: ", "greater than or equal to 1"]),
        ("cluster/foreground", {"choose": [5, 100000]}, ["cluster.foreground", "100000", "at most"]),
        ("cluster/foreground", {"choose": [40, 5]}, ["cluster.foreground.choose: ", "below the second"]),
        ("cluster/background", {"choose": [1, 5]}, ["cluster.background.choose.0: ", "greater than or equal to 2"]),
        ("cluster/background", {"chose": [2, 5]}, ["cluster.background.chose: unknown key; did you mean choose?"]),
        ("collections/everyday/datasets", ["voc07", "voc08"], ["collections.everyday.datasets.1", "voc08"]),
        ("collections/everyday/datasets", ["voc07", "scenes"], ["collections.everyday.datasets", "scenes by demo"]),
        ("collections/everyday/datasets", ["voc07", "voc07"], ["collections.everyday.datasets", "there twice"]),
        ("collections/everyday/datasets", ["voc07"], ["collections.everyday.datasets", "at least 2"]),
        ("collections/voc12", {"datasets": ["voc07", "coco20k"]}, ["collections.voc12", "name of a dataset"]),
        ("datasets/lost", {"layout": "folder"}, ["datasets.lost", "name of a method"]),
        ("ablation/variants/no_intra", {"loss": {"intraa": 0}}, ["ablation.variants.no_intra.loss.intraa", "unknown"]),
        ("ablation/variants/no_intra", {"seeds": [1]}, ["ablation.variants.no_intra.seeds", "ablation.seeds"]),
        ("ablation/variants/no-intra", {}, ["ablation.variants.no-intra"]),
        ("ablation/benchmark", "dmo", ["ablation.benchmark", "dmo"]),
        ("ablation/benchmark", "ecssd", ["ablation.benchmark", "ecssd", "descriptors"]),
        ("ablation/model", "dmo", ["ablation.model", "dmo"]),
        ("models/ablation_full", {"encoder": "descriptors", "train_on": "scenes"}, ["models.ablation_full"]),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_with_their_key(raw: dict[str, Any], path: str, value: Any, words: list[str]) -> None:
    with pytest.raises(SettingsError) as error:
        parse(edited(raw, path, value))
    for word in words:
        assert word in str(error.value)


def test_discovery_on_a_dataset_without_boxes_is_refused(raw: dict[str, Any]) -> None:
    changed = edited(raw, "benchmarks/ecssd/tasks", [{"task": "discovery", "dataset": "ecssd"}])
    with pytest.raises(SettingsError, match="discovery needs boxes, which dataset ecssd does not have"):
        parse(changed)


def test_yaml_1_2_numbers_are_numbers(raw: dict[str, Any]) -> None:
    assert isinstance(raw["train"]["learning_rate"], str)  # PyYAML's reading of 5e-4
    assert parse(raw).train.learning_rate == 5e-4


@pytest.mark.parametrize("text", ["train: [", "\x00", "- 1\n- 2", "", "a: *b"])
def test_files_that_are_no_config_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"mine\.yaml"):
        load(path)


def test_schema_file_is_the_generated_one_and_accepts_the_config(raw: dict[str, Any]) -> None:
    text = (REPOSITORY / "workflow/schemas/config.schema.yaml").read_text()
    assert text == schema_text(), "run `make schema`"
    schema = yaml.safe_load(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(raw, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(edited(raw, "train/sizze", 224), schema)


BENCHMARKS = ("demo", "voc", "coco20k", "ecssd", "duts_te", "dut_omron")
DATASETS = (
    "voc07", "voc12", "voc12_seg", "coco20k", "duts_tr", "duts_te", "dut_omron", "ecssd", "photos", "scenes",
)  # fmt: skip


def jobs(config: Any) -> dict[tuple[str, str], str]:
    """The digest of every job's settings, but those of the ablation's variants and of collections."""
    return {
        (stage, name): frozen_digest(config, stage, name)
        for stage in STAGES
        for name in names_of(config, stage)
        if not name.startswith(ABLATION) and name not in config.collections
    }


@pytest.mark.parametrize(
    ("path", "value", "changed"),
    [
        ("train/seeds", [1], {("select", "benchmarks"), ("select", "photos")}),  # the demo has its own
        ("train/grad_clip", 2.0, {("train", "benchmarks"), ("train", "photos"), ("train", "demo")}),
        ("models/demo/overrides", {"steps": 7}, {("train", "demo"), ("select", "demo")}),
        ("datasets/ecssd/root", "/data", {("fetch", "ecssd")}),
        ("datasets/voc12_seg/resize_px", [480, 480], {("extract", "voc12_seg")}),
        ("datasets/scenes/seed", 5, {("fetch", "scenes"), ("manifest", "scenes")}),
        ("encoders/descriptors/patch_px", 16, {("extract", "scenes"), ("weights", "descriptors")}),
        (
            "evaluate/bootstrap",
            0,
            {("evaluate", name) for name in BENCHMARKS},
        ),
        ("benchmarks/ecssd/tasks/0/truth", "nonzero", {("evaluate", "ecssd"), ("report", "ecssd")}),
        ("baselines/tokencut/tau", 0.1, {("maps", "tokencut")}),
        ("baselines/found/steps", 7, {("found", "benchmarks"), ("found", "photos"), ("found", "demo")}),
        ("segment/threshold", 0.6, None),
        (
            "group/smoothing",
            0.5,
            {("group", name) for name in DATASETS}
            | {("model", name) for name in ("benchmarks", "photos", "demo")}
            | {("evaluate", name) for name in BENCHMARKS},
        ),
        ("ablation/seeds", [5], {("ablation", "demo")}),
        ("ablation/variants/tokens_4", {"head": {"num_groups": 5}}, {("ablation", "demo")}),
        ("pictures/longest_px", 320, {("pictures", name) for name in DATASETS}),
        ("report/gallery_mb", 8, {("report", name) for name in (*BENCHMARKS, *DATASETS)}),
    ],
)
def test_an_edit_changes_just_the_settings_of_what_depends_on_it(
    raw: dict[str, Any], path: str, value: Any, changed: set[tuple[str, str]] | None
) -> None:
    before, after = jobs(parse(raw)), jobs(parse(edited(raw, path, value)))
    found = {key for key in before if before[key] != after[key]}
    if changed is None:
        expected = {("segment", name) for name in raw["datasets"]} | {("model", name) for name in raw["models"]}
    else:
        expected = changed
    if path.startswith("encoders/descriptors"):
        found.discard(("weights", "descriptors"))
        expected = expected - {("weights", "descriptors")}
    assert found == expected


def test_a_variant_of_the_ablation_is_its_model_but_for_what_it_changes(raw: dict[str, Any]) -> None:
    config = parse(edited(raw, "models/demo/overrides/loss", {"prior": 0.7}))
    own, variant = (settings_of(config, "train", name) for name in ("demo", "ablation_no_intra"))
    assert variant["train"]["loss"] == {**own["train"]["loss"], "intra": 0.0}
    assert variant["train"]["loss"]["prior"] == 0.7
    assert config.train_settings("ablation_no_intra").seeds == [0, 1, 2] != config.train_settings("demo").seeds
    assert variant["train_split"] == own["train_split"] == "train"
    # Another variant's edit leaves it alone, and without the section there is none.
    after = parse(edited(raw, "ablation/variants/no_inter", {"loss": {"inter": 0.5}}))
    assert frozen_text(after, "train", "ablation_no_intra") == frozen_text(parse(raw), "train", "ablation_no_intra")
    assert set(parse(edited(raw, "ablation", None)).heads()) == set(raw["models"])


def test_key_order_and_equal_values_change_nothing(raw: dict[str, Any]) -> None:
    def turned(value: Any) -> Any:
        return {k: turned(value[k]) for k in reversed(value)} if isinstance(value, dict) else value

    again = turned(raw)
    again["train"]["learning_rate"] = 0.0005
    assert jobs(parse(raw)) == jobs(parse(again))


def test_frozen_settings_are_read_back_and_checked(raw: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text(frozen_text(parse(raw), "train", "demo"))
    assert read_frozen(path, "train") == settings_of(parse(raw), "train", "demo")
    with pytest.raises(SettingsError, match="not the frozen settings of stage group"):
        read_frozen(path, "group")
    write_json(path, {**settings_of(parse(raw), "train", "demo"), "version": 0})
    with pytest.raises(SettingsError, match="version 0 of train"):
        read_frozen(path, "train")


def test_a_report_is_of_a_benchmark_or_of_any_dataset(raw: dict[str, Any]) -> None:
    config = parse(raw)
    assert settings_of(config, "report", "demo")["benchmark"] is not None
    assert settings_of(config, "report", "photos")["benchmark"] is None
    with pytest.raises(SettingsError, match="nobody"):
        settings_of(config, "report", "nobody")
