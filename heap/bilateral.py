"""The bilateral solver: a coarse mask follows the edges of its photo (Barron and Poole, ECCV 2016).

Pixels that are near in place and in colour share a vertex of a five-dimensional grid. The solver looks for values of
the vertices that are smooth over the bistochastised grid and near the mask, by preconditioned conjugate gradients.
FOUND and TokenCut stop after 25 iterations, far from convergence: their result is defined by the iterations (the exact
solution flips up to 716 pixels of a golden photo), so start, preconditioner and count are part of the protocol. Sums
are numpy's, which unlike those of BLAS do not depend on the number of threads.

Of the solver's output, thresholded and with its holes filled, FOUND takes parts: see `Parts`. They are used only where
they resemble the mask that went in: see `refine`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse

from heap.components import Mask, fill_holes, largest_component
from heap.upsample import bilinear_matrix

Values = npt.NDArray[np.float64]

# The protocol of FOUND and TokenCut.
SIGMA_SPATIAL_PX = 16
SIGMA_LUMA = 16
SIGMA_CHROMA = 8
SMOOTHNESS = 256.0  # lambda
CONFIDENCE = 0.999  # of every pixel
DIAGONAL_MIN = 1e-5  # of the Jacobi preconditioner
TOLERANCE = 1e-5  # relative to the right-hand side; met only by masks of one value
ITERATIONS = 25
BISTOCHASTIC_STEPS = 10
FOREGROUND_ABOVE = 0.5
ACCEPT_ABOVE = 0.5  # IoU of the mask before and after, strictly

# Luma and chroma of JPEG (ITU-R BT.601, full range) as Barron and Poole wrote them, in millionths.
_YUV = ((299_000, 587_000, 114_000), (-168_736, -331_264, 500_000), (500_000, -418_688, -81_312))
_CHROMA_ZERO = 128
_UNIT = 1_000_000

# What is kept of the solver's output:
# - `all`: every component; `largest`: the largest (of equals the last in raster order). What is meant.
# - `all_peers`: every label but the one of most pixels, background among them; `largest_peers`: the label of the second
#   most pixels, everything where there is none. What FOUND's code does: the same, until the object is larger than the
#   background, and then the output is inverted (and in most cases refused).
Parts = Literal["all", "largest", "all_peers", "largest_peers"]


class Refined(NamedTuple):
    """A mask after the solver.

    Attributes:
        mask: `(H, W)` bool, the solver's output where accepted, else the mask that went in, with all its components.
        accepted: the output had an IoU above 0.5 with the mask that went in.
    """

    mask: Mask
    accepted: bool


@dataclass(frozen=True)
class BilateralGrid:
    """The bilateral grid of one photo: made once, it serves every mask of the photo.

    Attributes:
        cells: `(H, W)` int32, vertex of each pixel.
        pixels: `(V,)` float64, pixels of each vertex.
        blur: `(V, V)` CSC, Barron and Poole's B: 1 between neighbours along each of the five axes, 10 on the diagonal.
    """

    cells: npt.NDArray[np.int32]
    pixels: Values
    blur: Any

    @classmethod
    def of(cls, photo: npt.NDArray[np.uint8]) -> BilateralGrid:
        """Return the grid of a photo, `(H, W, 3)` uint8 RGB.

        Raises:
            ValueError: not such an array, or without pixels.
        """
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8 or not photo.size:
            raise ValueError(f"a photo of {photo.shape} {photo.dtype}, expected (H, W, 3) uint8 with H, W > 0")
        cells, blur = _vertices(photo)
        return cls(cells, np.bincount(cells.ravel()).astype(np.float64), blur)

    @cached_property
    def system(self) -> Any:
        """The paper's matrix A, `(V, V)` CSC: lambda (D_m - D_n B D_n), plus the confidence on the diagonal."""
        scale = np.ones_like(self.pixels)
        for _ in range(BISTOCHASTIC_STEPS):
            scale = np.sqrt(scale * self.pixels / (self.blur @ scale))
        # m is set to what n makes of it, so that the smoothness of a constant is 0 however far the iteration came.
        mass = scale * (self.blur @ scale)
        rows = self.blur.indices
        columns = np.repeat(np.arange(len(mass), dtype=np.int32), np.diff(self.blur.indptr))
        values = scale[rows] * scale[columns]
        values *= self.blur.data
        values *= -SMOOTHNESS
        values[rows == columns] += SMOOTHNESS * mass + CONFIDENCE * self.pixels
        return sparse.csc_matrix((values, rows, self.blur.indptr), shape=self.blur.shape)

    def solve(self, target: npt.NDArray[Any]) -> Values:
        """Return the solver's soft output, `(H, W)` float64, of a mask `(H, W)`: bool, or values in [0, 1].

        Raises:
            ValueError: the mask is of another size.
        """
        return self._at_vertices(target)[self.cells]

    def binary(self, target: npt.NDArray[Any]) -> Mask:
        """Return the solver's output above 0.5 with its holes filled, `(H, W)` bool."""
        return fill_holes((self._at_vertices(target) > FOREGROUND_ABOVE)[self.cells])

    def _at_vertices(self, target: npt.NDArray[Any]) -> Values:
        if target.shape != self.cells.shape:
            raise ValueError(f"a mask of {target.shape} for a photo of {self.cells.shape}")
        sums = np.bincount(self.cells.ravel(), weights=target.ravel(), minlength=len(self.pixels))
        total = sums.astype(np.float64)
        return _conjugate_gradients(self.system, CONFIDENCE * total, start=total / self.pixels)


def refine(grid: BilateralGrid, target: npt.NDArray[Any], parts: Sequence[Parts]) -> dict[Parts, Refined]:
    """Return a mask after the solver, in each of the readings asked for.

    Args:
        grid: of the photo.
        target: `(H, W)`, bool, or values in [0, 1] of which those above 0.5 are the mask.
        parts: what to keep of the output.

    Returns:
        By reading. An output that is not accepted gives the whole mask back, also where the largest component was asked
        for (FOUND). Of two empty masks the IoU is none, so they are not accepted.

    Raises:
        ValueError: the mask is of another size than the photo.
    """
    before: Mask = target if target.dtype == bool else target > FOREGROUND_ABOVE
    binary = grid.binary(target)
    refined: dict[Parts, Refined] = {}
    for part in parts:
        after = keep(binary, part)
        shared = int(np.count_nonzero(before & after))
        union = int(np.count_nonzero(before)) + int(np.count_nonzero(after)) - shared
        accepted = shared > ACCEPT_ABOVE * union
        refined[part] = Refined(after if accepted else before, accepted)
    return refined


def training_target(grid: BilateralGrid, mask: Mask, patch_px: int, part: Parts = "all_peers") -> Refined:
    """Return a patch mask after the solver, at patch resolution again: the targets of FOUND's losses.

    Bilinear to pixels (the soft map enters the solver), solver, and back: a patch is foreground if any of the pixels
    around its middle is, which is bilinear downsampling of which every positive value counts.

    Args:
        grid: of the photo as the encoder saw it.
        mask: `(grid_h, grid_w)` bool, of the photo padded at right and bottom to whole patches.
        patch_px: side of a patch.
        part: what to keep of the output; FOUND trains on all components, as its own code reads them.

    Returns:
        The mask `(grid_h, grid_w)`, and whether it is the solver's; a refused one is the mask that went in. Patches
        whose middle lies beyond the photo read its last row or column (our choice; FOUND trains on 224 x 224 only).

    Raises:
        ValueError: the mask does not fit the photo.
    """
    height, width = grid.cells.shape
    if mask.shape != (-(-height // patch_px), -(-width // patch_px)):
        raise ValueError(f"a mask of {mask.shape} patches of {patch_px} px for a photo of {(height, width)} px")
    rows = bilinear_matrix(mask.shape[0], patch_px, height)
    columns = bilinear_matrix(mask.shape[1], patch_px, width)
    pixels, accepted = refine(grid, rows @ mask @ columns.T, [part])[part]
    if not accepted:
        return Refined(mask, accepted=False)
    # One middle row of pixels where the patch's side is odd, two where it is even; columns alike.
    above, below, left, right = (
        np.minimum(np.arange(patches) * patch_px + middle, side - 1)
        for patches, side in zip(mask.shape, (height, width), strict=True)
        for middle in ((patch_px - 1) // 2, patch_px // 2)
    )
    by_rows = pixels[above] | pixels[below]
    return Refined(by_rows[:, left] | by_rows[:, right], accepted=True)


def keep(binary: Mask, part: Parts) -> Mask:
    """Return the part of a binary output `(H, W)` that a reading keeps; components are 4-connected."""
    if part == "all":
        return binary
    if part == "largest":
        return largest_component(binary, ties_to_last=True)
    labels, count = ndimage.label(binary)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    # Of labels of equal size the higher comes last, as in the ascending sort of the peers' code.
    order = np.argsort(sizes, kind="stable")
    if part == "all_peers":
        return labels != order[-1]
    return labels == order[-2] if count else np.ones_like(binary)


def colour_cells(photo: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.int32]]:
    """Return the cells of luma, U and V of each pixel of a photo `(H, W, 3)`, `(H, W)` int32 each.

    In integers, for speed and because a float's last bit would decide where a colour on the border of two cells falls:
    all chroma of greys is. The peers' float64 gives the same but for some lumas, see `_rounds_down`.
    """
    channels = np.moveaxis(photo, 2, 0).astype(np.int32, order="C")
    sums = [sum(weight * channel for weight, channel in zip(row, channels, strict=True)) for row in _YUV]
    border = SIGMA_LUMA * _UNIT
    luma = sums[0] // border
    on_border = np.flatnonzero(sums[0] == luma * border)  # about one pixel in 1,000, of grey photos one in 16
    colours, which = np.unique(photo.reshape(-1, 3)[on_border] @ np.array([1 << 16, 1 << 8, 1]), return_inverse=True)
    down = [_rounds_down(colour >> 16, colour >> 8 & 255, colour & 255) for colour in colours.tolist()]
    luma.flat[on_border] -= np.array(down, dtype=np.int32)[which]
    return [luma, *((values + _CHROMA_ZERO * _UNIT) // (SIGMA_CHROMA * _UNIT) for values in sums[1:])]


@lru_cache(maxsize=2048)  # there are 1,052 such colours
def _rounds_down(red: int, green: int, blue: int) -> bool:
    """Say whether a luma that is exactly on the border of two cells comes out below it in the peers' arithmetic.

    Theirs is a float64 matrix product, by OpenBLAS a chain of fused multiply-adds, of which each rounds once (checked
    against numpy's product on x86). 279 of the 1,052 such colours fall below, some greys among them. (Of the 8,192
    chromas on a border none does.)
    """
    value = 0.0
    for weight, channel in zip(_YUV[0], (red, green, blue), strict=True):
        value = float(Fraction(weight / _UNIT) * channel + Fraction(value))
    return value < sum(weight * channel for weight, channel in zip(_YUV[0], (red, green, blue), strict=True)) // _UNIT


def _vertices(photo: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.int32], Any]:
    """Return the vertex of each pixel, `(H, W)`, and Barron and Poole's B over the vertices, `(V, V)` CSC.

    Vertices are numbered by their place in a table of all cells, which has an empty margin, so that a step along an
    axis never leads round a corner.
    """
    height, width = photo.shape[:2]
    axes: list[npt.NDArray[Any]]
    axes = [np.arange(height)[:, None] // SIGMA_SPATIAL_PX, np.arange(width) // SIGMA_SPATIAL_PX, *colour_cells(photo)]
    lows = [int(axis.min()) for axis in axes]
    sides = [int(axis.max()) - low + 3 for axis, low in zip(axes, lows, strict=True)]
    strides = [math.prod(sides[number + 1 :]) for number in range(len(sides))]
    kind = np.int32 if math.prod(sides) < 2**31 else np.int64
    place = np.zeros((height, width), dtype=kind)
    for axis, low, stride in zip(axes, lows, strides, strict=True):
        place += axis.astype(kind, copy=False) * stride + (1 - low) * stride
    steps = np.sort([0, *strides, *(-stride for stride in strides)])
    # At most 18 x 35 x 35 cells of colour a place of 16 x 16 px; pages that no colour touches cost nothing.
    occupied = np.zeros(math.prod(sides), dtype=bool)
    occupied[place] = True
    places = np.flatnonzero(occupied)
    number = np.empty(occupied.shape, dtype=np.int32)
    number[places] = np.arange(len(places), dtype=np.int32)
    wanted = (places[:, None] + steps).ravel()  # (11 V,)
    there = np.flatnonzero(occupied.take(wanted))
    neighbours = number.take(wanted.take(there))
    values = np.where(steps == 0, 2.0 * len(axes), 1.0).take(there % len(steps))
    starts = np.searchsorted(there, np.arange(len(places) + 1) * len(steps)).astype(np.int32)
    # B is symmetric, so its rows are its columns: said to be columns, a product takes half the time.
    return number.take(place), sparse.csc_matrix((values, neighbours, starts), shape=(len(places), len(places)))


def _conjugate_gradients(system: Any, right: Values, start: Values) -> Values:
    """Return what preconditioned conjugate gradients make of `start` in 25 iterations.

    scipy's `cg` with `rtol=1e-5, atol=0, maxiter=25` and a Jacobi preconditioner gives the same, but sums by BLAS.
    """
    limit = TOLERANCE * np.sqrt((right * right).sum())
    if not limit:
        return np.zeros_like(right)
    inverse = 1 / np.maximum(system.diagonal(), DIAGONAL_MIN)
    solution = start.copy()
    residual = right - system @ solution
    direction, before = np.zeros_like(right), 1.0
    for _ in range(ITERATIONS):
        if np.sqrt((residual * residual).sum()) < limit:
            break
        conditioned = inverse * residual
        now = (residual * conditioned).sum()
        direction *= now / before
        direction += conditioned
        image = system @ direction
        step = now / (direction * image).sum()
        solution += step * direction
        residual -= step * image
        before = now
    return solution
