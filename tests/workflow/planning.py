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

from heap.project.graph import Graph, Job, everything
from heap.settings import Config, parse


def targets_of(config: Config) -> Graph:
    """Return the jobs that no other needs; masks of a few methods only, since every method has them by one rule."""
    graph = everything(config)
    needed = {need for node in graph.values() for need in node.needs}
    few = {Job("method_masks", f"found.{name}") for name in config.datasets} | {Job("method_masks", "tokencut.scenes")}
    return {
        job: node for job, node in graph.items() if job not in needed and (job.rule != "method_masks" or job in few)
    }


class Project:
    """A working folder in which every target was made: outputs exist, and Snakemake's records of them."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder, self.config = folder, config
        self.targets = sorted(node.output for node in targets_of(parse(config)).values())
        with self._workflow(config, "dryrun", forceall=True) as workflow:
            outputs = [str(path) for job in workflow.dag.jobs for path in job.output]
        for output in outputs:
            path = folder / output
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{output}\n")
        with self._workflow(config, "touch", forceall=True):
            pass

    def planned(self, config: dict[str, Any] | str, *targets: str) -> tuple[set[Job], set[str]]:
        """Return the jobs that would run, in the words of `heap.project.graph`, and the settings frozen anew.

        Args:
            config: what stands in `config/config.yaml`, or its very text.
            targets: in place of all.
        """
        jobs, frozen = set(), set()
        with self._workflow(config, "dryrun", targets=targets) as workflow:
            for job in workflow.dag.needrun_jobs(exclude_finished=False):
                words = dict(job.wildcards.items())
                if job.rule.name == "freeze":
                    frozen.add(f"{words['stage']}/{words['name']}")
                elif job.rule.name != "all":
                    jobs.add(Job(job.rule.name, Path(job.log[0]).stem.removesuffix(".1-of-1")))
        return jobs, frozen

    @contextlib.contextmanager
    def _workflow(
        self, config: dict[str, Any] | str, executor: str, targets: tuple[str, ...] = (), forceall: bool = False
    ) -> Iterator[Workflow]:
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
            dag = loaded.dag(DAGSettings(targets=set(targets or self.targets), forceall=forceall))
            dag.execute_workflow(executor=executor, execution_settings=ExecutionSettings(lock=False))
            yield loaded._workflow
