"""Which jobs a configuration makes run again: those whose frozen settings or inputs differ, and what follows.

This is Snakemake's own reasoning over `heap.project.graph`, in milliseconds and without Snakemake; a test compares.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from heap import paths
from heap.errors import SettingsError
from heap.project.graph import Graph, Job, downstream
from heap.settings.config import Config
from heap.settings.freeze import frozen_text


def differing(config: Config, graph: Graph, text_of: Callable[[str, str], str | None]) -> set[Job]:
    """Return the jobs of a graph whose frozen settings are not those that `text_of(stage, name)` returns."""
    return {
        job
        for job, node in graph.items()
        if node.stage is not None and frozen_text(config, node.stage, node.of) != text_of(node.stage, node.of)
    }


def rerun_between(before: Config, after: Config, graph_before: Graph, graph_after: Graph) -> set[Job]:
    """Return the jobs that run when everything of `graph_before` was made and the configuration becomes `after`."""

    def text_of(stage: str, name: str) -> str | None:
        try:
            return frozen_text(before, stage, name)
        except SettingsError:  # the configuration of before knows no such name
            return None

    other_inputs = {
        job
        for job, node in graph_after.items()
        if job not in graph_before or set(node.needs) != set(graph_before[job].needs)
    }
    return downstream(graph_after, differing(after, graph_after, text_of) | other_inputs)


def stale_in(folder: Path, config: Config, graph: Graph) -> tuple[set[Job], set[Job]]:
    """Return the jobs of a project whose outputs no longer fit its configuration, and those never finished.

    An output is stale where it was made with other frozen settings, or before one of its inputs. The last word, which
    also knows of inputs that were exchanged for older ones, is `snakemake -n`.

    Args:
        folder: the project.
        config: its present configuration.
        graph: the jobs to judge.
    """

    def text_of(stage: str, name: str) -> str | None:
        path = folder / paths.settings(stage, name)
        return path.read_text(encoding="utf-8") if path.is_file() else None

    times = {job: _time(folder / node.output) for job, node in graph.items()}
    missing = {job for job, time in times.items() if time is None}
    there = set(graph) - missing
    old = {job for job in there if _older(times[job], [times[need] for need in graph[job].needs])}
    beyond = downstream(graph, differing(config, graph, text_of) - missing | old | missing)
    return beyond - missing, missing


def _older(time: float | None, needs: list[float | None]) -> bool:
    return time is not None and any(need is not None and need > time for need in needs)


def _time(path: Path) -> float | None:
    return path.stat().st_mtime if path.is_file() else None
