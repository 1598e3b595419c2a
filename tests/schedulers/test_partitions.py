"""profiles/slurm against the nodes of its partition: a job that would wait for ever is refused before the first one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from schedulers.submitting import Submitted, with_site

from heap import paths

pytestmark = pytest.mark.slow  # a run of Snakemake for each cluster

# The stand-in plays no more of Slurm than the check asks.
SUBMITTED = "Job submission failed"


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ("2 64000 infinite\n4 1000 infinite\n", "rule manifest asks for 4 cores, 2000 MB and 60 minutes"),
        ("4 64000 30:00\n", "at most 4 cores, 64000 MB, 30 minutes"),
        ("", "Slurm has no nodes in the partition 'small' (keys `partition`, `gpu_partition`)"),
        ("2 500 30:00\n4 2000 1-00:00:00\n", SUBMITTED),
    ],
    ids=["cores", "time limit", "no such partition", "fits"],
)
def test_a_job_that_no_node_can_take_is_refused(
    small_config: Callable[[], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    nodes: str,
    message: str,
) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("sinfo", "squeue", "scontrol"):
        (tmp_path / "bin" / name).symlink_to(Path(__file__).with_name("stand_in.py"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setenv("STAND_IN", str(tmp_path))
    if nodes:
        (tmp_path / "small.nodes").write_text(nodes)
    profile = with_site("slurm", {"partition": "small"}, tmp_path / "profiles")
    run = Submitted(
        tmp_path, small_config(), profile, "--retries", "0", "--slurm-init-seconds-before-status-checks", "1"
    )
    text = run.submit(paths.manifest("scenes"), ok=False)
    assert message in text, text
    assert ("profiles/slurm/config.yaml" in text) == (message != SUBMITTED)
    assert ("localrule fetch:" in text) == (message == SUBMITTED)
