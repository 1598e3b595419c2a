"""The command line: one subcommand a stage. Snakemake calls these; they run as well without it.

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
from heap.evaluate.seed_commands import ablation, seeds
from heap.files import DISK_ERRORS
from heap.project.commands import explain, status
from heap.report.commands import compare, curves, pictures, show
from heap.terminal import echo, error_text, printable, set_up_logging

app = typer.Typer(
    name="heap",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""
    HEAP: unsupervised object discovery and localization (Zhang et al., AAAI 2024).

    The stages follow the way of the data:
    **fetch, weights, manifest, extract, gather, train, group (or baseline), cluster, segment, evaluate, report**.
    Usually Snakemake calls them: `snakemake --cores all results/demo_metrics.csv`.
    """,
)
app.add_typer(cache_app, name="cache")

app.add_typer(score_commands.app, name="score")

Frozen = Annotated[
    Path, typer.Option("--settings", help="Frozen settings of this job: results/settings/STAGE/NAME.json.")
]
Out = Annotated[Path, typer.Option("--out", help="File to write; it appears whole or not at all.")]
Features = Annotated[Path, typer.Option("--features", help="Receipt of extracted features.")]
ManifestFile = Annotated[Path, typer.Option("--manifest", help="Manifest of the dataset (Parquet).")]
Means = Annotated[
    Path | None,
    typer.Option("--means", help="Frozen settings of memory and checkpoints, which change no result; or defaults."),
]
Device = Annotated[
    str | None,
    typer.Option("--device", envvar="HEAP_DEVICE", help="auto, cuda, mps or cpu; one that is not there is an error."),
]


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


@app.command()
def fetch(settings: Frozen, out: Out) -> None:
    """Bring a dataset's files: download with resume and checksum, draw the embedded scenes, or check a given folder."""
    from heap.data.fetch import fetch as run
    from heap.settings import read_frozen

    run(settings, out, read_frozen(settings, "fetch")["name"])


@app.command()
def weights(settings: Frozen, out: Out) -> None:
    """Find (or download) an encoder's weights, check them, and note their checksum."""
    from heap.encoders.weights import locate
    from heap.files import write_json
    from heap.receipts import Weights
    from heap.settings import read_frozen

    frozen = read_frozen(settings, "weights")
    if frozen["kind"] == "descriptors":
        receipt = Weights(source="none", file=None, sha256=None)
    else:
        receipt = locate(frozen["architecture"], frozen["weights"], frozen["sha256"])
    write_json(out, receipt.as_json())


@app.command()
def manifest(
    settings: Frozen,
    files: Annotated[Path, typer.Option("--files", help="Receipt of the dataset's files.")],
    out: Out,
) -> None:
    """List a dataset: one row a photo with size, grid, split, ground truth."""
    from heap.data.manifest import make

    make(settings, files, out)


@app.command()
def extract(
    settings: Frozen,
    manifest: ManifestFile,
    weights: Annotated[Path, typer.Option("--weights", help="Receipt of the encoder's weights.")],
    folder: Annotated[Path, typer.Option("--folder", help="Folder of the dataset's stores.")],
    out: Out,
    part: Annotated[str, typer.Option("--part", help="Which part of the shards: NUMBER-of-PARTS.")] = "1-of-1",
    device: Device = None,
    means: Means = None,
) -> None:
    """Run the frozen encoder over one part of a dataset's photos into its Zarr store. Finished shards are kept."""
    from heap.cache.extract import extract as run

    run(settings, manifest, weights, folder, part, out, device, means)


@app.command()
def gather(
    parts: Annotated[list[Path], typer.Argument(help="Receipts of all parts.")],
    manifest: ManifestFile,
    folder: Annotated[Path, typer.Option("--folder", help="Folder of the dataset's stores.")],
    out: Out,
) -> None:
    """Check that the parts of an extraction make up the whole store and write its receipt."""
    from heap.cache.extract import gather as run

    run(parts, folder, manifest, out)


@app.command()
def train(
    settings: Frozen,
    features: Features,
    manifest: ManifestFile,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of initialisation, order of photos, sampled patches.")],
    out: Annotated[Path, typer.Option("--out", help="The head, a safetensors file.")],
    history: Annotated[Path, typer.Option("--history", help="CSV of losses and diagnostics.")],
    survey: Annotated[Path, typer.Option("--survey", help="Maps by which `select` compares seeds.")],
    device: Device = None,
    means: Means = None,
) -> None:
    """Train the HEAP head of one seed on cached features. A killed training resumes."""
    from heap.head.train import train as run

    run(settings, features, manifest, seed, out, history, survey, device, means)


@app.command()
def select(
    settings: Frozen,
    head: Annotated[list[Path], typer.Option("--head", help="Heads of a model's seeds, in their order.")],
    survey: Annotated[list[Path], typer.Option("--survey", help="Their surveys.")],
    seed_history: Annotated[list[Path], typer.Option("--seed-history", help="Their histories.")],
    out: Annotated[Path, typer.Option("--out", help="Receipt; a copy of the head lies in the folder of its name.")],
    history: Annotated[Path, typer.Option("--history", help="CSV of the history of all seeds.")],
) -> None:
    """Choose the head of one of several seeds by signs that need no label."""
    from heap.head.select import select as run

    run(settings, head, survey, seed_history, out, history)


@app.command()
def group(
    settings: Frozen,
    features: Features,
    head: Annotated[Path, typer.Option("--head", help="Receipt of a model, or a head.safetensors.")],
    out_regions: Annotated[Path, typer.Option("--out-regions", help="Region table (Parquet).")],
    out_maps: Annotated[Path, typer.Option("--out-maps", help="Receipt of the patch maps.")],
    device: Device = None,
) -> None:
    """Run a trained head over a dataset: patch maps and regions with embeddings."""
    from heap.group.stage import group as run

    run(settings, features, head, out_regions, out_maps, device)


@app.command()
def baseline(
    method: Annotated[str, typer.Argument(help="One of the names above.")],
    settings: Frozen,
    features: Features,
    out: Out,
    head: Annotated[Path | None, typer.Option("--head", help="FOUND's trained head; for `found` alone.")] = None,
) -> None:
    """Write the patch maps of a method that HEAP is compared with, on the same features.

    **everything**, **centred_box** (neither looks at the photo), **attention** (above its mean), **kmeans** (clusters
    of the photo's patches that are attended to), **lost**, **tokencut**, **found_seed** (what is not FOUND's background
    seed), **found** (FOUND's linear head, trained by `train-found`).
    """
    from heap.workers import one_thread

    cores = one_thread()  # before numpy is loaded
    from heap.baselines.stage import baseline as run

    run(settings, method, features, out, head, cores=cores)


@app.command("train-found")
def train_found(
    settings: Frozen,
    features: Features,
    manifest: ManifestFile,
    out: Out,
    history: Annotated[Path, typer.Option("--history", help="CSV of the losses.")],
) -> None:
    """Train FOUND's linear head (a baseline) on cached features; the bilateral solver looks at the photos."""
    from heap.workers import one_thread

    cores = one_thread()  # before torch is loaded
    from heap.baselines.train_found import train_found as run

    run(settings, features, manifest, out, history, cores=cores)


@app.command()
def cluster(
    settings: Frozen,
    regions: Annotated[list[Path], typer.Option("--regions", help="Region tables, of one dataset or of several.")],
    maps: Annotated[list[Path], typer.Option("--maps", help="Receipts of HEAP's patch maps, in the same order.")],
    out: Out,
    out_index: Annotated[Path, typer.Option("--out-index", help="FAISS index over all regions.")],
) -> None:
    """Cluster the regions of all photos with FAISS and find each region's nearest in other photos."""
    from heap.cluster.stage import cluster as run

    run(settings, regions, maps, out, out_index)


@app.command()
def segment(
    settings: Frozen,
    maps: Annotated[Path, typer.Option("--maps", help="Receipt of HEAP's patch maps.")],
    clusters: Annotated[Path, typer.Option("--clusters", help="Clustered regions.")],
    manifest: ManifestFile,
    out: Out,
    out_table: Annotated[Path, typer.Option("--out-table", help="Table of instances; indexed PNGs beside it.")],
) -> None:
    """Write masks at image resolution: PNGs for each photo, COCO instances and a table for all."""
    from heap.segment.stage import segment as run

    run(settings, maps, clusters, manifest, out, out_table)


@app.command("method-masks")
def method_masks(
    settings: Frozen,
    maps: Annotated[Path, typer.Option("--maps", help="Receipt of a method's patch maps.")],
    out: Out,
) -> None:
    """Write a baseline's masks at image resolution: a PNG for each photo."""
    from heap.segment.method_masks import method_masks as run

    run(settings, maps, out)


@app.command()
def evaluate(
    settings: Frozen,
    manifest: Annotated[list[Path], typer.Option("--manifest", help="Manifests of the benchmark's datasets.")],
    maps: Annotated[list[Path], typer.Option("--maps", help="Receipts of patch maps, of every method.")],
    out: Out,
    features: Annotated[list[Path] | None, typer.Option("--features", help="Receipts of features (retrieval).")] = None,
    masks: Annotated[list[Path] | None, typer.Option("--masks", help="COCO instances (instances, semantic).")] = None,
    out_photos: Annotated[Path | None, typer.Option("--out-photos", help="Parquet of each photo's figures.")] = None,
) -> None:
    """Measure every method by the benchmark's protocols; one figure a row, and a JSON that says what produced it."""
    from heap.evaluate.stage import evaluate as run

    run(settings, manifest, maps, features or [], masks or [], out, out_photos=out_photos)


@app.command()
def report(
    settings: Frozen,
    manifest: Annotated[list[Path], typer.Option("--manifest", help="Manifests of the datasets.")],
    maps: Annotated[list[Path], typer.Option("--maps", help="Receipts of HEAP's patch maps.")],
    clusters: Annotated[list[Path], typer.Option("--clusters", help="Clustered regions.")],
    masks: Annotated[list[Path], typer.Option("--masks", help="COCO instances.")],
    history: Annotated[list[Path], typer.Option("--history", help="Training histories.")],
    out: Out,
    metrics: Annotated[Path | None, typer.Option("--metrics", help="The benchmark's CSV; a dataset has none.")] = None,
) -> None:
    """Write the page of a benchmark or a dataset: photos with masks, a gallery by cluster, tables, training curves."""
    from heap.report.stage import report as run

    run(settings, metrics, manifest, maps, clusters, masks, history, out)


for command in (discover_commands.model, discover_commands.export, discover_commands.predict, discover_commands.search):
    app.command()(command)
app.command()(seeds)
app.command()(ablation)
app.command()(show)
app.command()(compare)
app.command()(curves)
app.command()(pictures)
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
