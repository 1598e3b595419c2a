"""Dense hand-made descriptors of colour, gradient and texture: an encoder without weights, and without semantics.

A patch is described in two ways. Local values say what it looks like (colour, gradient, texture, with context).
Contrast values say how it stands in its photo: how unlike the photo's border it is, how far it lies from the border
along similar patches, how its like are spread. Local values alone do not separate objects from grounds, so contrast
has the larger part (figures of what was tried: docs/explanation/recipe.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from skimage.color import rgb2lab
from skimage.feature import local_binary_pattern

from heap.encoders.base import AttentionKind, Computed, Encoded, Encoder, Floats, Photos
from heap.grid import grid_of
from heap.receipts import Weights
from heap.settings.models import DescriptorEncoder

# The first values of a feature are local; the others, contrast, find objects and are alike for all kinds of them.
_LOCAL = 35
# Orientations of the histograms: 22.5 degrees apart, as in HOG (which has 9 of 20).
_ORIENTATIONS = 8
# Scales of the gradients and of the band-pass energies, pixels: the finest edges, and up to a patch.
_GRADIENT_PX = (1.0, 2.5)
_BAND_PX = (1.0, 2.0, 4.0, 8.0)
# Reference patches at most, on a regular lattice: all pairs of a large photo would not fit into memory.
_REFERENCES = 600
# Share of the border patches that a patch is compared with: its nearest, so that a border of several stuffs has none
# that is unlike "the" border. The larger share is steadier where an object touches the border.
_NEAREST = (0.08, 0.3)
# Standard deviation of the centre prior, shares of height and width: down to 0.36 in the middle of an edge.
_CENTRE = 0.35
# Sharpness of the attention: its area above the mean must be about an object's (docs/explanation/recipe.md).
_SHARPNESS = 0.35


@dataclass(frozen=True)
class _Grids:
    """Local values of one photo, each `(grid_h, grid_w, values)`."""

    lab: Floats
    deviation: Floats
    fine: Floats
    coarse: Floats
    binary: Floats
    energy: Floats


class Descriptors(Encoder):
    """The hand-made encoder, of patches of `settings.patch_px`.

    Its attention stands for the CLS attention that it lacks: centre prior times border contrast. Photographers put
    objects inside and let grounds run over the rim; each of the four border terms (colour unlike the nearest border
    patches, unlike every side, far from the border along similar patches, little of its kind on the border) fails on
    other photos than the rest, so their mean of standard scores is taken, and its exponential times a Gaussian of the
    place. One head; values are positive. It runs without labels and nothing is fitted, but its design was: which terms,
    and how sharp, was chosen by masks of 80 training scenes and of the first 60 photos of ECSSD. Features and attention
    are not independent either (the contrast values contain the attention), as a ViT's keys and attention are.
    """

    label = "descriptors (hand-made, no training)"
    attention_kind: AttentionKind = "centre_border_prior"
    appearance = (0, _LOCAL)
    heads, dim = 1, 96
    weights = Weights(source="none", sha256=None)

    def __init__(self, settings: DescriptorEncoder) -> None:
        self.patch_px = settings.patch_px

    def start(self, photos: Photos) -> Computed:
        """Describe uint8 RGB photos of one grid; each is described alone, so batches do not matter.

        Right and bottom are padded to whole patches by repeating the edge.
        """
        features, attention = (np.stack(values) for values in zip(*map(self._describe, photos), strict=True))
        return Computed(Encoded(features, attention[..., None], features.mean(axis=1)))

    def _describe(self, photo: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Return features `(N, D)` and attention `(N,)` of a photo `(H, W, 3)`."""
        grid_h, grid_w = grid_of(len(photo), photo.shape[1], self.patch_px)
        padding = ((0, grid_h * self.patch_px - len(photo)), (0, grid_w * self.patch_px - photo.shape[1]), (0, 0))
        local = _local(np.pad(photo, padding, mode="edge"), self.patch_px)
        contrast, attention = _contrast(local)
        features = np.concatenate([_appearance(local), contrast], axis=-1).reshape(grid_h * grid_w, self.dim)
        return features.astype(np.float32), attention.reshape(-1).astype(np.float32)


def _local(photo: npt.NDArray[np.uint8], patch_px: int) -> _Grids:
    """Measure colour, gradient and texture of a photo of whole patches."""
    lab = rgb2lab(photo).astype(np.float32)
    light = lab[..., 0]

    def pool(values: Floats) -> Floats:  # (H, W, C) -> (grid_h, grid_w, C)
        height, width, channels = values.shape
        blocks = values.reshape(height // patch_px, patch_px, width // patch_px, patch_px, channels)
        return np.asarray(blocks.mean(axis=(1, 3)), np.float32)

    mean = pool(lab)
    # Noise of the sensor and of 8 bits must not decide the pattern, so it is taken of a slightly smoothed photo.
    smoothed = np.rint(gaussian_filter(light, 0.7) * 2.55).astype(np.uint8)
    codes = local_binary_pattern(smoothed, 8, 1.5, "uniform").astype(np.int64)
    smooth = [light, *(gaussian_filter(light, sigma) for sigma in _BAND_PX)]
    bands = [np.abs(finer - coarser) for finer, coarser in pairwise(smooth)]
    return _Grids(
        lab=mean,
        deviation=np.sqrt(np.clip(pool(lab**2) - mean**2, 0, None)),
        fine=pool(_oriented(light, _GRADIENT_PX[0])),
        coarse=pool(_oriented(light, _GRADIENT_PX[1])),
        binary=pool(np.eye(10, dtype=np.float32)[codes]),
        # Weber's law: a difference counts by its ratio. 0.5 (of 100) is the noise floor.
        energy=np.log(pool(np.stack(bands, axis=-1)) + 0.5),
    )


def _oriented(light: Floats, sigma_px: float) -> Floats:
    """Return the gradient's strength dealt to the two nearest of the orientations, `(H, W, 8)`."""
    rows = gaussian_filter(light, sigma_px, order=(1, 0))
    columns = gaussian_filter(light, sigma_px, order=(0, 1))
    # Times sigma, so that strengths at different scales compare.
    strength = np.hypot(rows, columns) * np.float32(sigma_px)
    place = (np.arctan2(rows, columns) % np.pi) * np.float32(_ORIENTATIONS / np.pi)
    distance = np.abs(place[..., None] - np.arange(_ORIENTATIONS, dtype=np.float32))
    distance = np.minimum(distance, _ORIENTATIONS - distance)
    return np.asarray(strength[..., None] * np.clip(1 - distance, 0, None), np.float32)


def _around(grid: Floats, side: int) -> Floats:
    """Return means over `side` x `side` patches; the edge is repeated."""
    # Double precision: the filter's running sums would else leave small negative means of what is not negative.
    means = uniform_filter(grid.astype(np.float64), size=(side, side, 1), mode="nearest")
    return np.clip(means, grid.min(), grid.max()).astype(np.float32)


def _standard(grid: Floats) -> Floats:
    """Return standard scores over a photo, at most 3: what counts is how a patch differs from its photo's others."""
    centred = grid - grid.mean(axis=(0, 1))
    # 0.001 keeps a constant photo's rounding errors from becoming scores.
    return np.clip(centred / (grid.std(axis=(0, 1)) + 1e-3), -3, 3).astype(np.float32)


def _group(weight: float, scale: float, *grids: Floats) -> Floats:
    """Join grids to a group: `scale` is its values' usual deviation, `weight` its share of a feature's squared norm."""
    joined = np.concatenate(grids, axis=-1)
    return np.asarray(joined * np.sqrt(weight / joined.shape[-1]) / scale, np.float32)


def _appearance(local: _Grids) -> Floats:
    """Return the local values `(grid_h, grid_w, 35)`; scales are deviations on photos (ECSSD and scenes), rounded."""
    groups = [
        _group(0.4, 17.0, local.lab, _around(local.lab, 5)),
        _group(0.1, 0.6, np.sqrt(_around(local.deviation, 5))),
        _group(0.1, 0.3, np.sqrt(_around(local.coarse, 3))),
        _group(0.1, 0.06, np.sqrt(_around(local.binary, 5))),
        _group(0.1, 0.6, local.energy, _around(local.energy, 5)),
    ]
    return np.concatenate(groups, axis=-1)


def _contrast(local: _Grids) -> tuple[Floats, Floats]:
    """Return the contrast values `(grid_h, grid_w, 61)` and the attention `(grid_h, grid_w)`."""
    grid_h, grid_w = local.lab.shape[:2]
    # Units of just clearly different: lightness varies more than the colour axes do. Texture is scaled so that its
    # distances are somewhat smaller than colour's, which says more.
    colour = np.concatenate([local.lab, _around(local.lab, 3)], axis=-1) / np.tile([25, 12, 12], 2)
    textures = [
        0.6 * np.sqrt(_around(local.fine, 3)),
        0.4 * np.sqrt(_around(local.coarse, 3)),
        2.5 * np.sqrt(_around(local.binary, 5)),
        0.6 * _around(local.energy, 3),
    ]
    texture = np.concatenate(textures, axis=-1)
    both = np.concatenate([colour, texture], axis=-1)
    nearest = _standard(
        np.sqrt(np.stack([_unlike_border(colour, s) for s in _NEAREST] + [_unlike_border(texture, _NEAREST[0])], -1))
    )
    paths = _standard(np.sqrt(np.stack([_far_from_border(both), _far_from_border(colour)], axis=-1)))
    # 0.1 to 0.3 of the mean squared distance: from "the same stuff" to "a similar stuff".
    kin = _standard(_kinship(colour, 0.1))
    others = [_around(_standard(_kinship(v, s)), 3) for v, s in ((colour, 0.3), (texture, 0.2), (both, 0.2))]
    nearest_3, paths_3, kin_3 = (_around(grid, 3) for grid in (nearest, paths, kin))
    stands_out = nearest_3[..., 0] + paths_3[..., 0] - kin_3[..., 1] - kin_3[..., 5]

    rows = ((np.arange(grid_h) + 0.5) / grid_h - 0.5)[:, None]
    columns = ((np.arange(grid_w) + 0.5) / grid_w - 0.5)[None, :]
    log_attention = _SHARPNESS * stands_out - (rows**2 + columns**2) / (2 * _CENTRE**2)
    scores = _standard(np.stack([stands_out, log_attention], axis=-1))
    # Two soft steps next to the score: a plane through them can bend where the score cannot.
    summary = np.concatenate([scores, *(np.tanh(2 * (scores - at)) for at in (0.5, 1.2))], axis=-1)
    place = np.stack(np.broadcast_arrays(np.maximum(np.abs(rows), np.abs(columns)), rows**2 + columns**2), axis=-1)
    surround = np.abs(_around(local.lab, 3) - _around(local.lab, 15))
    own = [surround, _around(local.lab, 3), local.energy.mean(axis=-1, keepdims=True)]
    groups = [
        _group(1.5, 0.95, nearest, nearest_3),
        _group(1.0, 0.95, paths, paths_3),
        _group(2.0, 0.9, kin, kin_3),
        _group(3.0, 0.85, *others),
        _group(1.0, 0.9, *map(_standard, own)),
        _group(0.5, 0.15, place),
        _group(6.0, 0.85, summary, _around(summary, 5)),
    ]
    return np.concatenate(groups, axis=-1), np.exp(log_attention)


def _border(grid_h: int, grid_w: int) -> npt.NDArray[np.intp]:
    """Return the row-major indices of the outermost patches."""
    inside = np.zeros((grid_h, grid_w), bool)
    inside[1:-1, 1:-1] = True
    return np.flatnonzero(~inside)


def _centred(grid: Floats) -> Floats:
    """Return values `(N, C)` around the photo's mean, so that equal patches' distances do not drown in rounding."""
    return (grid - grid.mean(axis=(0, 1))).reshape(-1, grid.shape[-1]).astype(np.float32)


def _squared_distances(values: Floats, references: npt.NDArray[np.intp]) -> Floats:
    """Return squared distances `(N, R)` of all patches `(N, C)` to the references among them."""
    chosen = values[references]
    squares = (values**2).sum(axis=1)[:, None] + (chosen**2).sum(axis=1) - 2 * values @ chosen.T
    return np.asarray(np.clip(squares, 0, None), np.float32)


def _unlike_border(grid: Floats, share: float) -> Floats:
    """Return the mean distance to the nearest `share` of the border patches, `(grid_h, grid_w)`."""
    border = _border(*grid.shape[:2])
    count = min(max(round(share * len(border)), 2), len(border))
    distances = np.sqrt(_squared_distances(_centred(grid), border))
    nearest = np.partition(distances, count - 1, axis=1)[:, :count]
    return np.asarray(nearest.mean(axis=1).reshape(grid.shape[:2]), np.float32)


def _far_from_border(grid: Floats) -> Floats:
    """Return the shortest way to the border over neighbouring patches, `(grid_h, grid_w)`.

    A step costs what the patches differ beyond the photo's median step: changes within a stuff cost nothing, so a
    ground costs little however large it is, and an object costs its outline (geodesic saliency, Wei et al. 2012).
    """
    grid_h, grid_w = grid.shape[:2]
    count = grid_h * grid_w
    index = np.arange(count).reshape(grid_h, grid_w)
    # Each patch's left, upper, and the two upper diagonal neighbours.
    one = np.concatenate([part.ravel() for part in (index[:, 1:], index[1:], index[1:, 1:], index[1:, :-1])])
    two = np.concatenate([part.ravel() for part in (index[:, :-1], index[:-1], index[:-1, :-1], index[:-1, 1:])])
    if len(one) == 0:  # a single patch
        return np.zeros((grid_h, grid_w), np.float32)
    values = grid.reshape(count, -1)
    steps = np.sqrt(((values[one] - values[two]) ** 2).sum(axis=1))
    # Never 0: a sparse graph takes that for no way at all.
    costs = np.maximum(steps - np.median(steps), 1e-3)
    graph = csr_matrix((costs, (one, two)), shape=(count, count))
    ways = dijkstra(graph, directed=False, indices=_border(grid_h, grid_w), min_only=True)
    return np.asarray(ways.reshape(grid_h, grid_w), np.float32)


def _kinship(grid: Floats, share: float) -> Floats:
    """Return where each patch's like are, `(grid_h, grid_w, 6)`.

    Two patches are alike by exp(-squared distance / (`share` of the photo's mean squared distance)). The values: log of
    alike on the border over alike anywhere; the same, averaged over alike patches nearby; spread of the alike; their
    mean distance from the centre; log of their share; log of the most on any one side of the border. Objects are
    compact and have little on the border (after Perazzi et al. 2012, Zhu et al. 2014).
    """
    grid_h, grid_w = grid.shape[:2]
    count = grid_h * grid_w
    values = _centred(grid)
    rows, columns = np.divmod(np.arange(count), grid_w)
    place = np.stack([(rows + 0.5) / grid_h - 0.5, (columns + 0.5) / grid_w - 0.5], axis=1).astype(np.float32)
    step = int(np.ceil(np.sqrt(count / _REFERENCES)))
    lattice = np.arange(count).reshape(grid_h, grid_w)
    # Short sides keep at least their first patch.
    references = lattice[min(step // 2, grid_h - 1) :: step, min(step // 2, grid_w - 1) :: step].ravel()
    border = _border(grid_h, grid_w)

    squared = _squared_distances(values, references)
    width = share * float(squared.mean()) + 1e-6
    alike = np.exp(-squared / width)  # (N, R)
    on_border = np.exp(-_squared_distances(values, border) / width)
    area = alike.mean(axis=1) + 1e-3
    log_border = np.log((on_border.mean(axis=1) + 1e-3) / area)
    # The patch itself may be no reference, and none may be like it: 1e-6 leaves such a patch at 0 instead of nowhere.
    weights = alike / (alike.sum(axis=1, keepdims=True) + 1e-6)
    middle = weights @ place[references]
    spread = np.sqrt(np.clip(weights @ (place[references] ** 2).sum(axis=1) - (middle**2).sum(axis=1), 0, None))
    off_centre = weights @ np.abs(place[references]).max(axis=1)
    # 0.15 of a side: a neighbourhood about as large as a small object.
    near = alike * np.exp(-_squared_distances(place, references) / (2 * 0.15**2))
    shared = near @ log_border[references] / (near.sum(axis=1) + 1e-6)
    sides = (rows == 0, rows == grid_h - 1, columns == 0, columns == grid_w - 1)
    most = np.max([on_border[:, side[border]].mean(axis=1) for side in sides], axis=0)
    found = np.stack([log_border, shared, spread, off_centre, np.log(area), np.log(most + 1e-3)], axis=1)
    return np.asarray(found.reshape(grid_h, grid_w, 6), np.float32)
