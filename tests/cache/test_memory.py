"""Peak memory does not grow with the number of photos: ten times the photos, less than 10 % more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # ten times the photos

PROBE = Path(__file__).with_name("memory_probe.py")


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="peak memory can be reset on Linux only")
def test_extract_verify_and_streamed_training_hold_no_more_for_more_photos(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    running = {}
    for photos in (60, 600):
        (tmp_path / str(photos)).mkdir()
        running[photos] = subprocess.Popen(
            [sys.executable, str(PROBE), str(tmp_path / str(photos)), str(photos)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    measured = {}
    for photos, process in running.items():
        out, errors = process.communicate()
        assert process.returncode == 0, errors
        measured[photos] = json.loads(out)
    few, many = measured[60], measured[600]
    print(few, many)
    assert many["store_mb"] > 9 * few["store_mb"]
    for stage, peak_mb in many["peaks"].items():
        grown_mb = peak_mb - few["peaks"][stage]
        assert grown_mb < 0.1 * few["peaks"][stage], stage
        # Most of the peak is PyTorch's code; so that a leak cannot hide below it:
        assert grown_mb < 0.3 * (many["store_mb"] - few["store_mb"]), stage
