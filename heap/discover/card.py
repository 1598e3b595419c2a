"""The model card of an exported model, `README.md` in its folder: encoder, data, licences, figures, limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heap.errors import HeapError
from heap.evaluate.comparison import Source, compare
from heap.evaluate.names import encoder_kind
from heap.evaluate.writers import markdown

if TYPE_CHECKING:
    from heap.discover.folder import Parts

CARD = "README.md"
_KINDS = {
    "untrained": "**Its weights are random.** What the model finds says nothing about HEAP with a trained encoder.",
    "hand-made": "**Its features are hand-made**, not learned. Do not compare its figures with those of DINO.",
    "unverified": "Nobody stated a checksum of these weights, so their origin is what their owner says.",
    "trained": "Frozen; only the head was trained here.",
}
_LIMITS = """\
- An object is what stands out from its surroundings in colour, texture or attention. What does not is missed.
- Clusters have numbers, not names, and are those of the photos above. On photos of other things they mix kinds.
- Nothing here is fit for decisions about people.
- The equations are this project's own where the paper could not be read.

## Licence

The head and the clusters are their maker's and derive from the photos above, whose terms may bind them. The code is
under the MIT licence. The encoder's weights are under their publisher's terms."""
# Signs of a training, none of which reads a label; see the tutorial of the report.
_SIGNS = {"area": "mean foreground (usual: 0.10 to 0.45)", "entropy": "blur of the groups (below 0.5 is good)",
          "undecided": "patches between foreground and background (below 0.3 is good)"}  # fmt: skip


def card(parts: Parts, measured: Sequence[Source] = ()) -> str:
    """Return the card of a model as Markdown.

    Args:
        parts: the model.
        measured: figures of its head.
    """
    about = parts.description
    weights, trained, signs = about["weights"], about["trained_on"], about["diagnostics"]
    clusters = parts.clusters
    found = "none: regions have no cluster"
    if clusters is not None:
        found = (
            f"{clusters.foreground} of foreground and {clusters.background} of background regions of {clusters.dataset}"
        )
    split = f", split {trained['split']}" if trained.get("split") else ""
    figures = markdown(compare(measured), intervals=True) if measured else (
        "None was measured with this head where it was exported (`snakemake results/BENCHMARK_metrics.csv` measures)."
    )  # fmt: skip
    lines = [
        f"# {_text(about['model'])}: a HEAP model",
        "Finds the objects of photos without labels: HEAP (Zhang, Xie, Yuan, Bi Mi, Tan; AAAI 2024, arXiv 2312.17492), "
        "in an independent implementation.",
        '```python\nimport heap\n\nmodel = heap.load("this folder")\nfound = model.discover("photo.jpg")\n```',
        "## Encoder",
        f"{_text(about['encoder'])}. {_KINDS[encoder_kind(about['encoder'])]}\n\n"
        f"- weights: {_text(weights['source'])}, not in this folder\n- sha256: {weights['sha256'] or 'none'}\n"
        f"- licence: {_licence(about['encoder_settings'])}",
        "## Data",
        f"- trained on: {trained.get('photos', '?')} photos of {_text(trained['dataset'] + split)}; no label was read\n"
        f"- clusters: {_text(found)}",
        "## Figures",
        figures.strip(),
        "Signs of the training, without labels:\n\n"
        + "\n".join(f"- {words}: {signs[key]:.2f}" for key, words in _SIGNS.items() if key in signs)
        + "".join(f"\n- **warning:** {_text(word)}" for word in about["warnings"]),
        "## Limits",
        _LIMITS,
    ]
    return "\n\n".join(lines) + "\n"


def measured_with(head_sha256: str, results: Path) -> list[Source]:
    """Return the figures that were measured with a head, of all metrics tables of a folder `results`."""
    found = []
    for path in sorted(results.glob("*_metrics.csv")):
        try:
            source = Source.read(path)
        except HeapError:  # a table of something else, or damaged: `heap show` says what is wrong with it
            continue
        datasets = [
            name
            for name, dataset in ((source.about or {}).get("datasets") or {}).items()
            if dataset.get("maps", {}).get("heap", {}).get("head_sha256") == head_sha256
        ]
        table = source.table[(source.table["method"] == "heap") & source.table["dataset"].isin(datasets)]
        if len(table):
            found.append(Source(path, table, source.about))
    return found


def _licence(encoder: dict[str, Any]) -> str:
    """Return the licence of an encoder's published weights, as timm states it."""
    if encoder["kind"] == "descriptors":
        return "MIT, as the code that computes them"
    from timm import get_pretrained_cfg

    from heap.settings.architectures import timm_name

    try:
        config = get_pretrained_cfg(timm_name(encoder["architecture"]))
    except RuntimeError:  # a model without a published checkpoint
        config = None
    stated = getattr(config, "license", None)
    return f"{stated} (of the published weights, as timm states it)" if stated else "see their publisher"


def _text(value: object) -> str:
    """Return a text of the model as one line in which nothing is markup."""
    line = " ".join(str(value).split())
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|#" else sign for sign in line)
