"""Signs of a good or a failed head that need no label. Thresholds: measured on planted features (method.md)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from heap.head import losses
from heap.head.batches import Batch
from heap.head.model import Grouping


@torch.no_grad()
def diagnostics(grouping: Grouping, batch: Batch) -> dict[str, float]:
    """Return the signs of one batch.

    Returns:
        rho: correlation of the saliency map with the attention, mean over photos.
        area: mean of P, the share of a photo that is foreground.
        entropy: of a patch's assignment, as a share of log M.
        undecided: share of patches with 0.3 < P < 0.7.
        groups: groups a photo uses (at least 1 % of its patches).
        border: mean of P on the photo's edge; high where background is taken for foreground.
        framing: cosine of the edge's mean feature to F^b less that to F^f, mean over photos; below 0 the edge is more
            like the foreground.
    """
    mask = batch.mask
    p, real = grouping.foreground, mask.sum()
    edge = torch.einsum("bn,bnd->bd", batch.border.to(grouping.normed), grouping.normed)
    to_front, to_back = (F.cosine_similarity(edge, side, dim=-1) for side in losses.image_level(grouping))
    used = grouping.mass >= 0.01 * mask.sum(1, keepdim=True)
    return {
        "rho": float(losses.correlation(p, batch.attention, mask).mean()),
        "area": float((p * mask).sum() / real),
        "entropy": float(losses.assignment_entropy(grouping.assignment, mask)),
        "undecided": float((((p > 0.3) & (p < 0.7)) & mask).sum() / real),
        "groups": float(used.sum(1).float().mean()),
        "border": float((p * batch.border).sum() / batch.border.sum()),
        "framing": float((to_back - to_front).mean()),
    }


def warnings_of(final: dict[str, float]) -> list[str]:
    """Return what looks wrong, in words that tell what to change; empty where nothing does."""
    words = []
    if abs(final["rho"]) < 0.2:
        words.append(
            f"the saliency map hardly follows the attention (rho {final['rho']:.2f}): foreground and background may be "
            "exchanged or meaningless; try train.loss.variant robust, or another train.seed"
        )
    if not 0.1 <= final["area"] <= 0.45:
        words.append(
            f"foreground covers {final['area']:.0%} of a photo on average (usual: 10 to 45 %); "
            "raise train.loss.negative, or try another train.loss.variant"
        )
    if final["undecided"] > 0.3:
        words.append(f"{final['undecided']:.0%} of the patches are undecided; train longer (train.iterations)")
    if final["entropy"] > 0.5:
        words.append(f"the assignment is blurred (entropy {final['entropy']:.2f}); lower train.head.temperature")
    if final["groups"] < 2:
        words.append("photos use fewer than two groups: the grouping has collapsed; raise train.loss.intra")
    return words
