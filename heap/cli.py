"""The command line: what people use, and `heap stage` for what Snakemake calls.

Heavy modules are imported inside the commands, so that `heap --help` and a wrong option answer at once.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from heap import __version__
from heap.cache.commands import app as cache_app
from heap.discover import commands as discover_commands
from heap.encoders.commands import encoders
from heap.errors import HeapError
from heap.evaluate import commands as score_commands
from heap.files import DISK_ERRORS
from heap.project.commands import explain, status
from heap.report.commands import compare, curves, show
from heap.terminal import echo, error_text, printable, set_up_logging

app = typer.Typer(
    name="heap",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""
    HEAP: unsupervised object discovery and localization (Zhang et al., AAAI 2024).

    Snakemake runs the pipeline: `snakemake --cores all results/demo_metrics.csv`. These commands use what it makes.
    Its stages are commands too: `heap stage --help`.
    """,
)
app.add_typer(cache_app, name="cache")

app.add_typer(score_commands.app, name="score")


def _version(show: bool) -> None:
    if show:
        echo(f"heap {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Warnings and errors only.")] = False,
) -> None:
    """Set up logging for every command."""
    del version
    level = logging.WARNING if quiet else logging.INFO
    set_up_logging(level)
    # FAISS tells at this level which builds of itself it could not load, as errors that are none.
    logging.getLogger("faiss").setLevel(logging.WARNING)


@app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []})
def stage(context: typer.Context) -> None:
    """Run one stage of the workflow, as Snakemake does; `heap stage --help` lists them."""
    from heap.stages import run

    run(context.args)


for command in (discover_commands.export, discover_commands.predict, discover_commands.search):
    app.command()(command)
app.command()(show)
app.command()(compare)
app.command()(curves)
app.command()(encoders)
app.command()(explain)
app.command()(status)


@app.command()
def check(config: Annotated[Path, typer.Argument(help="Configuration to check.")] = Path("config/config.yaml")) -> None:
    """Check a configuration: unknown keys, wrong types and impossible values are named."""
    from heap.settings import load

    loaded = load(config)
    echo(f"{config}: {len(loaded.datasets)} datasets, {len(loaded.benchmarks)} benchmarks, no error")


@app.command()
def schema(
    out: Annotated[Path, typer.Option("--out", help="YAML file to write.")] = Path(
        "workflow/schemas/config.schema.yaml"
    ),
) -> None:
    """Write the configuration's JSON schema, made from the settings' own types."""
    from heap.files import write_text
    from heap.settings.schema import schema_text

    write_text(out, schema_text())


def main() -> None:
    """Run the command line; errors that are the user's to mend are one message, without a traceback."""
    try:
        app()
    except HeapError as error:
        sys.stderr.write(f"heap: error: {error_text(error)}\n")
        sys.exit(2)
    except OSError as error:
        # A disk that is full or refuses is the user's to mend, whichever file met it; any other is a bug.
        if error.errno not in DISK_ERRORS:
            raise
        file = printable(error.filename or "a file")
        sys.stderr.write(f"heap: error: {file} could not be written or read ({error.strerror}); mend it, run again\n")
        sys.exit(2)
