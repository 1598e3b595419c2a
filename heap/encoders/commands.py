"""The command `heap encoders`: which there are, and what one of them is."""

from __future__ import annotations

from typing import Annotated

import typer

from heap.errors import EncoderError
from heap.receipts import Weights
from heap.terminal import Console, echo


def encoders(
    name: Annotated[
        str | None, typer.Argument(help="Tell all of one: a name of the list, `descriptors`, or a model of timm.")
    ] = None,
    timm: Annotated[
        str | None, typer.Option("--timm", metavar="PATTERN", help="List timm's models: 'vit_*dinov3*', 'resnet*'.")
    ] = None,
) -> None:
    """List the known encoders and where their weights come from, or tell all of one."""
    from rich.table import Table

    if timm is not None:
        for found in _of_timm(timm):
            echo(found)
        return
    if name is not None:
        for key, value in _facts(name).items():
            echo(f"{key + ':':<12}{value}")
        return
    from heap.settings.architectures import ARCHITECTURES

    table = Table("architecture", "patch px", "values", "blocks", "heads", "registers", "about", "weights")
    for architecture, known in ARCHITECTURES.items():
        numbers = (known.patch_px, known.dim, known.blocks, known.heads, known.registers)
        table.add_row(architecture, *(str(number) for number in numbers), known.about, known.url)
    other = ("-", "-", "-", "-", "-")
    table.add_row("descriptors", "4 to 32", "96", "-", "1", "-",
                  "kind descriptors: hand-made colour, gradient and texture; no training", "none")  # fmt: skip
    table.add_row(
        "any ViT of timm", *other, "kind vit: with a CLS token; see --timm 'vit_*'", "timm's entry of the hub"
    )
    table.add_row("any CNN of timm", *other, "kind cnn: feature maps; see --timm 'resnet*'", "timm's entry of the hub")
    Console().print(table)


def _of_timm(pattern: str) -> list[str]:
    """Return timm's models of a pattern, with a tag for each set of published weights.

    Raises:
        EncoderError: none matches.
    """
    from timm import list_models

    found = list_models(pattern, pretrained=True) or list_models(f"*{pattern}*", pretrained=True)
    if not found:
        raise EncoderError(f"--timm {pattern!r}: no model of timm with published weights matches")
    return [str(name) for name in found]


def _facts(name: str) -> dict[str, str]:
    """Return what there is to tell of an encoder, in the order of reading.

    Raises:
        EncoderError: no such encoder, or one that cannot be used, with the reason.
    """
    if name == "descriptors":
        return {"encoder": name, "kind": "descriptors", "about": "hand-made colour, gradient and texture; no training",
                "patch px": "4 to 32", "values": "96", "attention": "centre_border_prior (a substitute)",
                "weights": "none"}  # fmt: skip
    import timm
    import torch

    from heap.encoders.weights import kept_at, published
    from heap.settings.architectures import shape_of, timm_name

    url, file = published(name)
    known = shape_of(name)
    facts = {"encoder": name}
    if known is not None:
        facts["about"] = known.about
    # On the meta device a model has shapes and no numbers: even a ViT-G is built at once.
    with torch.device("meta"):
        model = timm.create_model(timm_name(name), pretrained=False, num_classes=0)
    if hasattr(model, "blocks") and hasattr(model, "patch_embed"):
        facts |= _facts_of_vit(name)
    else:
        facts |= _facts_of_cnn(name)
    config = getattr(model, "pretrained_cfg", None) or {}
    return {
        **facts,
        "mean, std": f"{config.get('mean')}, {config.get('std')}",
        "timm": timm_name(name),
        "weights": url,
        "kept at": str(kept_at(file)),
        **({"licence": str(config["license"])} if config.get("license") else {}),
    }


def _facts_of_vit(name: str) -> dict[str, str]:
    import torch

    from heap.encoders.vit import Vit, build
    from heap.settings.architectures import position_rule
    from heap.settings.models import VitEncoder

    with torch.device("meta"):
        model = build(name)
    settings = VitEncoder(kind="vit", architecture=name, weights="random")
    # The checks of the encoder itself, so that what is told here can be used.
    encoder = Vit(model, settings, Weights(source="random"), "meta")
    rotary = getattr(model, "rope", None) is not None
    rules = {"offset": "bicubic with DINO's offset of 0.1", "antialias": "bicubic by size, antialiased"}
    position = [] if model.pos_embed is None else [f"embedding, {rules[position_rule(name)]}"]
    depth = len(model.blocks)
    return {
        "kind": "vit",
        "patch px": str(encoder.patch_px),
        "values": str(encoder.dim),
        "blocks": f"{depth} ({-depth} to {depth - 1})",
        "heads": str(encoder.heads),
        "registers": str(encoder.prefix - 1),
        "facets": "key, query, value, token",
        "position": " and ".join([*position, *(["rotary"] if rotary else [])]),
        "attention": encoder.attention_kind,
    }


def _facts_of_cnn(name: str) -> dict[str, str]:
    import torch

    from heap.encoders.cnn import build, stages_of
    from heap.settings.models import CnnEncoder

    settings = CnnEncoder(kind="cnn", architecture=name, supervision="not stated", stages=[-1], patch_px=1)
    with torch.device("meta"):
        stages = stages_of(build(settings))
    told = ", ".join(f"{number}: {values} values at {stride} px" for number, (values, stride) in enumerate(stages))
    return {"kind": "cnn", "stages": f"{told}; head: the last map", "attention": "feature_norm (a substitute)"}
