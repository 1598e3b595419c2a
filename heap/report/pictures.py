"""Pictures of what was found: masks over photos, regions in colours, saliency, boxes. Arrays in, arrays out."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from PIL import Image, ImageDraw
from skimage.color import lab2rgb, rgb2lab

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Colour = tuple[int, int, int]

# Okabe and Ito's vermillion and blue: distinct with every common colour blindness, seen on light and dark photos.
FOUND: Colour = (213, 94, 0)
TRUE: Colour = (0, 158, 235)
# Lightness alone orders it, so it reads in grey and with any colour blindness (Nunez et al. 2018).
SALIENCY = "cividis"
# Quality at which 256-pixel thumbnails show no blocks; 60 photos of five pictures stay near 3 MB.
WEBP_QUALITY = 72

# How much of the photo shines through the colours of its regions: enough to see which object a region is.
SHINES_THROUGH = 0.35


def palette(count: int) -> Pixels:
    """Return `count` colours `(count, 3)` that stay as far apart as they can, the first ones farthest.

    Hues advance by the golden angle, which never comes back near an earlier one, and lightness cycles through three
    levels, so that neighbours in the list differ for eyes that do not tell the hues apart. The same number always has
    the same colour, however many are asked for.
    """
    number = np.arange(count)
    hue = np.radians(30 + 137.508 * number)
    lightness = np.array([62.0, 78.0, 46.0])[number % 3]
    chroma = 48.0
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
    rgb = np.clip(lab2rgb(lab[None])[0], 0, 1) if count else np.zeros((0, 3))
    return np.rint(255 * rgb).astype(np.uint8)


def overlay(photo: Pixels, mask: Mask, colour: Colour = FOUND, tint: float = 0.25, outside: float = 0.5) -> Pixels:
    """Return the photo with a mask tinted and outlined and everything outside it darkened; see `overlays`."""
    return overlays(photo, [(mask, colour)], tint, outside)


def overlays(photo: Pixels, masks: Sequence[tuple[Mask, Colour]], tint: float = 0.25, outside: float = 0.5) -> Pixels:
    """Return the photo with masks tinted and outlined, each in its colour, and everything outside them darkened.

    The darkness is what shows a mask where the photo itself has the tint's colour.

    Args:
        photo: `(H, W, 3)`.
        masks: `(H, W)` each, and their colours; where all are empty the photo is returned as it is.
        tint: share of the colour inside.
        outside: brightness kept outside.
    """
    if not any(mask.any() for mask, _ in masks):
        return photo.copy()
    out = outside * photo
    for mask, colour in masks:
        out[mask] = (1 - tint) * photo[mask] + tint * np.asarray(colour)
        out[edge(mask)] = colour
    return np.rint(out).astype(np.uint8)


def edge(mask: Mask) -> Mask:
    """Return the pixels of a mask `(H, W)` that have a 4-neighbour outside it; the photo's border is no edge."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def colour_regions(labels: npt.NDArray[np.integer], colours: Pixels, none: Colour = (0, 0, 0)) -> Pixels:
    """Return labels `(H, W)` as a picture `(H, W, 3)`.

    Args:
        labels: row of `colours`; negative ones are `none`.
        colours: `(K, 3)`.
        none: colour of what has no label.

    Raises:
        ValueError: a label has no colour.
    """
    if labels.size and labels.max() >= len(colours):
        raise ValueError(f"label {labels.max()} has no colour among {len(colours)}")
    table = np.concatenate([colours, np.asarray([none], dtype=np.uint8)])
    return table[np.where(labels < 0, len(colours), labels)]


def regions_over(photo: Pixels, labels: npt.NDArray[np.integer], colours: Pixels) -> Pixels:
    """Return the regions of a photo in their colours, the photo shining through in grey."""
    grey = np.repeat(photo.mean(axis=-1, keepdims=True), 3, axis=-1)
    mixed = (1 - SHINES_THROUGH) * colour_regions(labels, colours) + SHINES_THROUGH * grey
    return mixed.astype(np.uint8)


def muted(colours: Pixels) -> Pixels:
    """Return the colours greyed and darkened, for what is to stand back (background regions)."""
    lab = rgb2lab(colours[None])
    lab[..., 0] *= 0.5
    lab[..., 1:] *= 0.25
    return np.rint(255 * np.clip(lab2rgb(lab)[0], 0, 1)).astype(np.uint8)


def cluster_colours(foreground: int, background: int) -> Pixels:
    """Return the colour of each cluster, `(kf + kb, 3)`: bright foreground, muted background."""
    return np.concatenate([palette(foreground), muted(palette(background))])


def heat(probability: npt.NDArray[np.floating]) -> Pixels:
    """Return a map of 0..1 `(H, W)` in the perceptual scale of `SALIENCY`, `(H, W, 3)`."""
    rgba = colormaps[SALIENCY](np.clip(probability, 0, 1), bytes=True)
    return np.ascontiguousarray(rgba[..., :3])


def draw_boxes(photo: Pixels, boxes: Sequence[Sequence[float]], colour: Colour, dashed: bool = False) -> Pixels:
    """Return the photo with boxes (x1, y1, x2, y2), half open, drawn two pixels wide over a dark seam.

    Args:
        photo: `(H, W, 3)`.
        boxes: in its pixels; what lies outside is clipped.
        colour: of the line.
        dashed: so that ground truth and result differ without colour.
    """
    picture = Image.fromarray(photo)
    pen = ImageDraw.Draw(picture)
    height, width = photo.shape[:2]
    for x1, y1, x2, y2 in boxes:
        left, top = max(0, round(x1)), max(0, round(y1))
        right, bottom = min(width, round(x2)) - 1, min(height, round(y2)) - 1
        if right < left or bottom < top:
            continue
        sides = [
            ((left, top), (right, top)),
            ((left, bottom), (right, bottom)),
            ((left, top), (left, bottom)),
            ((right, top), (right, bottom)),
        ]
        for start, end in sides:
            pen.line([start, end], fill=(0, 0, 0), width=4)
        for start, end in sides:
            for a, b in _dashes(start, end) if dashed else [(start, end)]:
                pen.line([a, b], fill=colour, width=2)
    return np.asarray(picture)


def _dashes(
    start: tuple[int, int], end: tuple[int, int], on: int = 6, off: int = 5
) -> list[tuple[tuple[int, int], ...]]:
    """Return the dashes of a horizontal or vertical line."""
    (x1, y1), (x2, y2) = start, end
    if y1 == y2:
        return [((x, y1), (min(x + on, x2), y1)) for x in range(x1, x2 + 1, on + off)]
    return [((x1, y), (x1, min(y + on, y2))) for y in range(y1, y2 + 1, on + off)]


def spotlight(photo: Pixels, mask: Mask, colour: Colour) -> Pixels:
    """Return the photo `(H, W, 3)` with a region in its own colours, outlined, and its surroundings grey and darker."""
    grey = np.broadcast_to(0.5 * photo.mean(axis=-1, keepdims=True), photo.shape)
    out = np.rint(np.where(mask[..., None], photo, grey)).astype(np.uint8)
    out[edge(mask)] = colour
    return out


def resized(mask: npt.NDArray[np.bool_], size: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return a mask at another size, nearest pixel centre."""
    if mask.shape == size:
        return mask
    rows, columns = (
        (2 * np.arange(wanted) + 1) * side // (2 * wanted) for wanted, side in zip(size, mask.shape, strict=True)
    )
    return mask[rows[:, None], columns[None, :]]


def shrink(picture: npt.NDArray[np.uint8], longest_px: int, nearest: bool = False) -> Pixels:
    """Return a picture with its longest side at most `longest_px`; never enlarged.

    Args:
        picture: `(H, W)` or `(H, W, 3)`.
        longest_px: of the result.
        nearest: for labels and masks, whose values must not be mixed.
    """
    height, width = picture.shape[:2]
    scale = longest_px / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = Image.Resampling.NEAREST if nearest else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(picture).resize(size, how))


def webp(picture: Pixels, quality: int = WEBP_QUALITY) -> bytes:
    """Return a picture as the bytes of a WebP file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="WEBP", quality=quality, method=4)
    return buffer.getvalue()


def side_by_side(panels: Sequence[Sequence[Pixels]], gap_px: int = 8) -> Pixels:
    """Return pictures of one size as rows and columns on white."""
    height, width = panels[0][0].shape[:2]
    rows, columns = len(panels), max(len(row) for row in panels)
    out = np.full(((height + gap_px) * rows - gap_px, (width + gap_px) * columns - gap_px, 3), 255, dtype=np.uint8)
    for y, row in enumerate(panels):
        for x, panel in enumerate(row):
            top, left = y * (height + gap_px), x * (width + gap_px)
            out[top : top + height, left : left + width] = panel
    return out


def data_uri(picture: Pixels) -> str:
    """Return a picture as a `data:` address that stands in a page, WebP."""
    return "data:image/webp;base64," + base64.b64encode(webp(picture)).decode("ascii")
