"""`heap score`: the benchmarks' figures for predictions of any method, from plain files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""
    Score masks, boxes, clusters or instances of **any** method, made by any program.

    No Snakemake, no cache, no encoder: only files. The figures come from the functions that `heap evaluate` uses, so
    they can stand in one table with HEAP's (`heap compare`). Files are matched by stem; whatever is missing, extra,
    of another size or not 8 bit is an error that names the files.
    """,
)


class Reading(StrEnum):
    """Which pixels of a true mask are foreground."""

    only_255 = "255"
    nonzero = "nonzero"


class Compared(StrEnum):
    """What of an object is compared."""

    boxes = "boxes"
    masks = "masks"


Listed = Annotated[
    Path | None, typer.Option("--list", help="Only these photos: a text file, one a line (as VOC's ImageSets).")
]
Out = Annotated[Path | None, typer.Option("--out", help="Metrics CSV to write; a JSON of its making goes next to it.")]
PerImage = Annotated[
    Path | None, typer.Option("--per-image", help="CSV (or .parquet) of each photo's own figures to write.")
]
Bootstrap = Annotated[
    int, typer.Option("--bootstrap", min=0, max=100_000, help="Resamples of the photos for 95 % intervals; 0: none.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the resampling.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Processes; default: as many as are of use.")]
DatasetName = Annotated[str | None, typer.Option("--dataset", help="Name in the table; default: the truth's.")]
MethodName = Annotated[str | None, typer.Option("--method", help="Name in the table; default: the predictions'.")]
Masks = Annotated[Path, typer.Option("--truth", help="Folder of true masks.")]
ClassMasks = Annotated[Path, typer.Option("--truth", help="Folder of class masks (0 background, 255 ignored).")]


@app.command()
def saliency(
    pred: Annotated[Path, typer.Option("--pred", help="Folder of maps: 8 bit grey images (value / 255) or .npy.")],
    truth: Masks,
    truth_reading: Annotated[
        Reading, typer.Option("--truth-reading", help="Foreground of the truth: 255 (FOUND) or nonzero (TokenCut).")
    ] = Reading.only_255,
    variant: Annotated[
        list[str] | None, typer.Option("--variant", help="multi, single, multi+bs, ...; may be repeated. Default: all.")
    ] = None,
    photos: Annotated[
        Path | None, typer.Option("--photos", help="Folder of the photos: adds the variants with the bilateral solver.")
    ] = None,
    listed: Listed = None,
    out: Out = None,
    per_image: PerImage = None,
    bootstrap: Bootstrap = 1000,
    seed: Seed = 0,
    workers: Workers = None,
    dataset: DatasetName = None,
    method: MethodName = None,
) -> None:
    """Saliency: IoU, accuracy, both readings of max F, of soft maps or binary masks.

    **Example:** `heap score saliency --pred my_masks --truth ECSSD/ground_truth_mask --out mine.csv`

    A map has its photo's size. Grey values are probabilities times 255; foreground is above 0.5. `multi` counts every
    component, `single` only the largest. With `--photos` also after the bilateral solver (`multi+bs`, `single+bs`), and
    by name as FOUND's code reads its output (`multi+bs-peers`) or TokenCut's (`multi+bs-tokencut`). Files may be nested
    and have any image suffix.
    """
    from heap.evaluate.score.tasks import score_saliency

    inputs, outputs = _given(pred, truth, listed, workers, bootstrap, seed, out, per_image, dataset, method)
    scored = score_saliency(inputs, truth_reading.value, variant or [], photos)
    options = {
        "truth_reading": truth_reading.value, "variants": variant or "all",
        "photos": None if photos is None else str(photos.resolve()),
    }  # fmt: skip
    _finish("saliency", scored, inputs, outputs, options)


@app.command()
def discovery(
    pred: Annotated[Path, typer.Option("--pred", help="JSON {photo: [x1, y1, x2, y2]}, or a folder of masks.")],
    truth: Annotated[
        Path, typer.Option("--truth", help="VOC's folder Annotations, COCO's instances JSON, or JSON {photo: [boxes]}.")
    ],
    listed: Listed = None,
    out: Out = None,
    per_image: PerImage = None,
    bootstrap: Bootstrap = 1000,
    seed: Seed = 0,
    workers: Workers = None,
    dataset: DatasetName = None,
    method: MethodName = None,
) -> None:
    """Single-object discovery: CorLoc of one box a photo, as LOST, TokenCut and FOUND count it.

    **Example:** `heap score discovery --pred boxes.json --truth VOC2012/Annotations --list ImageSets/Main/trainval.txt`

    Boxes are in pixels counted from 0, ends exclusive; `null` says that nothing was found, which is wrong. A box is
    right at an IoU of at least 0.5 with any true box; VOC's difficult objects count, COCO's crowds do not. Of a mask
    (of the photo's size) the box around the largest component is taken. Photos are named by stem, file name or COCO id.
    """
    from heap.evaluate.score.tasks import score_discovery

    inputs, outputs = _given(pred, truth, listed, workers, bootstrap, seed, out, per_image, dataset, method)
    _finish("discovery", score_discovery(inputs), inputs, outputs, {})


@app.command()
def instances(
    pred: Annotated[Path, typer.Option("--pred", help="COCO results: a list of image_id, bbox, segmentation, score.")],
    truth: Annotated[
        Path, typer.Option("--truth", help="COCO's instances JSON, VOC's folder Annotations, or JSON {photo: [boxes]}.")
    ],
    compare: Annotated[Compared, typer.Option("--compare", help="IoU of boxes or of masks.")] = Compared.boxes,
    listed: Listed = None,
    out: Out = None,
    per_image: PerImage = None,
    bootstrap: Bootstrap = 1000,
    seed: Seed = 0,
    workers: Workers = None,
    dataset: DatasetName = None,
    method: MethodName = None,
) -> None:
    """Multi-object discovery: AP50, AP50:95 and AR100 of all objects, whatever their class (pycocotools).

    **Example:** `heap score instances --pred results/masks/coco20k.json --truth instances_train2014.json
    --list coco_20k_filenames.txt --compare masks`

    Categories are not looked at. What is found in a crowd is neither right nor wrong; VOC's difficult objects are to
    be found. HEAP's own `results/masks/DATASET.json` is read as it is. Photos without an object in the file count as
    photos where nothing was found; how many is reported.
    """
    from heap.evaluate.score.tasks import score_instances

    inputs, outputs = _given(pred, truth, listed, workers, bootstrap, seed, out, per_image, dataset, method)
    kind = "bbox" if compare is Compared.boxes else "segm"
    _finish("instances", score_instances(inputs, kind), inputs, outputs, {"compare": compare.value})  # type: ignore[arg-type]


@app.command()
def retrieval(
    pred: Annotated[Path, typer.Option("--pred", help="Folder of masks, foreground above 0.5 (127 of 255).")],
    features: Annotated[
        Path, typer.Option("--features", help="Folder of .npy: a vector (D,) a photo, or patches (grid_h, grid_w, D).")
    ],
    truth: ClassMasks,
    gallery: Annotated[Path, typer.Option("--gallery", help="List of the photos that are searched (train.txt).")],
    query: Annotated[Path, typer.Option("--query", help="List of the photos that are segmented (val.txt).")],
    classes: Annotated[int, typer.Option("--classes", min=2, max=255, help="Number of classes with background.")] = 21,
    subset: Annotated[
        list[str] | None,
        typer.Option("--subset", help="NAME=ID,ID,...: a further figure; default with 21 classes: VOC's miou_7."),
    ] = None,
    size_px: Annotated[
        int | None, typer.Option("--size-px", min=1, help="Labels are brought to this square (the protocol: 512).")
    ] = None,
    patch: Annotated[int | None, typer.Option("--patch", min=1, help="Side of a patch of feature maps, px.")] = None,
    out: Out = None,
    per_image: PerImage = None,
    bootstrap: Bootstrap = 1000,
    seed: Seed = 0,
    workers: Workers = None,
    dataset: DatasetName = None,
    method: MethodName = None,
) -> None:
    """Semantic segmentation retrieval: mIoU of the class of the most similar photo (MaskContrast).

    **Example:** `heap score retrieval --pred masks --features vectors --truth VOC2012/SegmentationClass --size-px 512
    --gallery VOC2012/ImageSets/Segmentation/train.txt --query VOC2012/ImageSets/Segmentation/val.txt`

    A photo is its mean feature over its mask. Given one vector a photo, that is taken as the mean; given patches, the
    mean is taken here. Masks have the labels' size, or `--size-px` on both sides. The interval resamples queries.
    """
    from heap.evaluate.score.tasks import score_retrieval

    inputs, outputs = _given(pred, truth, None, workers, bootstrap, seed, out, per_image, dataset, method)
    subsets = _subsets(subset, classes)
    size = None if size_px is None else (size_px, size_px)
    scored = score_retrieval(inputs, features, gallery, query, classes, subsets, size, patch)
    options = {
        "features": str(features.resolve()), "gallery": str(gallery.resolve()), "query": str(query.resolve()),
        "classes": classes, "subsets": subsets, "size_px": size_px, "patch_px": patch,
    }  # fmt: skip
    _finish("retrieval", scored, inputs, outputs, options)


@app.command()
def semantic(
    pred: Annotated[Path, typer.Option("--pred", help="Folder of cluster maps: 0 background, 1 to 254 clusters.")],
    truth: Annotated[
        Path, typer.Option("--truth", help="Folder of class masks (255 ignored), or COCO's instances JSON.")
    ],
    classes: Annotated[
        int, typer.Option("--classes", min=2, max=255, help="Number of classes with background; not for COCO's JSON.")
    ] = 21,
    listed: Listed = None,
    out: Out = None,
    per_image: PerImage = None,
    bootstrap: Bootstrap = 1000,
    seed: Seed = 0,
    workers: Workers = None,
    dataset: DatasetName = None,
    method: MethodName = None,
) -> None:
    """Unsupervised semantic segmentation: clusters matched to classes (Hungarian), mIoU and NMI.

    **Example:** `heap score semantic --pred clusters --truth VOC2012/SegmentationClass
    --list VOC2012/ImageSets/Segmentation/val.txt --out mine.csv`

    Cluster maps are PNGs of the photo's size whose stored values are cluster numbers (grey or palette). From COCO's
    JSON class masks are painted: crowds are ignored, of overlapping objects the smaller is on top. The `_shuffled`
    figures are what the same maps are worth with their clusters dealt out at random.
    """
    from heap.evaluate.score.tasks import score_semantic

    inputs, outputs = _given(pred, truth, listed, workers, bootstrap, seed, out, per_image, dataset, method)
    _finish("semantic", score_semantic(inputs, classes), inputs, outputs, {"classes": classes})


def _given(
    pred: Path, truth: Path, listed: Path | None, workers: int | None, bootstrap: int, seed: int, out: Path | None,
    per_image: Path | None, dataset: str | None, method: str | None,
) -> tuple[Any, Any]:  # fmt: skip
    from heap.errors import DataError
    from heap.evaluate.measures import Resampling
    from heap.evaluate.score.result import Outputs
    from heap.evaluate.score.tasks import Inputs

    for path in (pred, truth):
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
    inputs = Inputs(pred, truth, listed, workers, Resampling(bootstrap, seed))
    outputs = Outputs(out, per_image, dataset, method)
    outputs.check(inputs)
    return inputs, outputs


def _finish(task: str, scored: Any, inputs: Any, outputs: Any, options: dict[str, Any]) -> None:
    from heap.evaluate.score.result import finish

    finish(task, scored, inputs, outputs, options)


def _subsets(given: list[str] | None, classes: int) -> dict[str, list[int]]:
    """Return the class ids of each subset: as given, or MaskContrast's seven where the classes are VOC's."""
    from heap.data.voc import CLASSES
    from heap.errors import DataError

    if given is None:
        seven = ("aeroplane", "bottle", "bus", "car", "cat", "cow", "person")
        return {"miou_7": [1 + CLASSES.index(name) for name in seven]} if classes == len(CLASSES) + 1 else {}
    found = {}
    for text in given:
        name, _, listed = text.partition("=")
        ids = [int(part) for part in listed.split(",") if part.strip().isdecimal()]
        if not name or not ids or len(ids) != len(listed.split(",")) or not all(1 <= one < classes for one in ids):
            raise DataError(f"--subset {text}: expected NAME=ID,ID,... with ids from 1 to {classes - 1}")
        found[name] = ids
    return found
