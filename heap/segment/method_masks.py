"""Masks of a method that has patch maps and no regions: one PNG a photo, at the photo's own resolution."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from heap import __version__
from heap.cache.maps import MapReader
from heap.files import write_json
from heap.locks import alone
from heap.progress import track
from heap.segment.names import folder_of, mask_path
from heap.segment.stage import write_mask
from heap.settings.freeze import read_frozen, section
from heap.settings.stages import SegmentSettings
from heap.workers import Reading, spread


@alone("out")
def method_masks(frozen: Path, maps: Path, out: Path, workers: int | None = None) -> None:
    """Write one PNG mask (0 or 255) a photo of a method's maps, thresholded as HEAP's own.

    Args:
        frozen: frozen settings of the stage segment; of them only the threshold counts.
        maps: receipt of the patch maps.
        out: receipt to write; the masks go to the folder of its name.
        workers: processes; None chooses by cores and photos.

    Raises:
        DataError: an image id cannot name a file inside the folder.
    """
    settings: SegmentSettings = section(read_frozen(frozen, "segment"), "segment", SegmentSettings)
    reader = MapReader(maps)
    method, dataset = reader.receipt.method, reader.receipt.dataset
    image_ids = [str(image_id) for image_id in reader.images["image_id"]]
    with folder_of(out, image_ids) as folder:
        job = Reading(partial(MapReader, maps), partial(_write_mask_of, settings.threshold, folder))
        done = spread(job, list(enumerate(image_ids)), workers)
        progress = out.with_name(f"progress.{dataset}.json")
        empty = sum(track(done, len(image_ids), "photos", f"masks of {method} on {dataset}", progress))
    # The receipt last: once it is there, every mask is.
    keep = {"method", "dataset", "encoder", "fingerprint", "skipped", "notes"}
    known = reader.receipt.model_dump(include=keep, exclude_unset=True)
    counts = {"images": len(image_ids), "empty_masks": empty, "threshold": settings.threshold}
    write_json(out, {**known, **counts, "version": __version__})


def _write_mask_of(threshold: float, folder: Path, maps: MapReader, photo: tuple[int, str]) -> bool:
    """Write the mask of a photo (row, image_id); return whether it is empty."""
    i, image_id = photo
    mask = maps.grid(i).saliency(maps.foreground(i)) > threshold
    write_mask(mask_path(folder, image_id), mask, durable=False)
    return not mask.any()
