"""Stage `report`: one page that shows a benchmark, complete in one file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from heap import __version__
from heap.cluster.table import BACKGROUND, FOREGROUND
from heap.evaluate import comparison
from heap.evaluate.levels import Reading
from heap.files import dump_json, read_json, write_text
from heap.progress import track
from heap.report import pictures
from heap.report.browse import Browser, browse
from heap.report.figures import read_history
from heap.report.gallery import ClusterCard, cluster_cards, css
from heap.report.photos import Card, Found, card, choose, gather, score
from heap.report.words import encoder_note
from heap.settings.freeze import read_frozen, section
from heap.settings.stages import BenchmarkSettings, ReportSettings, RetrievalTask, SaliencyTask

HERE = Path(__file__).parent
# One after another they are the page's one script.
SCRIPTS = ("regions.js", "gallery.js", "photos.js", "enlarge.js")


@dataclass(frozen=True)
class Section:
    """One dataset of the page."""

    name: str
    photos: int
    ranked_by: str  # "mask", "box" or "" where nothing is
    has_boxes: bool  # true ones
    cards: list[Card]
    clusters: list[ClusterCard]
    all_clusters: int
    colours: list[str]
    browser: Browser
    made: list[tuple[str, str]]
    warnings: list[str]
    left_out: list[tuple[str, str]]  # photos that could not be read, and why


def report(
    frozen: Path,
    metrics: Path | None,
    manifests: Sequence[Path],
    maps: Sequence[Path],
    clusters: Sequence[Path],
    masks: Sequence[Path],
    histories: Sequence[Path],
    out_html: Path,
) -> None:
    """Write the page of a benchmark, or of one dataset. Files come in any order: each says which dataset it is of.

    Args:
        frozen: frozen settings of the stage.
        metrics: the benchmark's table; the JSON next to it is shown where there is one. None where the page is of a
            dataset, with ground truth or without.
        manifests: of the datasets.
        maps: receipts of patch maps; those of other methods than HEAP are passed over.
        clusters: tables of clusters.
        masks: COCO instances, with the masks next to them.
        histories: of the models' trainings, each called by the name of its file.
        out_html: the page.

    Raises:
        DataError: a dataset lacks a file, or a file is damaged.
    """
    settings = read_frozen(frozen, "report")
    wanted: ReportSettings = section(settings, "report", ReportSettings)
    benchmark: BenchmarkSettings | None = section(settings, "benchmark", BenchmarkSettings | None)
    details = None if metrics is None else metrics.with_suffix(".json")
    about = read_json(details) if details is not None and details.is_file() else None
    datasets = [
        replace(found, reading=_reading(benchmark, found.name)) for found in gather(manifests, maps, clusters, masks)
    ]
    # Each dataset has its share of the room, by its photos.
    bytes_a_photo = 1e6 * wanted.gallery_mb / max(1, sum(len(found.maps.images) for found in datasets))
    sections = [
        make_section(
            found, _splits(benchmark, found.name), wanted, int(bytes_a_photo * len(found.maps.images)), how_made(found)
        )
        for found in datasets
    ]
    encoders = sorted({value for one in sections for key, value in one.made if key == "encoder"})
    page = render(
        name=str(settings["name"]),
        version=__version__,
        encoders=[(label, encoder_note(label)) for label in encoders],
        tables=[] if metrics is None else comparison.compare([comparison.Source.read(metrics)]),
        histories=[read_history(path) for path in sorted(set(histories))],
        sections=sections,
        warnings=each_once(
            (about or {}).get("warnings", []), [(one.name, word) for one in sections for word in one.warnings]
        ),
        about="" if about is None else dump_json(about),
    )
    write_text(out_html, page)


def _splits(benchmark: BenchmarkSettings | None, dataset: str) -> list[str | None]:
    """Return the splits of a dataset that the benchmark measures; photos are shown from these."""
    if benchmark is None:
        return [None]
    return [
        task.query if isinstance(task, RetrievalTask) else task.split
        for task in benchmark.tasks
        if task.dataset == dataset
    ]


def _reading(benchmark: BenchmarkSettings | None, dataset: str) -> Reading | None:
    """Return how the benchmark reads the binary masks of a dataset; None where it measures none."""
    tasks = [] if benchmark is None else benchmark.tasks
    return next((one.truth for one in tasks if isinstance(one, SaliencyTask) and one.dataset == dataset), None)


def each_once(measured: Sequence[Any], own: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the warnings of the evaluation and a dataset's `own`, which the evaluation repeats by its name."""
    known = {f"{name}: {word}" for name, word in own}
    return [("", str(word)) for word in measured if str(word) not in known] + own


def make_section(
    found: Found, splits: Sequence[str | None], settings: ReportSettings, room: int, made: list[tuple[str, str]]
) -> Section:
    """Return one dataset of the page: its chosen photos and its clusters.

    Args:
        found: the dataset.
        splits: photos of these are shown; None among them takes all.
        settings: number and size of the pictures.
        room: bytes of the page for the gallery's thumbnails.
        made: how its regions were found and clustered, in words.
    """
    info = found.clusters.info
    k = {kind: int(info["k"][kind]) for kind in (FOREGROUND, BACKGROUND)}
    colours = pictures.cluster_colours(k[FOREGROUND], k[BACKGROUND])
    photos = found.photos(splits)
    ranked_by, ious = score(found, photos)
    chosen = choose(photos, ious, settings.photos)
    shown = track(chosen, len(chosen), "photos", f"pictures of {found.name}")
    warnings = [str(word) for word in [*(info.get("warnings") or []), *found.manifest.info["warnings"]]]
    return Section(
        name=found.name,
        photos=len(photos),
        ranked_by=ranked_by if ious else "",
        has_boxes=any(photo.boxes is not None and len(photo.boxes) for photo in photos),
        cards=[card(found, one, settings.thumbnail_px, colours) for one in shown],
        clusters=cluster_cards(found, colours),
        all_clusters=k[FOREGROUND],
        colours=[css(colour) for colour in colours],
        browser=browse(found, ious, settings.thumbnail_px, room),
        made=made,
        warnings=warnings,
        left_out=[
            *((one["path"], one["reason"]) for one in found.manifest.info["skipped"]),
            *((one.image_id, one.reason) for one in found.maps.receipt.skipped),
        ],
    )


def how_made(found: Found) -> list[tuple[str, str]]:
    """Return how a dataset's regions were found and clustered, in words."""
    info = found.clusters.info
    k, kmeans = info["k"], info["kmeans"]
    return [
        ("encoder", found.maps.receipt.encoder),
        ("model", str(info.get("model", "?"))),
        *_seed_words(found.maps.receipt.as_json()),
        ("photos", f"{len(found.maps.images)} in the dataset"),
        ("regions", f"{len(found.clusters.table)}, by {info.get('tokens', '?')} group tokens"),
        *(
            (
                f"{kind} clusters",
                f"{k[kind]} (k-means on {kmeans[kind]['points']} regions, seed {kmeans[kind]['seed']}, best of "
                f"{kmeans[kind]['restarts']}, inertia {kmeans[kind]['inertia']:.1f}, {kmeans[kind]['device']})",
            )
            for kind in (FOREGROUND, BACKGROUND)
        ),
        ("index", f"{info['index']['kind']}, recall@10 {info['index']['recall_at_10']:.3f}"),
    ]


def _seed_words(receipt: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return which seed's head made the maps, and why that one, as far as their receipt says it."""
    if "seed" not in receipt:
        return []
    return [("seed of the training", f"{receipt['seed']} of {len(receipt['seeds'])}: {receipt['seed_why']}")]


def render(**content: Any) -> str:
    """Return the page. Every value is escaped by the template; only our own style, script and drawings are not."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    style, script = (
        Markup("".join((HERE / name).read_text(encoding="utf-8") for name in names))  # noqa: S704 - files of this package
        for names in (("style.css",), SCRIPTS)
    )
    # The browser runs this one script and no other, and asks nobody for anything: a second fence behind the escaping.
    fence = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = environment.get_template("template.html")
    return page.render(**content, style=style, script=script, script_sha256=fence)
