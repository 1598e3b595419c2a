"""The logger of the workflow: a line a job, and at the end why one failed and how to go on."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_logger_plugin_heap import LogHandler, clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/snakemake", "--cores", "all", "results/demo metrics.csv"])


def handler(**changed: Any) -> LogHandler:
    names = ("dryrun", "printshellcmds", "verbose", "debug_dag", "stdout", "nocolor", "show_failed_logs")
    return LogHandler(SimpleNamespace(**{**dict.fromkeys(names, False), "quiet": set(), **changed}), None)


def say(to: LogHandler, message: str | None = None, level: int = logging.INFO, at: float = 0.0, **event: Any) -> None:
    record = logging.makeLogRecord({"msg": message, "levelno": level, "created": at, **event})
    if to.filter(record):
        to.handle(record)


def start(to: LogHandler, number: int, rule: str, at: float = 0.0, log: Path | None = None, **wildcards: str) -> None:
    logs = [str(log)] if log else []
    say(to, at=at, event=LogEvent.JOB_INFO, jobid=number, rule_name=rule, wildcards=wildcards, log=logs)


def test_a_finished_job_is_one_line_and_noise_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    shown = handler()
    say(shown, "Building DAG of jobs...")
    say(shown, "", event=LogEvent.RUN_INFO, stats={"all": 7, "extract": 2, "train": 1, "total": 10})
    say(shown, "Select jobs to execute...")
    start(shown, 1, "all")
    start(shown, 2, "extract", 10.0, dataset="scenes", scatteritem="1-of-2")
    say(shown, at=11.0, event=LogEvent.JOB_FINISHED, job_id=1)
    say(shown, at=75.0, event=LogEvent.JOB_FINISHED, job_id=2)
    say(shown, "the disk is nearly full", logging.WARNING)
    shown.close()
    assert capsys.readouterr().err.splitlines() == [
        "3 jobs: 2 extract, train",
        "   1/3 extract        scenes 1-of-2                    1 min 05 s",
        "the disk is nearly full",
    ]


def test_warnings_of_a_job_are_shown_below_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "job.log"
    log.write_text("".join(f"06:00:00 WARNING skipped: {name}\n06:00:00 INFO on\n" for name in "abbcd"))
    shown = handler()
    say(shown, "", event=LogEvent.RUN_INFO, stats={"extract": 1})
    start(shown, 1, "extract", log=log, dataset="photos")
    say(shown, at=2.0, event=LogEvent.JOB_FINISHED, job_id=1)
    shown.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[2:6] == ["  skipped: d", "  skipped: c", "  skipped: b", f"  and 1 more warnings in {log}"]


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("06:00:00 INFO going\nheap: error: a: torn\n  wanted: a photo\n", "heap: error: a: torn\n  wanted: a photo"),
        ("Traceback (most recent call last):\n  File x\nKeyError: 'a\x1b[2J'\n", r"KeyError: 'a\x1b[2J'"),
        (
            "06:00:00 INFO step 3\n",
            "ended without an error of its own (killed, or out of memory?), after: 06:00:00 INFO step 3",
        ),
        ("", "it wrote no log; --verbose shows more"),
    ],
)
def test_the_last_lines_of_a_failed_run_are_the_reason_and_the_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, log: str, expected: str
) -> None:
    path = tmp_path / "demo.log"
    path.write_text(log)
    shown = handler()
    say(shown, "", event=LogEvent.RUN_INFO, stats={"train": 1, "total": 1})
    start(shown, 4, "train", log=path, model="demo")
    say(shown, "CalledProcessError in file ...", logging.ERROR, event=LogEvent.ERROR)
    say(
        shown,
        "Error in rule train",
        logging.ERROR,
        event=LogEvent.JOB_ERROR,
        jobid=4,
        rule_name="train",
        rule_msg=None,
        log=[],
    )
    say(shown, "WorkflowError:\nAt least one job did not complete successfully.", logging.ERROR, event=LogEvent.ERROR)
    shown.close()
    shown.close()  # as Snakemake does
    assert capsys.readouterr().err.splitlines() == [
        "1 jobs: train", "FAILED train demo", "", f"train demo failed (log: {path}):", *expected.splitlines(), "",
        "Fix this, then go on with the same command: snakemake --cores all 'results/demo metrics.csv'",
    ]  # fmt: skip


def test_a_job_that_succeeds_when_tried_again_has_not_failed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = handler()
    say(shown, "", event=LogEvent.RUN_INFO, stats={"train": 1, "total": 1})
    start(shown, 4, "train", model="demo")
    say(shown, "", logging.ERROR, event=LogEvent.JOB_ERROR, jobid=4, rule_name="train", rule_msg=None, log=[])
    start(shown, 4, "train", 5.0, model="demo")
    say(shown, at=7.0, event=LogEvent.JOB_FINISHED, job_id=4)
    shown.close()
    written = capsys.readouterr().err
    assert "Fix this" not in written
    assert "1/1 train" in written


def test_a_run_that_was_stopped_has_not_failed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = handler()
    start(shown, 4, "train", model="demo")
    say(shown, "Terminating processes on user request, this might take some time.")
    say(shown, "", logging.ERROR, event=LogEvent.JOB_ERROR, jobid=4, rule_name="train", rule_msg=None, log=[])
    shown.close()
    assert capsys.readouterr().err.splitlines()[1:] == [
        "Stopped. The same command goes on: snakemake --cores all 'results/demo metrics.csv'"
    ]


def test_an_error_of_ours_is_shown_without_the_place_in_the_workflow(capsys: pytest.CaptureFixture[str]) -> None:
    text = 'WorkflowError in file "/x/common.smk", line 22:\nthe configuration:\n  train.stepps: unknown key\n'
    text += '  File "/x/common.smk", line 22, in <module>'
    say(handler(), text, logging.ERROR, event=LogEvent.ERROR)
    assert capsys.readouterr().err == "the configuration:\n  train.stepps: unknown key\n"


def test_a_terminal_has_a_bar_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Terminal()
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setenv("TERM", "xterm")
    shown = handler()
    say(shown, "", event=LogEvent.RUN_INFO, stats={"extract": 1, "train": 1, "total": 2})
    start(shown, 1, "extract", dataset="scenes")
    say(shown, at=1.0, event=LogEvent.JOB_FINISHED, job_id=1)
    start(shown, 2, "train", model="demo")
    assert shown.bar is not None
    shown.bar.refresh()
    assert "1/2" in written.getvalue()
    assert "left" in written.getvalue()
    shown.close()
    assert shown.bar is None


@pytest.mark.parametrize("asked", ["dryrun", "verbose", "printshellcmds"])
def test_who_asks_for_more_gets_snakemakes_own_output(capsys: pytest.CaptureFixture[str], asked: str) -> None:
    shown = handler(**{asked: True})
    say(shown, "Select jobs to execute...")
    shown.close()
    assert capsys.readouterr().err == "Select jobs to execute...\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.21, "4.2 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (7500, "2 h 05 min")]
)
def test_a_time_is_written_as_people_read_it(seconds: float, text: str) -> None:
    assert clock(seconds) == text
