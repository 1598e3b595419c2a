"""`heap cache list | verify | prune`: what is cached, whether it is whole, and what may go."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from heap.terminal import echo, echo_json

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""
    The feature cache: **list** what is there, **verify** that it is whole, **prune** what is no longer used.

    Each dataset has a folder of stores below `results/features`, one for each combination of encoder settings, weights
    and photos; its receipt `results/features/DATASET.json` points to the one in use. An edit of the config makes a new
    store and leaves the old one, so that going back costs nothing. `heap cache prune` removes old ones.
    """,
)

Datasets = Annotated[list[str] | None, typer.Argument(help="Datasets; all where none is named.", show_default=False)]
Root = Annotated[Path, typer.Option("--folder", help="Folder of receipts and stores.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs, not lines for people.")]
_ROOT = Path("results/features")


@app.command("list")
def list_stores(datasets: Datasets = None, folder: Root = _ROOT, as_json: Json = False) -> None:
    """List every store: dataset, encoder, photos, patches, size, age and state.

    A state is **complete**, **n of m shards** (interrupted: the next extract goes on), **stale** (complete, but no
    receipt points to it: prune removes it) or **damaged**; *being written* is added where a process holds a lock.
    """
    from heap.cache.stores import as_record, datasets_in, find_stores

    stores = find_stores(folder, datasets_in(folder, datasets or []))
    if as_json:
        echo_json([as_record(store) for store in stores])
        return
    for store in stores:
        size, age = size_text(store.size_bytes), age_text(time.time() - store.written)
        echo(
            f"{store.dataset}/{store.fingerprint}: {store.state}",
            f"  {store.encoder}" if store.encoder else "  encoder unknown",
            f"  {store.photos:,} photos, {store.patches:,} patches, {size}, {age} old",
        )
    echo(f"{counted(len(stores), 'store')}, {size_text(sum(store.size_bytes for store in stores))}")


@app.command()
def verify(
    datasets: Datasets = None,
    folder: Root = _ROOT,
    checksums_only: Annotated[
        bool, typer.Option("--checksums-only", help="Encode nothing: needs neither weights nor a GPU.")
    ] = False,
    photos: Annotated[bool, typer.Option(help="Compare every photo's hash too; reads all photos.")] = True,
    sample: Annotated[int, typer.Option(min=1, help="Photos of each dataset that are encoded again.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
    repair: Annotated[
        bool, typer.Option("--repair", help="Forget what is damaged; the next extract computes just that again.")
    ] = False,
    device: Annotated[str | None, typer.Option("--device", envvar="HEAP_DEVICE", help="For the sample.")] = None,
    as_json: Json = False,
) -> None:
    """Read back every byte of the cache, and compare a sample of photos with a fresh encoding.

    Finds and names a flipped byte, a shard that is cut or gone, a damaged description, photos that changed or went,
    other weights, and features that are not what the encoder gives. Exit code 1 with findings, repaired or not.

    A damaged shard is repaired by `heap cache verify --repair DATASET` and then
    `snakemake --cores all results/features/DATASET.json`, which computes this shard alone.
    """
    from heap.cache import verify as check
    from heap.cache.repair import repair as forget
    from heap.cache.stores import datasets_in

    every: list[check.Finding] = []
    done: list[str] = []
    for dataset in datasets_in(folder, datasets or []):
        found = check.verify(folder, dataset, photos, 0 if checksums_only else sample, seed, device)
        every += found
        if not as_json:
            echo(f"{dataset}: {counted(len(found), 'finding') if found else 'whole'}")
            for finding in found:
                echo(f"  {finding.where}: {finding.what}", f"    {finding.todo}")
        if repair and found:
            done += forget(folder, dataset, found)
    if as_json:
        records = [{**vars(finding), "where": str(finding.where)} for finding in every]
        for record in records:
            del record["store"]
        echo_json({"findings": records, "repaired": done})
    elif done:
        echo(*done)
        names = " ".join(f"{folder / dataset}.json" for dataset in sorted({finding.dataset for finding in every}))
        echo(f"now run: snakemake --cores all {names}")
    if every:
        raise typer.Exit(1)


@app.command()
def prune(
    datasets: Datasets = None,
    folder: Root = _ROOT,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it only say what would go.")] = False,
    keep_days: Annotated[float, typer.Option(min=0, help="Keep stores written in the last so many days.")] = 0.0,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Remove interrupted stores too, and those without a receipt yet.")
    ] = False,
) -> None:
    """Remove the stores that no receipt points to, and what killed writers left.

    Says what would go; `--yes` removes it. A store that a process is writing is never touched, and a store whose
    extraction was interrupted stays unless `--unfinished`.
    """
    import shutil

    from heap.cache.stores import datasets_in, find_stores, leftovers, prunable, remove

    now = time.time()
    names = datasets_in(folder, datasets or [])
    chosen = prunable(find_stores(folder, names), now, keep_days, unfinished)
    freed, done = 0, "removed" if yes else "would remove"
    for store in chosen:
        if yes and not remove(store.folder):
            echo(f"left {store.folder}: a process has begun to write it")
            continue
        freed += store.size_bytes
        echo(f"{done} {store.folder}: {store.encoder}, {store.photos:,} photos, {size_text(store.size_bytes)}")
    for path in leftovers(folder, names, now):
        echo(f"{done} {path}: left by a killed process")
        if yes and path.is_dir():
            shutil.rmtree(path)
        elif yes:
            path.unlink(missing_ok=True)
    echo(f"{size_text(freed)} {'freed' if yes else 'would be freed; --yes removes them'}")


def counted(number: int, what: str) -> str:
    """Return a number of things: 1 store, 2 stores."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def size_text(size_bytes: float) -> str:
    """Return a size as people read it, in decimal units as `ls` and disks' makers count: 1.5 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} TB"


def age_text(seconds: float) -> str:
    """Return an age as people read it: 5 min, 3 h, 12 d."""
    if seconds < 3600:
        return f"{max(seconds, 0) / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86_400:.0f} d"
