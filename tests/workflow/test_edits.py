"""What an edit of the configuration runs again, planned by Snakemake, and what `heap explain` and `heap status` say."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner
from workflow.every_key import every_kind
from workflow.planning import Project

from heap import paths
from heap.cli import app
from heap.errors import SettingsError
from heap.project import explain
from heap.project.explain import another, differences, edited, places, reruns, resolved
from heap.project.reference import stages_of_keys
from heap.project.status import look
from heap.settings import parse
from heap.settings.keys import Key, all_keys
from heap.settings.resolved import STAGE_VERSION, STAGES

TARGETS = {
    paths.metrics("demo"), paths.report("demo"), paths.seeds("demo"), paths.ablation(), paths.clusters("pair"),
    paths.pictures("scenes"), paths.model("demo"), paths.method_masks("tokencut", "scenes"), paths.metrics("voc"),
    paths.masks("photos"),
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("finished"), every_kind(), TARGETS)


def test_every_key_is_read_by_a_stage_or_names_what_another_reads() -> None:
    """Each key gets another value by itself; only a runtime option changes nothing that runs again."""
    raw = every_kind()
    config = parse(raw)
    before, found = resolved(config), dict[Key, str]()
    for place in places(config):
        if found.get(place.key, "no other value") != "no other value":
            continue
        try:
            after = parse(edited(raw, place.path, another(raw, config, place)))
        except SettingsError:
            found[place.key] = "no other value"
            continue
        changed = differences(before, resolved(after))
        found[place.key] = "runs again" if reruns(changed) else "runtime" if changed else "other inputs"
    assert set(all_keys()) == set(found), "the test's configuration has no such key"
    by_kind = {kind: {key.name for key, one in found.items() if one == kind} for kind in set(found.values())}
    assert by_kind.pop("runs again")
    assert by_kind == {
        "runtime": {"batch_size", "checkpoint_every", "resident_gb"},
        "other inputs": {"files", "model"},
        "no other value": {"kind", "layout", "task", "files"},  # another kind has other keys
    }


@pytest.mark.parametrize(
    ("path", "value", "directly", "not_at_all"),
    [
        ("segment.threshold", 0.4, {"segment scenes", "method_masks tokencut.scenes", "model demo"}, {"cluster"}),
        ("train.steps", 7, {"train benchmarks.0"}, {"extract", "baseline", "train_found"}),
        ("models.demo.overrides.steps", 7, {"train demo.0", "train ablation_full.0"}, {"extract", "baseline"}),
        ("models.demo.overrides.seeds", [0, 1], {"select demo", "train demo.1"}, {"baseline", "extract"}),
        ("ablation.variants.no_inter", {"loss": {"inter": 0.5}}, {"train ablation_no_inter.0"}, {"select", "cluster"}),
        ("baselines.tokencut.tau", 0.1, {"baseline tokencut.scenes", "baseline tokencut.voc12"}, {"group", "train"}),
        ("datasets.scenes.max_px", 100, {"extract scenes.1-of-1"}, {"fetch", "manifest"}),
        ("datasets.voc12.splits", {"trainval": "Main/other"}, {"manifest voc12", "extract voc12.1-of-1"}, {"train"}),
        ("datasets.photos.model", "demo", {"group heap.photos"}, {"fetch", "manifest"}),
        ("encoders.descriptors.batch_size", None, set(), set()),
        ("train.checkpoint_every", 7, set(), set()),
    ],
)
def test_an_edit_runs_again_what_reads_it(
    project: Project, path: str, value: Any, directly: set[str], not_at_all: set[str]
) -> None:
    if path == "encoders.descriptors.batch_size":
        path, value = "train.resident_gb", 1.0
    jobs = project.planned(edited(project.config, path, value))
    assert directly <= jobs
    assert not_at_all.isdisjoint(job.split()[0] for job in jobs)
    assert bool(jobs) == bool(directly)
    assert project.planned(project.config) == set()  # put back


def test_comments_key_order_and_equal_values_rerun_nothing(project: Project) -> None:
    def turned(value: Any) -> Any:
        return {k: turned(value[k]) for k in reversed(value)} if isinstance(value, dict) else value

    again = turned(project.config)
    again["train"]["learning_rate"] = "5e-4"  # text to YAML, the same number to us
    again["train"]["grad_clip"] = 1
    again["evaluate"] = {}  # the defaults, unsaid
    text = "# a comment\n" + yaml.safe_dump(again, sort_keys=False).replace("\ntrain:", "\n# another\n\ntrain:")
    assert project.planned(text) == set()


def test_two_values_swapped_rerun(project: Project) -> None:
    changed = copy.deepcopy(project.config)
    task = changed["benchmarks"]["voc"]["tasks"][2]
    task["gallery"], task["query"] = task["query"], task["gallery"]
    assert "evaluate voc" in project.planned(changed)


def test_a_raised_version_of_a_stage_reruns_it_and_what_follows(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STAGE_VERSION, "segment", STAGES["segment"].VERSION + 1)
    jobs = project.planned(project.config)
    assert {job.split()[0] for job in jobs} == {"segment", "method_masks", "pictures", "evaluate", "report"}


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_explain_says_the_meaning_the_change_and_snakemakes_plan(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(explain, "plan", lambda *given: asked.append(given) or {"segment": ["a", "b"]})
    project.planned(project.config)  # writes the configuration
    config = ("--config", str(project.folder / "config/config.yaml"), "--folder", str(project.folder))
    text = run("explain", "segment.threshold", "0.6", *config)
    assert text.startswith("segment.threshold: 0.5\n  Foreground where the map is above it.")
    assert "number, at least 0, at most 1; default 0.5" in text
    assert "    segment/scenes: segment.threshold 0.5 -> 0.6\n" in text
    assert "files that Snakemake would make again here: segment (2)" in text
    assert asked[0][1]["segment"]["threshold"] == 0.6
    assert "re-runs:  nothing; the next job that runs uses it" in run("explain", "train.resident_gb", *config)
    assert "re-runs:  what reads other files then" in run("explain", "datasets.photos.model", *config)
    lines = run("explain", "segment", *config).splitlines()
    assert [line.split(":")[0] for line in lines] == ["segment.threshold", "segment.min_area"]
    record = json.loads(run("explain", "segment.threshold", "--json", *config))
    assert record["value"] == 0.5 != record["edit"]


@pytest.mark.parametrize(
    ("asked", "hint"), [("train.head.num_group", "train.head.num_groups"), ("facet", "dino_vits8.facet")]
)
def test_a_wrong_key_names_the_nearest(asked: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{asked}: no such key in the configuration; did you mean .*{hint}"):
        explain.find(parse(every_kind()), asked)


def test_status_reads_what_was_made_with_other_settings(project: Project) -> None:
    project.planned(project.config)
    config = project.folder / "config/config.yaml"
    seen = look(project.folder, config)
    assert seen.edited == {}
    assert seen.made["train"] > 2
    config.write_text(json.dumps(edited(project.config, "cluster.seed", 5)))
    assert set(look(project.folder, config).edited) == {"cluster"}
    assert paths.clusters("pair") in look(project.folder, config).edited["cluster"]


def test_the_reference_says_what_reads_each_key(project: Project) -> None:
    project.planned(project.config)
    stages = {key.pattern: words for key, words in stages_of_keys(project.folder / "config/config.yaml").items()}
    assert stages["segment.threshold"] == "segment, model"
    assert stages["train.resident_gb"] == "nothing"
    assert stages["encoders.*.facet"] == "extract"
