"""From regions to objects: which regions of a photo are one thing, and the one embedding that thing is clustered by.

The head's tokens cut an object into fragments (a wing, a shadowed side), which k-means would sort by what part of a
thing they are. Two steps, both without labels and the same for every encoder, turn them into things:

- Embeddings are compared by what says what a patch *looks like*, around the mean of all regions: an encoder may declare
  the rest of its values as something else (`heap.encoders.looks`: hand-made descriptors mostly say how a patch stands
  out in its photo, which is the same for every kind of object). Of a pre-trained encoder all values count.
- Foreground regions of a photo that touch are joined, the most alike first, as long as their cosine is above a
  threshold (region merging on the adjacency graph; the joined region's embedding is the weighted mean of its parts).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

# `auto`: regions of two photos are, but for rare luck, of two things. Touching regions of one photo are joined where
# they are more alike than this share of such pairs.
UNLIKE_SHARE = 0.5
# Regions whose pairs are looked at for it: 4 million cosines are 16 MB.
SAMPLED = 2000


@dataclass(frozen=True)
class View:
    """How embeddings of regions are compared.

    Attributes:
        first: first value that counts ...
        last: ... and one past the last.
        centre: `(last - first,)` float32, what is subtracted.
        join_above: cosine above which touching foreground regions are joined; None joins none.
    """

    first: int
    last: int
    centre: Floats
    join_above: float | None

    def of(self, embeddings: Floats) -> Floats:
        """Return embeddings `(n, D)` as they are compared, `(n, last - first)` of length 1."""
        return unit(embeddings[:, self.first : self.last] - self.centre)

    def as_json(self) -> dict[str, Any]:
        """Return the view as it stands in the description of clusters."""
        return {
            "first": self.first,
            "last": self.last,
            "centre": [float(value) for value in self.centre],
            "join_above": self.join_above,
        }

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> View:
        """Return the view that `as_json` described."""
        join_above = told["join_above"]
        centre = np.asarray(told["centre"], np.float32)
        return cls(int(told["first"]), int(told["last"]), centre, None if join_above is None else float(join_above))


def unit(vectors: npt.NDArray[np.floating[Any]]) -> Floats:
    """Return vectors `(n, D)` at length 1; a zero vector (nothing but the mean) becomes the first axis."""
    vectors = np.array(vectors, dtype=np.float32)
    lengths = np.linalg.norm(vectors, axis=1)
    vectors[lengths < 1e-6] = np.eye(1, vectors.shape[1], dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def view_of(
    embeddings: Floats,
    looks: tuple[int, int] | None,
    join: bool,
    join_above: float | str,
    photos: npt.NDArray[np.int64],
    is_foreground: npt.NDArray[np.bool_],
    seed: int,
) -> View:
    """Return how the regions of a dataset are compared.

    Args:
        embeddings: `(n, D)` of length 1.
        looks: first value and one past the last that say what a patch looks like; None: all do.
        join: whether touching regions are joined.
        join_above: cosine, or `auto`.
        photos: `(n,)`, the photo of each region.
        is_foreground: `(n,)`.
        seed: of the sample behind `auto`.
    """
    first, last = looks or (0, embeddings.shape[1])
    plain = View(first, last, embeddings[:, first:last].mean(axis=0, dtype=np.float64).astype(np.float32), None)
    if not join:
        return plain
    if join_above == "auto":
        rows = np.flatnonzero(is_foreground)
        if len(rows) > SAMPLED:
            rows = np.sort(np.random.default_rng(seed).choice(rows, SAMPLED, replace=False))
        compared = plain.of(embeddings[rows])
        apart = photos[rows][:, None] != photos[rows][None, :]
        cosines = (compared @ compared.T)[apart]
        # A dataset of one photo tells nothing about things that differ: nothing is above 1.
        join_above = float(np.quantile(cosines, UNLIKE_SHARE)) if len(cosines) else 1.0
    return View(first, last, plain.centre, float(join_above))


def objects_of(
    view: View,
    tokens: npt.NDArray[np.integer[Any]],
    listed: npt.NDArray[np.integer[Any]],
    embeddings: Floats,
    weight: Floats,
    is_foreground: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    """Return for each listed region of a photo the first region of its object.

    Args:
        view: how embeddings are compared.
        tokens: `(grid_h, grid_w)`, the token of each patch.
        listed: `(K,)` the tokens of the regions.
        embeddings: `(K, D)` of length 1.
        weight: `(K,)`, what a region counts in its object: its mass times its probability of being foreground.
        is_foreground: `(K,)`; other regions stay alone.

    Returns:
        `(K,)` int64, positions in `listed`; a region that is joined to none has its own.
    """
    owner = np.arange(len(listed))
    if view.join_above is None or is_foreground.sum() < 2:
        return owner
    touching = _touching(tokens, listed) & is_foreground[:, None] & is_foreground[None, :]
    sums = np.asarray(weight, np.float64)[:, None] * (embeddings[:, view.first : view.last] - view.centre)
    while True:
        compared = unit(sums)
        cosine = np.where(touching, compared @ compared.T, -np.inf)
        one, two = sorted(int(i) for i in np.unravel_index(cosine.argmax(), cosine.shape))
        if not cosine[one, two] > view.join_above:
            return owner
        owner[owner == two] = one
        sums[one] += sums[two]
        touching[one] |= touching[two]
        touching[:, one] |= touching[:, two]
        touching[two], touching[:, two], touching[one, one] = False, False, False


def _touching(tokens: npt.NDArray[np.integer[Any]], listed: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
    """Return which of the listed regions have 4-adjacent patches, `(K, K)`, false on the diagonal."""
    place = np.full(int(max(tokens.max(), listed.max())) + 1, -1)
    place[listed] = np.arange(len(listed))
    grid = place[tokens]
    found = np.zeros((len(listed), len(listed)), np.bool_)
    for one, two in ((grid[:, 1:], grid[:, :-1]), (grid[1:], grid[:-1])):
        both = (one >= 0) & (two >= 0) & (one != two)
        found[one[both], two[both]] = True
    return found | found.T


def pooled(view: View, embeddings: Floats, weight: Floats, owner: npt.NDArray[np.int64]) -> Floats:
    """Return the embedding each region is clustered by: its object's, the weighted mean of the object's regions.

    Args:
        view: how embeddings are compared.
        embeddings: `(n, D)` of length 1.
        weight: `(n,)`.
        owner: `(n,)`, the first region of each region's object.

    Returns:
        `(n, last - first)` of length 1; equal for the regions of one object.
    """
    sums = np.zeros((len(owner), view.last - view.first), np.float64)
    # A floor keeps the direction of a region whose weight rounds to nothing.
    counted = np.maximum(np.asarray(weight, np.float64), 1e-9)
    np.add.at(sums, owner, counted[:, None] * (embeddings[:, view.first : view.last] - view.centre))
    totals = np.bincount(owner, weights=counted, minlength=len(owner))
    return unit((sums / np.maximum(totals, 1e-9)[:, None])[owner])
