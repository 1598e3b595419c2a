"""What `heap status` tells of a project whose every file is set by hand."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from heap import paths
from heap.cli import app
from heap.files import read_json
from heap.progress import Progress, is_gone, this_process
from heap.project.records import records
from heap.project.status import Status, gpus, last_error, look
from heap.settings import parse
from heap.settings.config import read
from heap.settings.freeze import frozen_digest

REPOSITORY = Path(__file__).parents[2]


class Finished:
    """A project in which two things were made: an output and Snakemake's record of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.raw: dict[str, Any] = read(REPOSITORY / "config/config.yaml")
        self.write_config()
        config = parse(self.raw)
        for rule, output, stage, name in (
            ("cluster", paths.clusters("scenes"), "cluster", "scenes"),
            ("segment", paths.masks("scenes"), "segment", "scenes"),
        ):
            self.put(output, "made", time.time() - 1000)
            settings = ["file", f"{stage}/{name}", frozen_digest(config, stage, name)]
            record = {"rule": rule, "params": [repr(settings)], "starttime": 1.0, "endtime": 3.5}
            name = base64.urlsafe_b64encode(output.encode()).decode()
            self.put(f".snakemake/metadata/{name}", json.dumps(record), time.time() - 1000)

    def write_config(self) -> None:
        (self.folder / "config").mkdir(exist_ok=True)
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump(self.raw))

    def put(self, name: str, text: str, when: float) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (when, when))

    def status(self) -> Status:
        return look(self.folder, self.folder / "config/config.yaml")


@pytest.fixture
def project(tmp_path: Path) -> Finished:
    return Finished(tmp_path)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["status", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def everything_below(folder: Path) -> dict[str, tuple[float, int]]:
    return {str(path): (path.stat().st_mtime, path.stat().st_size) for path in folder.rglob("*")}


def test_an_empty_folder_is_a_project_too(tmp_path: Path) -> None:
    text = run(str(tmp_path))
    assert "nothing runs" in text
    assert "config.yaml: no such file" in text
    assert "on disk:  nothing yet" in text
    assert list(tmp_path.iterdir()) == []


def test_a_finished_project_is_left_as_it_was(project: Finished) -> None:
    before = everything_below(project.folder)
    seen = project.status()
    assert seen.problem == ""
    assert (seen.edited, seen.failures, seen.work) == ({}, [], [])
    assert seen.made == {"cluster": 1, "segment": 1}
    assert "made:     2 outputs (cluster 1, segment 1)" in run(str(project.folder))
    assert everything_below(project.folder) == before
    assert [record.seconds for record in records(project.folder)] == [2.5, 2.5]


def test_an_edit_names_what_was_made_with_other_settings(project: Finished) -> None:
    project.raw["cluster"]["seed"] = 5
    project.write_config()
    assert project.status().edited == {"cluster": [paths.clusters("scenes")]}
    assert "edited:   cluster: results/clusters/scenes.parquet; snakemake -n says what follows" in run(
        str(project.folder)
    )
    (project.folder / paths.clusters("scenes")).unlink()
    assert (project.status().edited, project.status().made) == ({}, {"segment": 1})


def test_a_record_of_something_else_is_passed_over(project: Finished) -> None:
    project.put(".snakemake/metadata/bm90aGluZw==", "torn", 0)
    assert project.status().made == {"cluster": 1, "segment": 1}


def test_running_jobs_tell_how_far_they_are_and_silent_ones_are_named(project: Finished) -> None:
    state = {"doing": "extracting ecssd", "what": "photos", "done": 250, "total": 1000, "rate_per_s": 2.5,
             "left_s": 300.0, "updated": "2026-01-01T00:00:00+0000"}  # fmt: skip
    project.put("results/features/ecssd/progress.1-of-2.json", json.dumps(state), time.time())
    silent = {**state, "doing": "training photos", "what": "iterations", "left_s": None}
    project.put("results/head/photos/progress.json", json.dumps(silent), time.time() - 3600)
    over = {**state, "done": 1000}
    project.put("results/features/ecssd/progress.2-of-2.json", json.dumps(over), time.time() - 3600)
    text = run(str(project.folder))
    assert "extracting ecssd: 250 of 1,000 photos, 2.5 photos/s, 5 min 0 s left\n" in text
    assert "training photos: 250 of 1,000 iterations, 2.5 iterations/s; silent for 1 h: killed?" in text
    works = json.loads(run(str(project.folder), "--json"))["work"]
    assert {work["doing"]: work["runs"] for work in works} == {"extracting ecssd": True, "training photos": False}


def test_a_killed_job_is_failed_at_once_on_its_own_machine(project: Finished) -> None:
    """Its pid may be another process's by now; of another machine's job only the silence tells."""
    state = {"doing": "training photos", "what": "iterations", "done": 9, "total": 40, "rate_per_s": 1.0,
             "left_s": 31.0, "updated": "2026-01-01T00:00:00+0000"}  # fmt: skip
    mine = this_process()
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    processes = {
        "runs": mine, "killed": {**mine, "pid": child.pid}, "pid used again": {**mine, "began": mine["began"] - 60},
        "elsewhere": {**mine, "host": "other", "pid": child.pid},
    }  # fmt: skip
    for name, process in processes.items():
        file = f"results/head/{name}/progress.json"
        project.put(file, json.dumps({**state, "doing": name, "process": process}), time.time())
    done = {**state, "doing": "done", "done": 40, "process": processes["killed"]}
    project.put("results/head/done/progress.json", json.dumps(done), time.time())
    seen = project.status()
    assert sorted(work.doing for work in seen.work) == ["elsewhere", "runs"]
    assert sorted(failure.job for failure in seen.failures) == ["killed", "pid used again"]
    assert "failed:   killed, 0 min ago\n          ended at 9 of 40 iterations: killed," in run(str(project.folder))


def test_progress_names_its_process(tmp_path: Path) -> None:
    Progress(3, "photos", "looking", tmp_path / "progress.json").close()
    assert is_gone(read_json(tmp_path / "progress.json")["process"]) is False


def test_the_last_failures_are_told(project: Finished) -> None:
    log = paths.log("train", "photos.0")
    project.put(log, "12:00:00 INFO ...\nheap: error: 3 photos to train on,\n  expected 16\n", time.time() - 120)
    project.put(paths.log("extract", "ecssd.1-of-2"), "done, since the error of the last time\n", time.time())
    (failure,) = project.status().failures
    assert (failure.job, failure.log) == ("train photos.0", log)
    assert failure.message == "3 photos to train on,\n  expected 16"
    assert "failed:   train photos.0, 2 min ago (results/logs/train/photos.0.log)" in run(str(project.folder))


def test_a_log_ends_with_an_error_or_with_none(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("x" * 20_000 + "\nTraceback (most recent call last):\n  File ...\nValueError: wrong\n")
    assert last_error(log) == "ValueError: wrong"
    log.write_text("all went well\n")
    assert last_error(log) == ""


def test_sizes_locks_and_a_wrong_configuration(project: Finished) -> None:
    before = project.status().bytes["feature stores"]
    project.put("results/features/ecssd/ab.zarr/shard", "x" * 5000, 0)
    project.put(".snakemake/locks/0.input.lock", "", 0)
    project.raw["train"]["sizze"] = 1
    project.write_config()
    seen = project.status()
    assert seen.bytes["feature stores"] == before + 5000
    assert seen.snakemake
    assert "train.sizze: unknown key" in seen.problem
    text = run(str(project.folder))
    assert "edited:   unknown, " in text
    assert "Snakemake holds its lock" in text


def test_gpus_are_told_as_nvidia_smi_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H100, 1024, 81559, 37'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert gpus() == [{"name": "NVIDIA H100", "used_mb": "1024", "total_mb": "81559", "load_percent": "37"}]
    tool.write_text("#!/bin/sh\necho 'no driver'; exit 9\n")
    assert gpus() == []
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert gpus() == []
