"""What one block of a ViT says about each patch: a facet, and the row of its attention that belongs to CLS.

Facets are what the peers read: `query`, `key` and `value` are the outputs of the block's projections with all heads
concatenated (LOST hooks `attn.qkv`), before any normalisation of queries and keys and before any rotation; `token` is
the block's output, after the model's final normalisation where it is the last block.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from timm.layers import apply_rot_embed_cat
from timm.layers.attention import Attention, AttentionRope
from timm.models.eva import EvaAttention, EvaBlock
from timm.models.vision_transformer import Block
from torch import Tensor

from heap.encoders.linear import linear
from heap.errors import EncoderError

Projection = Literal["query", "key", "value"]
_PLACE = {"query": 0, "key": 1, "value": 2}


def check_block(block: torch.nn.Module, name: str) -> None:
    """Refuse blocks whose parts are put together otherwise than this module reads them.

    Raises:
        EncoderError: parallel, post-norm or differential blocks, or keys shared by heads.
    """
    attn = getattr(block, "attn", None)
    if type(block) not in (Block, EvaBlock) or type(attn) not in (Attention, EvaAttention, AttentionRope):
        raise EncoderError(
            f"encoder {name}: its blocks are {type(block).__name__} with {type(attn).__name__}, "
            "expected Block or EvaBlock (normalisation before attention, one attention a block)"
        )
    if getattr(attn, "num_kv_groups", 1) != 1:
        raise EncoderError(f"encoder {name}: heads share keys (grouped queries), expected a key for each head")


def project(attn: Any, normed: Tensor, which: Projection) -> Tensor:
    """Return one of the three projections `(B, L, D)` of normalised tokens `(B, L, D)`.

    timm keeps them in three ways: one Linear, one Linear with biases apart, or a Linear each. Slices of a weight are
    views, so only the projection that is asked for is computed.
    """
    place = _PLACE[which]
    if attn.qkv is None:
        return (attn.q_proj, attn.k_proj, attn.v_proj)[place](normed)
    rows = slice(place * attn.qkv.out_features // 3, (place + 1) * attn.qkv.out_features // 3)
    if getattr(attn, "q_bias", None) is not None:
        bias = (attn.q_bias, attn.k_bias, attn.v_bias)[place]
    else:
        bias = None if attn.qkv.bias is None else attn.qkv.bias[rows]
    return linear(normed, attn.qkv.weight[rows], bias)


def cls_attention(attn: Any, query: Tensor, key: Tensor, rotary: Tensor | None, prefix: int) -> Tensor:
    """Return how CLS attends to the patches, `(B, N, heads)` float32, after the softmax over all tokens.

    Args:
        attn: the attention module.
        query: `(B, heads, 1, head_dim)` of CLS, normalised where the model does so. CLS is never rotated.
        key: `(B, heads, prefix + N, head_dim)`, likewise.
        rotary: sines and cosines of the patches, or None.
        prefix: tokens that stand for no patch; dropped after the softmax.
    """
    if rotary is not None:
        half = getattr(attn, "rotate_half", False)
        turned = apply_rot_embed_cat(key[:, :, prefix:], rotary, half=half).to(key.dtype)
        key = torch.cat([key[:, :, :prefix], turned], dim=2)
    # Scaled before the product, whose sums can pass float16's 65504.
    scores = (query * query.shape[-1] ** -0.5 @ key.transpose(2, 3)).squeeze(2)  # (B, heads, prefix + N)
    return scores.float().softmax(dim=2)[:, :, prefix:].transpose(1, 2)


def read_block(
    block: Any, x: Tensor, facet: Literal["query", "key", "value", "token"], rotary: Tensor | None, prefix: int
) -> tuple[Tensor, Tensor]:
    """Return the facet `(B, L, D)` and the CLS attention `(B, N, heads)` of the block that tokens x `(B, L, D)` enter.

    For key, query and value only these and what the CLS row needs are computed: no other attention, no MLP. For the
    token the block runs as it is, with fused attention, and its queries and keys are read on the way.
    """
    attn = block.attn
    if facet == "token":
        return _read_token(block, x, rotary, prefix)
    normed = block.norm1(x)
    key = project(attn, normed, "key")
    query = project(attn, normed if facet == "query" else normed[:, :1], "query")
    attention = cls_attention(
        attn, attn.q_norm(_heads(attn, query[:, :1])), attn.k_norm(_heads(attn, key)), rotary, prefix
    )
    if facet == "value":
        return project(attn, normed, "value"), attention
    return (key if facet == "key" else query), attention


def _heads(attn: Any, values: Tensor) -> Tensor:
    """`(B, L, heads * head_dim)` to `(B, heads, L, head_dim)`."""
    batch, length, _ = values.shape
    return values.view(batch, length, attn.num_heads, -1).transpose(1, 2)


def _read_token(block: Any, x: Tensor, rotary: Tensor | None, prefix: int) -> tuple[Tensor, Tensor]:
    attn, seen = block.attn, {}

    def keep(name: str) -> Any:
        def hook(_module: torch.nn.Module, _arguments: Any, output: Tensor) -> None:
            seen[name] = output

        return hook

    # Every attention module of timm sends queries and keys through q_norm and k_norm, identities where there are none.
    hooks = [attn.q_norm.register_forward_hook(keep("query")), attn.k_norm.register_forward_hook(keep("key"))]
    try:
        out = run_block(block, x, rotary)
    finally:
        for hook in hooks:
            hook.remove()
    return out, cls_attention(attn, seen["query"][:, :, :1], seen["key"], rotary, prefix)


def run_block(block: Any, x: Tensor, rotary: Tensor | None) -> Tensor:
    """Run a whole block on tokens `(B, L, D)`, attention fused."""
    return block(x) if rotary is None else block(x, rope=rotary)
