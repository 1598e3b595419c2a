"""The HEAP head: group tokens, cross-attention, soft assignment of patches to groups, foreground scores.

Equations are ours, consistent with the published description (Zhang et al., AAAI 2024):
docs/explanation/method.md has them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heap.encoders.linear import Linear
from heap.head.moved import moved_length
from heap.settings.models import HeadSettings

# Share of the attended patches that a block adds to a token at the start: small, so that step 0 is about the
# assignment by the initial tokens (k-means).
_UPDATE_AT_START = 0.3
# Inverse temperature of the cross-attention at the start: a token looks at the patches most like it, not at the mean.
_SHARPNESS_AT_START = 10.0


@dataclass(frozen=True)
class Grouping:
    """What the head says of a batch of photos. B photos, N patches (padded), D values, M tokens.

    Attributes:
        assignment: A `(B, M, N)`, a distribution over the M groups for each patch; zero at padding.
        mass: m `(B, M)`, patches in a group, soft.
        regions: G `(B, M, D)`, mean frozen feature of a group, not normalised.
        score: p `(B, M)`, probability that a group is foreground.
        foreground: P `(B, N)`, probability that a patch is foreground; zero at padding.
        normed: xh `(B, N, D)`, centred unit features; zero at padding.
    """

    assignment: Tensor
    mass: Tensor
    regions: Tensor
    score: Tensor
    foreground: Tensor
    normed: Tensor


class Block(nn.Module):
    """Pre-norm cross-attention (tokens query patches), optional self-attention of tokens, then an MLP."""

    def __init__(self, dim: int, heads: int, token_attention: bool) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.query, self.key, self.value, self.out = (Linear(dim, dim, bias=False) for _ in range(4))
        # Start as attention by similarity, so that no random rotation stands between tokens and features.
        scale = (_SHARPNESS_AT_START / (dim / heads) ** 0.5) ** 0.5
        for linear, size in ((self.query, scale), (self.key, scale), (self.value, 1.0), (self.out, _UPDATE_AT_START)):
            with torch.no_grad():
                linear.weight.copy_(torch.eye(dim) * size)
        self.self_norm = nn.LayerNorm(dim) if token_attention else None
        self.self_attention = nn.MultiheadAttention(dim, heads, batch_first=True) if token_attention else None
        if self.self_attention is not None:
            nn.init.zeros_(self.self_attention.out_proj.weight)
        self.mlp_norm = nn.LayerNorm(dim)
        last = Linear(4 * dim, dim)
        # A zero last layer: the block starts as cross-attention alone.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.mlp = nn.Sequential(Linear(dim, 4 * dim), nn.GELU(), last)

    def forward(self, tokens: Tensor, normed: Tensor, spread: Tensor, mask: Tensor | None) -> Tensor:
        """Update tokens `(B, M, D)` from unit patches `(B, N, D)`; keys are patches scaled to mean 0 and variance 1.

        `spread` `(B, N)` is each patch's deviation over D; mask `(B, N)`, None where no patch is padding.
        """

        # Tokens are few and patches many, so all that is linear is done on the side of the tokens. Projections:
        # q . (K x) = (K^T q) . x and sum a (V x) = V (sum a x); centring a patch: q . (x - mean x) = (q - mean q) . x.
        # The same attention with a sixth of the operations and no copy of the patches.
        batch, count, dim = tokens.shape
        size = dim // self.heads
        query = self.query(self.norm(tokens)).reshape(batch, count, self.heads, size)
        asked = torch.einsum("bmhs,hsd->bhmd", query, self.key.weight.view(self.heads, size, dim)).flatten(1, 2)
        asked = asked - asked.mean(dim=-1, keepdim=True)
        scores = (asked @ normed.transpose(1, 2)) * (size**-0.5 / spread)[:, None]  # (B, heads * M, N)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], float("-inf"))
        weights = scores.softmax(dim=-1)
        found = (weights @ normed).view(batch, self.heads, count, dim)
        attended = torch.einsum("bhmd,hsd->bmhs", found, self.value.weight.view(self.heads, size, dim)).flatten(2)
        tokens = tokens + self.out(attended)
        if self.self_attention is not None and self.self_norm is not None:
            own = self.self_norm(tokens)
            tokens = tokens + self.self_attention(own, own, own, need_weights=False)[0]
        updated: Tensor = tokens + self.mlp(self.mlp_norm(tokens))
        return updated


class Head(nn.Module):
    """Groups the patches of a photo and scores each group as foreground.

    Args:
        dim: D, values of a frozen feature.
        settings: shape of the head.

    Raises:
        ValueError: `settings.num_heads` does not divide `dim`.
    """

    mean: Tensor
    temperature: Tensor

    def __init__(self, dim: int, settings: HeadSettings) -> None:
        super().__init__()
        if dim % settings.num_heads:
            raise ValueError(f"train.head.num_heads: {settings.num_heads} heads do not divide features of {dim} values")
        self.dim, self.settings = dim, settings
        # Keys share a large common part; correlations only differ around the training set's mean.
        self.register_buffer("mean", torch.zeros(dim))
        # Set by calibration, where the settings say `auto`; it stands in the weights so that they carry it.
        start = 1.0 if settings.temperature == "auto" else settings.temperature
        self.register_buffer("temperature", torch.tensor(float(start)))
        self.tokens = nn.Parameter(F.normalize(torch.randn(settings.num_groups, dim), dim=-1))
        self.blocks = nn.ModuleList(
            Block(dim, settings.num_heads, settings.token_attention) for _ in range(settings.num_layers)
        )
        self.patch = nn.Linear(dim, dim, bias=False)
        nn.init.zeros_(self.patch.weight)
        self.score_norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.score = nn.Linear(dim, 1)
        # Exactly equal scores would be a saddle of L_neg: foreground and background the same mixture, no gradient.
        nn.init.normal_(self.score.weight, std=0.5 * dim**-0.5)
        nn.init.zeros_(self.score.bias)

    def forward(self, features: Tensor, mask: Tensor | None) -> Grouping:
        """Group photos.

        Args:
            features: x `(B, N, D)` frozen features, padded; values at padding are ignored.
            mask: `(B, N)` bool, true where a patch is; None where all are, which saves the work.
        """
        centred = features - self.mean
        # In place where features are frozen, as always in training: memory of this size costs more to get than to use.
        place = None if centred.requires_grad else centred
        normed = torch.div(centred, centred.norm(dim=-1, keepdim=True).clamp_min(1e-12), out=place)
        if mask is not None:
            normed = torch.mul(normed, mask[..., None], out=place)
        # A unit vector's mean square is 1 / D; the small number is a layer norm's, for a vector without spread.
        spread = (1 / self.dim - normed.mean(dim=-1) ** 2).clamp_min(0).add(1e-5).sqrt()
        tokens = self.tokens.expand(len(features), -1, -1)
        for block in self.blocks:
            tokens = block(tokens, normed, spread, mask)
        length = moved_length(normed, self.patch.weight)
        # Under autocast the products above are bfloat16; at temperature 0.05 its rounding would show from here on.
        with torch.autocast(features.device.type, enabled=False):
            return self._group(tokens.to(normed.dtype), length.to(normed.dtype), normed, mask)

    def _group(self, tokens: Tensor, length: Tensor, normed: Tensor, mask: Tensor | None) -> Grouping:
        """Assign patches E = x + W x of `length` `(B, N)` to tokens `(B, M, D)`; x is the frozen `normed`."""
        # cos(T, E) = (T + W^T T) . x / (|T| |E|): of D values a patch there is none to move.
        unit = F.normalize(tokens, dim=-1)
        product = (unit + unit @ self.patch.weight) @ normed.transpose(1, 2)
        similarity = product / length.clamp_min(1e-12)[:, None]
        assignment = (similarity / self.temperature).softmax(dim=1)
        if mask is not None:
            assignment = assignment * mask[:, None]
        mass = assignment.sum(-1)
        # Regions are means of frozen features: an embedding cannot collapse, only a mask can.
        regions = (assignment @ normed) / mass.clamp_min(1e-6)[..., None]
        score = self.score(self.score_norm(tokens)).squeeze(-1).sigmoid()
        foreground = (score[:, None] @ assignment).squeeze(1)
        return Grouping(assignment, mass, regions, score, foreground, normed)

    @torch.no_grad()
    def flip(self) -> None:
        """Exchange foreground and background: p becomes 1 - p. The losses do not tell the two apart."""
        self.score.weight.neg_()
        self.score.bias.neg_()
