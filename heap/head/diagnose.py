"""Signs of a good or a failed head that need no label. Thresholds: measured on planted features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from heap.head import losses
from heap.head.batches import Batch, TrainingSet, collate
from heap.head.feed import to_device
from heap.head.model import Grouping, Head
from heap.head.objective import loss_terms
from heap.settings.models import LossSettings

# Photos that decide the polarity and the final diagnostics, and a batch of them.
_DIAGNOSED = 512
_BATCH = 16

Signs = dict[str, float]
Maps = list[npt.NDArray[np.float32]]


@torch.no_grad()
def diagnostics(grouping: Grouping, batch: Batch) -> Signs:
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


@torch.inference_mode()
def survey(head: Head, data: TrainingSet, device: str, loss: LossSettings | None = None) -> tuple[Signs, Maps]:
    """Return what a trained head says of (up to 512) training photos, the same for every head.

    Args:
        head: trained.
        data: the training photos.
        device: torch device.
        loss: calibrated settings of the losses; None leaves the losses out of the signs.

    Returns:
        The mean `diagnostics` and unweighted losses (`intra`, `negative`, `inter`), and the saliency map `(N,)` of each
        photo.
    """
    chosen = data.photos[:: max(1, len(data) // _DIAGNOSED)]
    rows, sizes, maps = [], [], []
    for start in range(0, len(chosen), _BATCH):
        batch = to_device(collate(data.load(chosen[start : start + _BATCH])), torch.device(device))
        grouping = head(batch.features, batch.mask)
        signs = diagnostics(grouping, batch)
        if loss is not None:
            # At the end of the training (1.0); the sampled patches are the same for every head.
            terms = loss_terms(grouping, batch, loss, 1.0, [start])
            signs |= {name: float(terms[name]) for name in ("intra", "negative", "inter")}
        rows.append(signs)
        sizes.append(len(batch.mask))
        for found, count in zip(grouping.foreground.cpu().numpy(), batch.counts, strict=True):
            maps.append(found[:count])
    return {name: round(float(np.average([row[name] for row in rows], weights=sizes)), 6) for name in rows[0]}, maps


def orient(head: Head, data: TrainingSet, device: str, loss: LossSettings | None = None) -> tuple[Signs, Maps, bool]:
    """Exchange a head's foreground and background where `framing` says so; return its `survey`, and whether it did.

    The losses do not tell the two apart. One sign decides this and the choice between seeds (`heap.head.choose`): rho
    follows the attention, which may be misleading, and would turn right heads round.
    """
    signs, maps = survey(head, data, device, loss)
    if signs["framing"] >= 0:
        return signs, maps, False
    head.flip()
    return *survey(head, data, device, loss), True


def agreement(maps: Sequence[Maps]) -> list[float]:
    """Return for each head the mean correlation of its maps with the other heads' of the same photos.

    A head that stands alone among its seeds fell into another partition. 1 where there is one head only.
    """
    if len(maps) == 1:
        return [1.0]
    centred = []
    for of_head in maps:
        rows = [values - values.mean() for values in of_head]
        centred.append([row / max(float(np.linalg.norm(row)), 1e-12) for row in rows])
    alike = np.array(
        [[np.mean([a @ b for a, b in zip(one, other, strict=True)]) for other in centred] for one in centred]
    )
    others = (alike.sum(axis=1) - np.diag(alike)) / (len(maps) - 1)
    return [round(float(value), 6) for value in others]


def warnings_of(final: Signs) -> list[str]:
    """Return what looks wrong, in words that tell what to change; empty where nothing does."""
    words = []
    if final["rho"] <= -0.2:
        words.append(
            f"two signs contradict: by the photos' edge foreground is foreground (framing {final['framing']:.2f}), by "
            f"the attention it is background (rho {final['rho']:.2f}). The edge was followed; check results/pictures"
        )
    elif final["rho"] < 0.2:
        words.append(
            f"the saliency map hardly follows the attention (rho {final['rho']:.2f}): foreground and background may be "
            "exchanged or meaningless; try train.loss.variant robust, or other train.seeds"
        )
    if not 0.1 <= final["area"] <= 0.45:
        words.append(
            f"foreground covers {final['area']:.0%} of a photo on average (usual: 10 to 45 %); "
            "raise train.loss.negative, or try another train.loss.variant"
        )
    if final["border"] > max(final["area"], 0.1):
        words.append(
            f"the photo's edge is more foreground ({final['border']:.0%}) than the whole photo ({final['area']:.0%}): "
            "foreground and background may be exchanged; try another train.loss.variant, or more train.seeds"
        )
    if final["undecided"] > 0.3:
        words.append(f"{final['undecided']:.0%} of the patches are undecided; train longer (train.steps)")
    if final["entropy"] > 0.5:
        words.append(f"the assignment is blurred (entropy {final['entropy']:.2f}); lower train.head.temperature")
    if final["groups"] < 2:
        words.append("photos use fewer than two groups: the grouping has collapsed; raise train.loss.intra")
    return words
