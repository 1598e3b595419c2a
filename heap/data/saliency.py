"""Saliency benchmarks: a folder of photos and a folder of binary masks of the same stems."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from heap.data.items import Item, Listing, existing_folder, overlooked, relative_to, some, visible_files
from heap.data.photos import SUFFIXES
from heap.errors import DataError
from heap.settings.datasets import SaliencyDataset


def read(settings: SaliencyDataset, root: Path) -> Listing:
    """List the photos by stem, each with its mask.

    Raises:
        DataError: a folder is missing, two photos share a stem, a photo has no mask or a mask no photo; names them.
    """
    folder = existing_folder(root, settings.images, "images")
    photos: dict[str, Path] = {}
    files = visible_files(folder).values()
    for path in files:
        if path.suffix.lower() not in SUFFIXES:
            continue
        if path.stem in photos:
            raise DataError(
                f"{path}: a second photo of the stem of {photos[path.stem].name}; one mask cannot serve both"
            )
        photos[path.stem] = path
    masks: dict[str, Path] = {}
    if settings.masks is not None:
        masks_folder = existing_folder(root, settings.masks, "masks")
        # DUTS was published with some masks as .jpg too, of other photos; the corrected ones are the .png.
        masks = {p.stem: p for p in visible_files(masks_folder).values() if p.suffix.lower() == ".png"}
        without_mask = [f"{masks_folder / stem}.png" for stem in photos if stem not in masks]
        if without_mask:
            raise DataError(f"{some(without_mask)}: no such mask, but {folder} has the photo")
        without_photo = [str(path) for stem, path in masks.items() if stem not in photos]
        if without_photo:
            raise DataError(f"{some(without_photo)}: a mask without a photo of its stem in {folder}")
    return Listing(
        [
            Item(
                image_id=stem,
                path=relative_to(root, photo),
                mask_path=relative_to(root, masks[stem]) if stem in masks else None,
            )
            for stem, photo in sorted(photos.items())
        ],
        warnings=overlooked(Counter(path.suffix.lower() for path in files)),
    )
