"""TokenCut: the normalised cut of a photo's patches (Wang et al., CVPR 2022; matched on golden data).

Patches are a graph whose edges weigh 1 where two features are alike and eps elsewhere; D holds its degrees. The second
smallest eigenvector of (D - W) y = lambda D y tells the two sides apart. TokenCut solves the whole dense problem. Here
Lanczos' method (ARPACK) finds just that pair: with z = D^1/2 y it is the second LARGEST of D^-1/2 W D^-1/2, an end of
the spectrum with a wide gap, which a few dozen products with W reach to machine precision.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import blas, eigh
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from heap.baselines.patches import Answer, Floats, Mask, Patches, component_of
from heap.settings.baselines import TokenCutSettings

Values = npt.NDArray[np.float64]

# Up to so many patches the dense solver is as quick, and Lanczos' method wants many more rows than vectors.
_DENSE_PATCHES = 64
# Restarts of 20 products each. Golden and real photos take 1 or 2; 100 are still cheaper than the dense solver.
_RESTARTS = 100
# Entries of the eigenvector this near to the largest are equal: patches with the same neighbours have exactly the same
# value, and rounding must not choose between them. Rounding is 1e-14 here; the peers' golden margins begin at 4e-5.
_TIE = 1e-9


class Cut(NamedTuple):
    """The two sides of a photo.

    Attributes:
        vector: `(N,)` float64, second generalised eigenvector y with y' D y = 1; the seed is above its mean.
        eigenvalue: its eigenvalue, 0 for a graph in two pieces, about 1 for one that has no two sides.
        seed: the patch of the largest absolute value, of equals the first.
        side: `(N,)` bool, the seed's side of the mean.
        dense: the iterations did not converge, so the dense solver was used.
    """

    vector: Values
    eigenvalue: float
    seed: int
    side: Mask
    dense: bool


def linked(features: Floats, tau: float) -> Mask:
    """Return which patches are alike, `(N, N)`: a cosine above tau, in float32 as the peer's."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12)
    return np.asarray(unit @ unit.T > tau)


def second_eigenvector(links: Mask, eps: float) -> tuple[Values, float, bool]:
    """Return the eigenvector (its sign is arbitrary), its eigenvalue, and whether the dense solver was needed.

    Args:
        links: symmetric `(N, N)`, N >= 2.
        eps: weight where there is no link.
    """
    weights: Values = np.where(links, 1.0, eps)
    patches = len(weights)
    degrees = weights.sum(axis=1)
    scale = 1 / np.sqrt(degrees)
    if patches <= _DENSE_PATCHES:
        return *_dense(weights, degrees), False
    turned = weights.T  # symmetric; BLAS wants columns, and reads only one half of it

    def product(vector: Values) -> Values:
        return scale * blas.dsymv(1.0, turned, scale * vector.ravel())

    # A start that does not change from run to run, and that no symmetry of the photo makes blind to the answer.
    start = np.random.default_rng(0).normal(size=patches)
    operator = LinearOperator((patches, patches), matvec=product, dtype=np.float64)
    try:
        values, vectors = eigsh(operator, k=2, which="LA", v0=start, tol=0, maxiter=_RESTARTS)
    except ArpackError:  # no convergence is one of them
        return *_dense(weights, degrees), True
    # Ascending: the last is the trivial one, of eigenvalue 1.
    return scale * vectors[:, 0], float(1 - values[0]), False


def _dense(weights: Values, degrees: Values) -> tuple[Values, float]:
    diagonal = np.diag(degrees)
    values, vectors = eigh(diagonal - weights, diagonal, subset_by_index=[1, 1])
    return vectors[:, 0], float(values[0])


def cut(links: Mask, eps: float) -> Cut:
    """Return the two sides of a graph `(N, N)`, N >= 2."""
    vector, eigenvalue, dense = second_eigenvector(links, eps)
    size = np.abs(vector)
    seed = int(np.flatnonzero(size >= size.max() * (1 - _TIE))[0])
    side = vector > vector.mean()
    # The peer's rule, in its order: above the mean first, then turned if the seed is not there.
    if not side[seed]:
        vector, side = -vector, ~side
    return Cut(vector, eigenvalue, seed, side, dense)


def tokencut(photo: Patches, settings: TokenCutSettings) -> Answer:
    """Return the component of the seed's side that holds the seed, alone: mask and box are that component's.

    Where all pairs of patches are linked, or none, every cut is as good as any other. The peer's code takes what the
    solver happens to return; here the whole photo is the object (note `no_cut`). Note `dense_solver`: see `Cut.dense`.
    """
    links = linked(photo.centred if settings.centre else photo.features, settings.tau)
    pairs = np.count_nonzero(links) - np.count_nonzero(links.diagonal())
    if pairs in (0, len(links) * (len(links) - 1)):
        return Answer(np.ones(len(links), np.float32), "no_cut")
    found = cut(links, settings.eps)
    mask = component_of(found.seed, found.side, photo).astype(np.float32)
    return Answer(mask, "dense_solver" if found.dense else None)
