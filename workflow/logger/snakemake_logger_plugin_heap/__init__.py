"""What a person sees of a run: a line for each finished job, a bar, and at the end why it failed and how to go on.

A logger plugin of Snakemake 9, found by its name and switched on by `logger: heap` in the profiles. Dry runs,
`--verbose`, `--printshellcmds` and `--debug-dag` get Snakemake's own output; .snakemake/log has it always.
"""

from __future__ import annotations

import logging
import re
import shlex
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeElapsedColumn
from rich.text import Text
from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from heap.terminal import Console, printable

# Rules that are no stage: they take no time.
UNCOUNTED = ("all",)
# What Snakemake reports of itself; everything else that has no event is printed.
NOISE = re.compile(
    "Building DAG|Cannot restore .*: no backup found|Assuming unrestricted|"
    "Using shell|host:|Provided |Rules claiming more|Conda environments: ignored"
    "|Select jobs to execute|Execute [0-9]+ jobs|Shutting down|Complete log|Elapsed time|Removing output files"
    "|Exiting because a job|Trying to restart|Will exit after finishing|SLURM run ID|Job [0-9]+ has been submitted"
    "|Cleaning up SLURM|Using workflow specific profile|Config file .* is extended by additional|None$|$"
)
# Errors that only repeat that a job failed.
REPEATED = re.compile("At least one job did not complete successfully|CalledProcessError in file")
# Where an error of ours was raised in the workflow's own files.
PLACE = re.compile(r'^(WorkflowError( in file .*)?:|  File ".*", line \d+, in .*)\n?', re.MULTILINE)
STOPPED = "Terminating processes on user request"
LINES_OF_REASON = 12
WARNINGS = 3  # of a job, the last ones first: a stage sums up at its end
PREFIX = re.compile(r"(\d\d:){2}\d\d INFO ")
WARNED = re.compile(r"(\d\d:){2}\d\d WARNING ")


@dataclass
class Job:
    """A job that was started: what it is called, its log, and when it started (seconds since the epoch)."""

    rule: str
    name: str
    logs: list[str]
    started: float


@dataclass
class Run:
    """What is known of the run so far."""

    total: int = 0
    done: int = 0
    stopped: bool = False
    started: float = field(default_factory=time.time)
    jobs: dict[int, Job] = field(default_factory=dict)
    running: dict[int, Job] = field(default_factory=dict)
    failed: dict[int, tuple[Job, str]] = field(default_factory=dict)


class LogHandler(LogHandlerBase):
    """The handler that Snakemake gives its records."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Open the terminal, or hand everything to Snakemake's own handler where more is asked for."""
        asked = self.common_settings
        self.own: logging.Handler | None = None
        stream = sys.stdout if asked.stdout else sys.stderr
        self.addFilter(DefaultFilter(asked.quiet, asked.debug_dag, asked.verbose, asked.dryrun, asked.printshellcmds))
        if asked.dryrun or asked.verbose or asked.debug_dag or asked.printshellcmds:
            self.own = ColorizingTextHandler(nocolor=asked.nocolor, stream=stream)
            self.own.setFormatter(DefaultFormatter(asked.quiet, asked.show_failed_logs))
            return
        self.run_ = Run()
        self.console = Console(file=stream, no_color=asked.nocolor or None, highlight=False, soft_wrap=True)
        self.bar: Progress | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Print what a person wants to know of a record."""
        if self.own is not None:
            return self.own.emit(record)
        event = getattr(record, "event", None)
        handle = {
            LogEvent.RUN_INFO: self.planned, LogEvent.JOB_INFO: self.started, LogEvent.JOB_FINISHED: self.finished,
            LogEvent.JOB_ERROR: self.broke, LogEvent.ERROR: self.error, None: self.message,
        }.get(event)  # fmt: skip
        try:
            if handle is not None:
                handle(record)
        except Exception:  # noqa: BLE001  (as every handler of logging: what cannot be shown must not end the run)
            self.handleError(record)
        return None

    def planned(self, record: Any) -> None:
        """The jobs are known: their number, and the bar where there is a terminal."""
        stats = {rule: count for rule, count in record.stats.items() if rule not in (*UNCOUNTED, "total")}
        self.run_.total = sum(stats.values())
        if not self.run_.total:
            return
        counts = ", ".join(rule if count == 1 else f"{count} {rule}" for rule, count in stats.items())
        self.line(f"{self.run_.total} jobs: {counts}")
        if self.console.is_terminal:
            columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), Now(self.run_))
            self.bar = Progress(*columns, console=self.console, transient=True, refresh_per_second=2)
            self.task = self.bar.add_task("", total=self.run_.total)
            self.bar.start()

    def started(self, record: Any) -> None:
        """A job starts."""
        name = " ".join(str(value) for value in record.wildcards.values())
        job = Job(record.rule_name, name, list(record.log or []), record.created)
        self.run_.jobs[record.jobid] = job
        if job.rule not in UNCOUNTED:
            self.run_.running[record.jobid] = job

    def finished(self, record: Any) -> None:
        """A job has ended well: its line."""
        job = self.run_.running.pop(record.job_id, None)
        self.run_.failed.pop(record.job_id, None)  # tried again
        if job is None:
            return
        self.run_.done += 1
        seconds = record.created - job.started
        share = "" if self.bar else f"{self.run_.done:4d}/{self.run_.total} "
        self.line(f"{share}{job.rule:<14} {job.name:<32} {clock(seconds):>8}")
        found = warnings(job.logs)
        for text in found[:WARNINGS]:
            self.line(f"  {text}", style="yellow")
        if len(found) > WARNINGS:
            self.line(f"  and {len(found) - WARNINGS} more warnings in {', '.join(job.logs)}", style="yellow")
        if self.bar:
            self.bar.update(self.task, completed=self.run_.done)

    def broke(self, record: Any) -> None:
        """A job has failed; why is said at the end, where it is not scrolled away."""
        job = self.run_.jobs.get(record.jobid) or Job(record.rule_name, "", list(record.log or []), record.created)
        self.run_.running.pop(record.jobid, None)
        if self.run_.stopped:
            return
        self.run_.failed[record.jobid] = (job, str(record.rule_msg or ""))
        self.line(f"FAILED {job.rule} {job.name}", style="red")

    def error(self, record: logging.LogRecord) -> None:
        """The run itself cannot start or go on; that jobs failed is said at the end."""
        text = record.getMessage()
        if not REPEATED.search(text):
            self.line(PLACE.sub("", text).rstrip(), style="red")

    def message(self, record: logging.LogRecord) -> None:
        """Print what has no event: warnings, and what Snakemake reports to the user."""
        text = record.getMessage()
        self.run_.stopped |= text.startswith(STOPPED)
        if not NOISE.match(text) and record.levelno >= logging.INFO:
            self.line(text, style="yellow" if record.levelno >= logging.WARNING else "")

    def line(self, text: str, style: str = "") -> None:
        """Print lines, above the bar."""
        for line in text.split("\n"):
            self.console.print(Text(printable(line), style=style))

    def close(self) -> None:
        """End the bar; say why jobs failed, as the last lines, and how to go on."""
        if self.own is None:
            self.finish()
        super().close()

    def finish(self) -> None:
        """Print the last lines."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
        run, self.run_ = self.run_, Run()  # Snakemake closes more than once
        for job, message in run.failed.values():
            self.line(f"\n{job.rule} {job.name} failed (log: {', '.join(job.logs)}):", style="bold red")
            self.line(reason(job.logs) or message or "it wrote no log; --verbose shows more")
        if run.failed:
            self.line(f"\nFix this, then go on with the same command: {command()}")
        elif run.stopped:
            self.line(f"Stopped. The same command goes on: {command()}")
        elif run.total == run.done > 0:
            self.line(f"done in {clock(time.time() - run.started)}")


class Now(ProgressColumn):
    """Behind the bar: how long all may still take, and what is running, by the last line of its log."""

    max_refresh = 1.0  # seconds

    def __init__(self, run: Run) -> None:
        self.run = run
        super().__init__()

    def render(self, task: Task) -> Text:
        """Return the text, which the bar cuts at the edge of the terminal."""
        run = self.run
        # Jobs differ: of the first few nothing can be said.
        left = (time.time() - run.started) / run.done * (run.total - run.done) if run.done >= run.total / 4 else None
        said = ["" if left is None else f"about {clock(left)} left"]
        for job in list(run.running.values()):
            last = PREFIX.sub("", last_line(job.logs)) if len(run.running) == 1 else ""
            said.append(printable(last or f"{job.rule} {job.name}".strip()))
        return Text("  ".join(filter(None, said)), no_wrap=True, overflow="ellipsis")


def last_line(logs: list[str]) -> str:
    """Return the last line of a job's log."""
    for path in map(Path, logs):
        if path.is_file():
            return (path.read_text(errors="replace").splitlines() or [""])[-1]
    return ""


def warnings(logs: list[str]) -> list[str]:
    """Return the warnings in the logs of a job, each once, the last one first."""
    found: dict[str, None] = {}
    for path in map(Path, logs):
        lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
        found |= dict.fromkeys(line.split(" WARNING ", 1)[1] for line in lines if WARNED.match(line))
    return list(found)[::-1]


def clock(seconds: float) -> str:
    """Return a time as people read it: 4.2 s, 42 s, 3 min 07 s, 2 h 05 min."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def reason(logs: list[str]) -> str:
    """Return the last error in the logs of a job: from the line that begins it, or the last line of a traceback."""
    for path in map(Path, logs):
        lines = path.read_text(errors="replace").rstrip().splitlines() if path.is_file() else []
        starts = [n for n, line in enumerate(lines) if re.match(r"heap: error|(\d\d:){2}\d\d (ERROR|CRITICAL) ", line)]
        if starts:
            return "\n".join(lines[starts[-1] :][:LINES_OF_REASON])
        if lines and not any(line.startswith("Traceback") for line in lines):
            return f"ended without an error of its own (killed, or out of memory?), after: {lines[-1]}"
        if lines:
            return lines[-1]
    return ""


def command() -> str:
    """Return the command line as it was typed."""
    return shlex.join(["snakemake", *sys.argv[1:]])
