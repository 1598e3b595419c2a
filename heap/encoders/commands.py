"""The command `heap encoders`: which there are, and what one of them is."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from heap.errors import EncoderError
from heap.receipts import Weights
from heap.terminal import echo, echo_json

_DESCRIPTORS = {
    "encoder": "descriptors",
    "kind": "descriptors",
    "about": "hand-made colour, gradient and texture; no training",
    "patch px": "4 to 32",
    "values": "96",
    "attention": "centre_border_prior (a substitute)",
    "weights": "none",
}


def encoders(
    name: Annotated[
        str | None, typer.Argument(help="Show all of one: a name of the list, `descriptors`, or a model of timm.")
    ] = None,
    timm: Annotated[
        str | None, typer.Option("--timm", metavar="PATTERN", help="List timm's models: 'vit_*dinov3*', 'resnet*'.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs, not lines for people.")] = False,
) -> None:
    """List the known encoders, or show all of one: where its weights come from, its blocks or stages, its licence."""
    if timm is not None:
        found = _of_timm(timm)
        echo_json(found) if as_json else echo(*found)
    elif name is not None:
        facts = _facts(name)
        echo_json(facts) if as_json else echo(*(f"{key + ':':<12}{value}" for key, value in facts.items()))
    else:
        _list(as_json)


def _list(as_json: bool) -> None:
    from heap.settings.architectures import ARCHITECTURES

    if as_json:
        echo_json({name: asdict(known) for name, known in ARCHITECTURES.items()})
        return
    for name, known in ARCHITECTURES.items():
        registers = f", {known.registers} registers" if known.registers else ""
        shape = f"{known.dim} values, {known.blocks} blocks, {known.heads} heads{registers}"
        echo(f"{name:<19}{known.patch_px:>2} px, {shape}", f"  {known.about}")
    echo(f"{'descriptors':<19}4 to 32 px, 96 values", f"  kind descriptors: {_DESCRIPTORS['about']}")
    echo("any ViT of timm", "  kind vit: with a CLS token; see --timm 'vit_*'")
    echo("any CNN of timm", "  kind cnn: feature maps; see --timm 'resnet*'")
    echo("heap encoders NAME shows where its weights come from")


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
    """Return what there is to know of an encoder, in the order of reading.

    Raises:
        EncoderError: no such encoder, or one that cannot be used, with the reason.
    """
    if name == "descriptors":
        return _DESCRIPTORS
    import timm
    import torch

    from heap.encoders.weights import kept_at, published
    from heap.settings.architectures import shape_of, timm_name

    url, file = published(name)
    known = shape_of(name)
    # On the meta device a model has shapes and no numbers: even a ViT-G is built at once.
    with torch.device("meta"):
        model: Any = timm.create_model(timm_name(name), pretrained=False, num_classes=0)
    of_kind = _facts_of_vit if hasattr(model, "blocks") and hasattr(model, "patch_embed") else _facts_of_cnn
    facts = {"encoder": name, **({"about": known.about} if known else {}), **of_kind(name)}
    config = model.pretrained_cfg
    facts |= {"mean, std": f"{config.get('mean')}, {config.get('std')}", "timm": timm_name(name), "weights": url}
    facts["kept at"] = str(kept_at(file))
    return facts | ({"licence": str(config["license"])} if config.get("license") else {})


def _facts_of_vit(name: str) -> dict[str, str]:
    import torch

    from heap.encoders.vit import Vit, build
    from heap.settings.architectures import position_rule
    from heap.settings.models import VitEncoder

    with torch.device("meta"):
        model = build(name)
    settings = VitEncoder(kind="vit", architecture=name, weights="random")
    # The checks of the encoder itself, so that what is shown here can be used.
    encoder = Vit(model, settings, Weights(source="random"), "meta")
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
        "position": " and ".join([*position, *(["rotary"] if encoder.position.rope is not None else [])]),
        "attention": encoder.attention_kind,
    }


def _facts_of_cnn(name: str) -> dict[str, str]:
    import torch

    from heap.encoders.cnn import build, stages_of
    from heap.settings.models import CnnEncoder

    settings = CnnEncoder(kind="cnn", architecture=name, supervision="not stated", stages=[-1], patch_px=1)
    with torch.device("meta"):
        stages = stages_of(build(settings))
    listed = ", ".join(f"{number}: {values} values at {stride} px" for number, (values, stride) in enumerate(stages))
    return {"kind": "cnn", "stages": f"{listed}; head: the last map", "attention": "feature_norm (a substitute)"}
