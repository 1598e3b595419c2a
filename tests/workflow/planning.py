"""Plan by Snakemake's own code in this process: what a dry run would run, in a fraction of its seconds."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.settings.enums import Quietness
from snakemake.settings.types import (
    DAGSettings,
    ExecutionSettings,
    OutputSettings,
    ResourceSettings,
)
from snakemake.workflow import Workflow
from workflow.running import REPOSITORY


class Project:
    """A working folder in which targets were made: outputs exist, and Snakemake's records of them."""

    def __init__(self, folder: Path, config: dict[str, Any], targets: set[str]) -> None:
        self.folder, self.config, self.targets = folder, config, targets
        with self._workflow(config, "dryrun", forceall=True) as workflow:
            outputs = [str(path) for job in workflow.dag.jobs for path in job.output]
        for output in outputs:
            path = folder / output
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{output}\n")
        with self._workflow(config, "touch", forceall=True):
            pass

    def planned(self, config: dict[str, Any] | str) -> set[str]:
        """Return the jobs that would run, by rule and as their logs are called (`train demo.0`).

        Args:
            config: what stands in `config/config.yaml`, or its very text.
        """
        with self._workflow(config, "dryrun") as workflow:
            jobs = [job for job in workflow.dag.needrun_jobs(exclude_finished=False) if job.rule.name != "all"]
            return {f"{job.rule.name} {Path(job.log[0]).stem}" for job in jobs}

    @contextlib.contextmanager
    def _workflow(self, config: dict[str, Any] | str, executor: str, forceall: bool = False) -> Iterator[Workflow]:
        # The file that a user edits; JSON is YAML.
        (self.folder / "config").mkdir(exist_ok=True)
        text = config if isinstance(config, str) else json.dumps(config)
        (self.folder / "config/datasets.yaml").write_text("{}\n")  # all of it stands in the other file
        (self.folder / "config/config.yaml").write_text(text)
        said = io.StringIO()
        quiet = OutputSettings(quiet={Quietness.ALL}, dryrun=True)
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said), SnakemakeApi(quiet) as api:
            loaded = api.workflow(
                resource_settings=ResourceSettings(cores=2),
                snakefile=REPOSITORY / "Snakefile",
                workdir=self.folder,
            )
            dag = loaded.dag(DAGSettings(targets=self.targets, forceall=forceall))
            dag.execute_workflow(executor=executor, execution_settings=ExecutionSettings(lock=False))
            yield loaded._workflow
