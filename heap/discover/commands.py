"""The commands that use a trained model: `heap export`, `heap predict`, `heap search`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heap.errors import DataError
from heap.terminal import echo

ModelPath = Annotated[
    Path,
    typer.Option(
        "--model",
        help="A folder made by `heap export`, a training (results/head/demo), or results/head: the last trained.",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        help="File of the encoder's weights; without it they are looked for where the workflow puts them.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option("--device", envvar="HEAP_DEVICE", help="auto, cuda, mps or cpu; one that is not there is an error."),
]
LAST = Path("results/head")


def export(
    trained: Annotated[Path, typer.Argument(help="A training (results/head/demo), or results/head.")] = LAST,
    out: Annotated[Path, typer.Option("--out", help="Folder to make.")] = Path("model"),
) -> None:
    """Write a trained model as one folder: head, settings and clusters, all of them data and no code.

    **Example:** `heap export results/head/demo --out demo-model`

    Copy the folder anywhere; `heap predict --model demo-model` and `heap.load("demo-model")` read it. The encoder's
    weights are not in it: it says which they are, and on the other machine they are looked for as the workflow does,
    or given by `--weights`. Weights with another checksum are refused.
    """
    from heap.discover.export import export as run

    run(trained, out)
    echo(f"{out}: copy this folder; README.md in it says which encoder, and which weights, it needs")


def predict(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos, nested or not.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    model: ModelPath = LAST,
    weights: Weights = None,
    max_px: Annotated[
        int | None,
        typer.Option("--max-px", min=16, help="Longest side that is encoded; masks keep the photo's own size."),
    ] = None,
    overlays: Annotated[bool, typer.Option(help="Write a picture of each photo's objects.")] = True,
    page: Annotated[bool, typer.Option(help="Write index.html: all photos, clusters and regions in one file.")] = True,
    device: Device = None,
) -> None:
    """Find the objects of your photos with a trained model.

    **Examples:**

    `heap predict photo.jpg --out found`

    `heap predict ~/pictures --model demo-model --out found --max-px 640`

    `heap predict --out found -- -odd-name.jpg`

    OUT holds `masks/*.png` (0 background, 255 object, at each photo's own size), `overlays/*.jpg`, `instances.json`
    (COCO, RLE; one category a cluster of similar regions), `objects.csv` and `.parquet` (one row an object),
    `photos.csv` (one row a photo) and `index.html`, a page that shows all of it.

    Stopped or killed, run the same command again: finished photos are kept, unless the photo or the model changed.
    Photos that cannot be read are left out, listed, and make the exit code 1; an error ends with 2.
    """
    from heap.discover.model import load
    from heap.discover.predict import predict as run

    found = run(load(model, weights=weights, device=device), photos, out, max_px, overlays, page)
    echo(
        f"{out}: {found.photos} photos ({found.computed} computed, {found.kept} done before, "
        f"{len(found.unreadable)} unreadable), {found.objects} objects"
    )
    if page:
        echo(f"  pictures: {out / 'index.html'}   masks: {out / 'masks'}")
    for photo, reason in found.unreadable[:10]:
        echo(f"  {photo}: {reason}", err=True)
    if len(found.unreadable) > 10:
        echo(f"  and {len(found.unreadable) - 10} more, see {out / 'photos.csv'}", err=True)
    if found.unreadable:
        raise typer.Exit(1)


def search(
    photo: Annotated[Path, typer.Argument(help="The photo to search with; it need not be in the collection.")],
    within: Annotated[
        list[str] | None,
        typer.Option(
            "--in",
            help="Dataset or collection to search (results/clusters/NAME.parquet); may be repeated. All by default.",
        ),
    ] = None,
    region: Annotated[
        int | None, typer.Option("--region", help="Search with this region of the photo; --list shows them.")
    ] = None,
    point: Annotated[str | None, typer.Option("--point", help="X,Y: search with the region at this pixel.")] = None,
    top: Annotated[int, typer.Option("--top", min=1, max=1000, help="How many regions.")] = 12,
    out: Annotated[Path | None, typer.Option("--out", help="Table to write: .csv or .parquet.")] = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Picture to write: .png, .jpg or .webp.")] = None,
    show: Annotated[bool, typer.Option("--list", help="List the photo's own regions and stop.")] = False,
    results: Annotated[Path, typer.Option("--results", help="Folder of the workflow's results.")] = Path("results"),
    model: Annotated[Path | None, typer.Option("--model", help="The model; by default results/head.")] = None,
    weights: Weights = None,
    max_px: Annotated[int | None, typer.Option("--max-px", min=16, help="Longest side that is encoded.")] = None,
    device: Device = None,
) -> None:
    """Find the regions of a collection that are most like those of a photo.

    **Examples:**

    `heap search photo.jpg --picture near.png`: with all of its foreground

    `heap search photo.jpg --point 310,120 --in scenes --top 20 --out near.csv`: with the region at a pixel

    A collection is a dataset that the workflow has clustered, `snakemake --cores all results/clusters/photos.parquet`,
    or several together, by a name below `collections` in the configuration.
    Similarity is the cosine of two regions' embeddings. Where the collection holds the photo itself, its own regions
    are left out. Only regions of one head compare, so a collection by another head than the model's is refused.
    """
    from heap.discover import contact
    from heap.discover.model import load
    from heap.discover.search import collections, content_of, nearest, query_regions
    from heap.discover.show import print_hits, print_regions, write_hits

    if region is not None and point is not None:
        raise DataError("--region and --point: give one of them")
    place = None if point is None else parse_point(point)
    loaded = load(model or results / "head", weights=weights, device=device)
    found = loaded.discover(photo, max_px=max_px)
    if show:
        print_regions(found)
        return
    queries = query_regions(found, region, place)
    searched = collections(results, within or [], loaded)
    hits = nearest(queries, searched, top, content_of(photo))
    print_hits(found, queries, hits)
    if out is not None:
        write_hits(out, hits)
    if picture is not None:
        contact.draw(picture, found, queries, hits, searched)


def parse_point(text: str) -> tuple[int, int]:
    """Return "310,120" as numbers.

    Raises:
        DataError: it is something else.
    """
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdigit() for part in parts):
        raise DataError(f"--point {text!r}: expected X,Y in pixels, as 310,120")
    return int(parts[0]), int(parts[1])
