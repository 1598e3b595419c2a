"""What stands in the profiles: complete lists, and what the scripts beside them make of a scheduler's answers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake.profiles import ProfileConfigFileParser
from workflow.running import REPOSITORY

PROFILES = REPOSITORY / "profiles"


def profile(name: str) -> dict[str, list[str]]:
    with (PROFILES / name / "config.yaml").open() as stream:
        return ProfileConfigFileParser().parse(stream)


def gpu_rules() -> set[str]:
    """Rules that ask for a GPU in workflow/rules."""
    text = "\n".join(path.read_text() for path in (REPOSITORY / "workflow/rules").glob("*.smk"))
    rules = re.split(r"^ *rule (\w+):$", text, flags=re.MULTILINE)[1:]
    return {
        name for name, body in zip(rules[::2], rules[1::2], strict=True) if re.search(r"^\s+gpu=", body, re.MULTILINE)
    }


@pytest.mark.parametrize(("name", "where"), [("slurm", "slurm_partition=gpu"), ("generic", "queue=gpu")])
def test_every_rule_with_a_gpu_goes_where_the_gpus_are(name: str, where: str) -> None:
    rules = gpu_rules()
    assert {"extract", "train"} <= rules
    expected = {f"{rule}:{entry}" for rule in rules for entry in (where, "gpu=1")}
    assert set(profile(name)["set-resources"]) == expected


@pytest.mark.parametrize("name", ["slurm", "generic", "kubernetes"])
def test_a_retry_asks_for_more_memory(name: str) -> None:
    assert profile(name)["retries"] == "1"
    assert "mem_mb=attempt * 4000" in profile(name)["default-resources"]
    # Snakemake tries a failed job again as often as the profile says; what a rule asks for itself must grow as well.
    fixed = [
        line.strip()
        for path in (REPOSITORY / "workflow/rules").glob("*.smk")
        for line in path.read_text().splitlines()
        if re.match(r"\s+mem_mb=(?!grows\()", line)
    ]
    assert fixed == []


def asked(script: Path, commands: dict[str, str], folder: Path) -> str:
    """Run a status script where just these commands are, each a shell script; return what it printed."""
    for name, text in commands.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    environment = {**os.environ, "PATH": str(folder)}
    done = subprocess.run([sys.executable, script, "7"], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("commands", "state"),
    [
        ({"qstat": "echo '    job_state = Q'"}, "running"),
        ({"qstat": "echo '    job_state = F'; echo '    Exit_status = 0'"}, "success"),
        ({"qstat": "echo '    job_state = F'; echo '    Exit_status = 271'"}, "failed"),
        ({"qstat": "echo '    job_state = F'"}, "failed"),  # deleted before it started
        ({"qstat": "echo 'qstat: Unknown Job Id 7' >&2; exit 153"}, "failed"),
        ({"qstat": "echo 'qstat: cannot connect to server' >&2; exit 111"}, "running"),
        ({"bjobs": "echo PEND"}, "running"),
        ({"bjobs": "echo DONE"}, "success"),
        ({"bjobs": "echo EXIT"}, "failed"),
        ({"bjobs": "echo 'Job <7> is not found' >&2; exit 255"}, "failed"),
        ({"qstat": "true", "qacct": "exit 1"}, "running"),
        ({"qstat": "exit 1", "qacct": "echo 'failed       0'; echo 'exit_status  0'"}, "success"),
        ({"qstat": "exit 1", "qacct": "echo 'failed       0'; echo 'exit_status  137'"}, "failed"),
        (
            {"qstat": "exit 1", "qacct": "echo 'failed       100 : assumedly after job'; echo 'exit_status  0'"},
            "failed",
        ),
        ({"qstat": "exit 1", "qacct": "echo 'error: job id 7 not found' >&2; exit 1"}, "running"),
    ],
)
def test_a_schedulers_answer_becomes_snakemakes(commands: dict[str, str], state: str, tmp_path: Path) -> None:
    assert asked(PROFILES / "generic/status.py", commands, tmp_path) == state


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("echo /", "running"),
        ("echo 1/", "success"),
        ("echo /1", "failed"),
        ("echo 'Error from server (NotFound): jobs.batch \"7\" not found' >&2; exit 1", "failed"),
        ("echo 'Unable to connect to the server' >&2; exit 1", "running"),
    ],
)
def test_a_jobs_status_becomes_snakemakes(answer: str, state: str, tmp_path: Path) -> None:
    assert asked(PROFILES / "kubernetes/status.py", {"kubectl": answer}, tmp_path) == state
