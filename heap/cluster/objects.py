"""From regions to objects: which regions of a photo are one thing, and the one embedding that thing is clustered by.

The head's tokens cut an object into fragments (a wing, a shadowed side), which k-means would sort by what part of a
thing they are. Two steps, both without labels and the same for every encoder, turn them into things:

- Embeddings are compared around the mean of their kind (foreground, background), by the values that say what a patch
  looks like: an encoder may declare the rest as something else (`heap.encoders.base`: hand-made descriptors mostly
  say how a patch stands out in its photo, which is the same for every kind of object). Where it does, its values were
  scaled by hand and are whitened too. Of a pre-trained encoder all values count, as they are.
- Foreground regions of a photo that touch are joined, the most alike first, as long as their cosine is above a
  threshold (region merging on the adjacency graph; the joined region's embedding is the weighted mean of its parts).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

# `auto`: regions of two photos are, but for rare luck, of two things. Touching regions of one photo are joined where
# they are more alike than this share of such pairs.
UNLIKE_SHARE = 0.5
# Whitening is shrunk: the covariance counts this share, a sphere of the same trace the rest. Chosen on the 160 training
# scenes (k 7/10/14/20): NMI with the true kinds .62/.59/.59/.56 at .5, .50/.60/.56/.52 at .8, .61/.57/.54/.56 without.
WHITENED = 0.5
# Regions whose pairs are looked at for it: 4 million cosines are 16 MB.
SAMPLED = 2000
# Objects whose regions are averaged at a time: 8,192 regions of 384 values are 25 MB of float64.
POOLED = 8192


@dataclass(frozen=True)
class View:
    """How embeddings of regions of a kind are compared.

    Attributes:
        first: first value that counts ...
        last: ... and one past the last.
        centre: `(last - first,)` float32, what is subtracted.
        turn: `(last - first, last - first)` float32, what the rest is multiplied by; None: nothing.
        join_above: cosine above which touching foreground regions are joined; None joins none.
    """

    first: int
    last: int
    centre: Floats
    turn: Floats | None
    join_above: float | None

    def raw(self, embeddings: Floats) -> Floats:
        """Return embeddings `(n, D)` as they are averaged, `(n, last - first)`, of any length."""
        centred: Floats = embeddings[:, self.first : self.last] - self.centre
        return centred if self.turn is None else np.asarray(centred @ self.turn, np.float32)

    def of(self, embeddings: Floats) -> Floats:
        """Return embeddings `(n, D)` as they are compared, `(n, last - first)` of length 1."""
        return unit(self.raw(embeddings))

    def as_json(self) -> dict[str, Any]:
        """Return the view as it stands in the description of clusters."""
        turn = None if self.turn is None else self.turn.tolist()
        return {**vars(self), "centre": self.centre.tolist(), "turn": turn}

    @classmethod
    def from_json(cls, described: dict[str, Any]) -> View:
        """Return the view that `as_json` described."""
        turn = described["turn"]
        return cls(
            described["first"], described["last"], np.asarray(described["centre"], np.float32),
            None if turn is None else np.asarray(turn, np.float32), described["join_above"],
        )  # fmt: skip


def unit(vectors: npt.NDArray[np.floating[Any]]) -> Floats:
    """Return vectors `(n, D)` at length 1; a zero vector (nothing but the mean) becomes the first axis."""
    vectors = np.array(vectors, dtype=np.float32)
    lengths = np.linalg.norm(vectors, axis=1)
    vectors[lengths < 1e-6] = np.eye(1, vectors.shape[1], dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def view_of(
    embeddings: Floats,
    appearance: tuple[int, int] | None,
    join: bool,
    join_above: float | str,
    photos: npt.NDArray[np.int64],
    seed: int,
) -> View:
    """Return how a dataset's regions of one kind are compared.

    Args:
        embeddings: `(n, D)` of length 1.
        appearance: first value and one past the last that say how a patch appears; None: all do.
        join: whether touching regions are joined.
        join_above: cosine, or `auto`.
        photos: `(n,)`, the photo of each region.
        seed: of the sample behind `auto`.
    """
    first, last = appearance or (0, embeddings.shape[1])
    counted = embeddings[:, first:last]
    centre = counted.mean(axis=0, dtype=np.float64) if len(counted) else np.zeros(last - first)
    turn = None if appearance is None or len(counted) < 2 else _whitening(np.asarray(counted, np.float64) - centre)
    plain = View(first, last, centre.astype(np.float32), turn, None)
    if not join:
        return plain
    if join_above == "auto":
        rows = np.arange(len(embeddings))
        if len(rows) > SAMPLED:
            rows = np.sort(np.random.default_rng(seed).choice(rows, SAMPLED, replace=False))
        compared = plain.of(embeddings[rows])
        apart = photos[rows][:, None] != photos[rows][None, :]
        cosines = (compared @ compared.T)[apart]
        # A dataset of one photo says nothing about things that differ: nothing is above 1.
        join_above = float(np.quantile(cosines, UNLIKE_SHARE)) if len(cosines) else 1.0
    return replace(plain, join_above=float(join_above))


def _whitening(centred: npt.NDArray[np.float64]) -> Floats:
    """Return the matrix `(d, d)` that makes the shrunk covariance of values `(n, d)` the unit matrix."""
    covariance = centred.T @ centred / len(centred)
    sphere = max(float(np.trace(covariance)) / len(covariance), 1e-12) * np.eye(len(covariance))
    lengths, axes = np.linalg.eigh(WHITENED * covariance + (1 - WHITENED) * sphere)
    # Turned back to the values' own axes, so that the matrix does not hang on the signs of the eigenvectors.
    return np.asarray(axes / np.sqrt(lengths) @ axes.T, np.float32)


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
    sums = np.asarray(weight, np.float64)[:, None] * view.raw(embeddings)
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


def pooled(
    view: View,
    embeddings: Floats,
    weight: Floats,
    owner: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the objects of a kind and the embedding each is clustered by: the weighted mean of its regions.

    Args:
        view: how embeddings of this kind are compared.
        embeddings: `(n, D)` of length 1.
        weight: `(n,)`.
        owner: `(n,)`, the row of the first region of each region's object.
        rows: `(m,)`, the rows of this kind, ascending; with a region they hold all of its object.

    Returns:
        The rows of the objects' first regions `(o,)`, ascending, and `(o, last - first)` float32 of length 1.
    """
    objects, number = np.unique(owner[rows], return_inverse=True)
    order = np.argsort(number, kind="stable")
    rows, number = rows[order], number[order]  # regions of one object stand together
    # A floor keeps the direction of a region whose weight rounds to nothing.
    counted = np.maximum(weight[rows].astype(np.float64), 1e-9)
    starts = np.searchsorted(number, np.arange(len(objects) + 1))
    found = np.empty((len(objects), view.last - view.first), np.float32)
    # Some objects at a time: the means of a million regions are made in float64, at twice the memory of all of them.
    for first in range(0, len(objects), POOLED):
        edges = starts[first : first + POOLED + 1]
        inside, begins = slice(edges[0], edges[-1]), edges[:-1] - edges[0]
        sums = np.add.reduceat(counted[inside, None] * view.raw(embeddings[rows[inside]]), begins)
        found[first : first + POOLED] = unit(sums / np.add.reduceat(counted[inside], begins)[:, None])
    return objects, found
