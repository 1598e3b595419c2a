"""Checkpoints of other layouts brought to timm's: explicit renaming, and a list of what is left behind.

The rules were read in the publishers' code (facebookresearch/dino, dinov2, dinov3) and in timm's own conversion of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from heap.errors import EncoderError

# Parts of a checkpoint that belong to pre-training or to a classifier, not to the backbone: of DINO, DINOv2, DINOv3,
# MAE, MoCo and SimCLR, by the names in their publishers' code.
_NOT_BACKBONE = (
    *("head.", "heads.", "fc.", "classifier.", "mask_token", "projectors.", "local_cls_norm.", "dino_head."),
    *("ibot_head.", "decoder_", "decoder.", "projector.", "projection_head.", "predictor.", "prototypes."),
)
# Of the networks of one training that are averaged, the average is what is published.
_AVERAGED = {"teacher", "ema", "momentum"}
# Buffers that are computed, not learnt: rotary periods are read apart, masks only zero the key's bias.
_BUFFERS = ("rope_embed.periods", ".bias_mask")


@dataclass
class Converted:
    """A checkpoint in timm's layout.

    Attributes:
        state: the backbone's tensors under timm's names.
        dropped: keys of the file that are no part of the backbone.
        periods: DINOv3's rotary periods. The published files hold them rounded to bfloat16 and the official code uses
            them so; timm computes them again. Where the file has them, they count.
    """

    state: dict[str, Tensor]
    dropped: list[str] = field(default_factory=list)
    periods: Tensor | None = None


def backbone_of(state: Mapping[str, Tensor], wanted: Collection[str]) -> tuple[str, dict[str, Tensor]]:
    """Return the prefix below which most names of a backbone are, and the tensors there, without it.

    `module.`, `_orig_mod.`, `state_dict.model.`, `teacher.backbone.`: whatever a training wraps a network in. Of the
    networks of one file the teacher (ema, momentum encoder) is taken.

    Args:
        state: name to tensor, all of a checkpoint.
        wanted: names of the timm model.
    """
    count: Counter[str] = Counter()
    for key in state:
        parts = key.split(".")
        for n in range(len(parts)):
            if _without_chunk(".".join(parts[n:]), wanted) in wanted:
                count["".join(f"{part}." for part in parts[:n])] += 1
    prefix = max(
        count, default="", key=lambda one: (count[one], bool(_AVERAGED & set(re.split(r"[._]", one))), -len(one), one)
    )
    return prefix, {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def to_timm(state: Mapping[str, Tensor], wanted: Collection[str], source: str) -> Converted:
    """Bring a flat state dict in an official or timm layout to timm's.

    Args:
        state: name to tensor, without a prefix, see `backbone_of`.
        wanted: names of the timm model.
        source: the file, for errors.

    Raises:
        EncoderError: a DINOv3 bias that the architecture has no place for.
    """
    found = Converted({})
    for key, value in state.items():
        name = _without_chunk(key, wanted)
        if name in wanted or not (name.endswith(_BUFFERS) or name.startswith(_NOT_BACKBONE)):
            found.state[name] = value
            continue
        found.dropped.append(name)
        if name == "rope_embed.periods":
            found.periods = value
    if "storage_tokens" in found.state:
        found.state = _from_dinov3(found.state, wanted, source)
    elif "register_tokens" in found.state:
        found.state = _from_dinov2_registers(found.state)
    # DINOv2's giant has SwiGLU under other names.
    found.state = {
        re.sub(r"mlp\.w3\.", "mlp.fc2.", re.sub(r"mlp\.w12\.", "mlp.fc1.", name)): value
        for name, value in found.state.items()
    }
    return found


def _without_chunk(name: str, wanted: Collection[str]) -> str:
    """Training checkpoints of DINOv2 keep blocks in chunks: `blocks.CHUNK.NUMBER.`, the number counted through."""
    short = re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", name)
    # Convolutional networks have names like that of their own.
    return name if name in wanted else short


def _from_dinov2_registers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm gives a position to patches only, so CLS takes its own with it; registers never had one."""
    state = dict(state)
    state["reg_token"] = state.pop("register_tokens")
    if "pos_embed" in state and "cls_token" in state:
        state["cls_token"] = state["cls_token"] + state["pos_embed"][:, :1]
        state["pos_embed"] = state["pos_embed"][:, 1:]
    return state


def _from_dinov3(state: dict[str, Tensor], wanted: Collection[str], source: str) -> dict[str, Tensor]:
    """Registers are storage tokens, layer scales are gammas, and the key's bias is always masked to 0."""
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.endswith("attn.qkv.bias") and name not in wanted:
            query, _, values = value.chunk(3)
            stem = name.removesuffix("qkv.bias")
            if f"{stem}q_bias" in wanted:
                renamed[f"{stem}q_bias"], renamed[f"{stem}v_bias"] = query, values
            elif bool(query.any()) or bool(values.any()):
                raise EncoderError(
                    f"{source}: {name} is not 0, and this architecture has no bias there; use the `_qkvb` one of timm"
                )
            continue
        name = re.sub(r"\.ls([12])\.gamma$", r".gamma_\1", name)
        renamed["reg_token" if name == "storage_tokens" else name] = value
    return renamed
