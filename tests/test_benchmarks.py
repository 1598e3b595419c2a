"""Every benchmark runs at a tiny size. What it measures here means nothing; it must not rot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # a process each, with torch

REPOSITORY = Path(__file__).resolve().parents[1]
TINY = {
    "baselines": "--patches 100 --photos 1 --repeats 1",
    "clustering": "--regions 500 --dim 16 --k 5",
    "codecs": "--count 2 --repeats 1 --seconds 1 --iterations 2",
    "encoder": "--count 1 --repeats 1 --batches 1 --no-memory",
    "evaluation": "--only units --repetitions 1",
    "pipeline": "--count 2 --batch 1 --repeats 1 --side 32 --no-mixed",
    "planning": "--photos 20",
    "projection": "",
    "reader": "--count 8 --repeats 1 --seconds 1 --steps 1 --batch 2",
    "report": "--photos 12",
    "scoring": "--photos 4 --repetitions 1",
    "train": "--batch 4 --rounds 1 --bank 128 --no-encoding --photos 16 --iterations 2",
}


@pytest.mark.parametrize("name", TINY)
def test_a_benchmark_runs_at_a_tiny_size(name: str) -> None:
    done = subprocess.run(
        [sys.executable, f"benchmarks/{name}.py", *TINY[name].split()],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()
