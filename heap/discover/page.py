"""`index.html` of `heap predict`: the report's gallery, of photos that went through no workflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from heap import __version__
from heap.cache.maps import MapReceipt
from heap.cluster import index as region_index
from heap.cluster.table import BACKGROUND, FOREGROUND, FOREGROUND_ABOVE, Clusters, lists
from heap.data.manifest import Manifest
from heap.discover.model import Model
from heap.discover.outputs import PAGE, Outputs
from heap.discover.photos import PhotoFile
from heap.discover.result import Discovery
from heap.files import write_text
from heap.grid import PatchGrid
from heap.report.photos import Found
from heap.report.stage import make_section, render
from heap.report.words import encoder_note
from heap.settings.stages import ClusterSettings, ReportSettings

NAME = "photos"  # what the page calls them, in its links too


def save_regions(path: Path, found: Discovery) -> None:
    """Write what the page needs of a photo: patch maps and regions, with their embeddings as float16."""
    regions = found.regions
    np.savez(
        path,
        region=found.token_map,
        foreground=found.patch_saliency,
        photo_hw=found.grid.photo_hw,
        input_hw=found.grid.input_hw,
        token=np.array([one.token for one in regions], np.int16),
        area_px=np.array([one.area_px for one in regions], np.int64),
        box=np.array([one.box for one in regions], np.int32).reshape(-1, 4),
        score=np.array([one.foreground for one in regions], np.float32),
        cluster=np.array([one.cluster for one in regions], np.int32),
        distance=np.array([one.distance for one in regions], np.float32),
        embedding=np.array([one.embedding for one in regions], np.float16).reshape(len(regions), -1),
    )


@dataclass(frozen=True)
class _SavedMaps:
    """The patch maps that `save_regions` wrote, as the page reads them."""

    files: list[Path]
    images: pd.DataFrame
    grids: list[PatchGrid]
    receipt: MapReceipt

    def region(self, i: int) -> npt.NDArray[np.int16]:
        with np.load(self.files[i]) as saved:
            found: npt.NDArray[np.int16] = saved["region"]
        return found

    def foreground(self, i: int) -> npt.NDArray[np.float32]:
        with np.load(self.files[i]) as saved:
            found: npt.NDArray[np.float32] = saved["foreground"]
        return found

    def grid(self, i: int) -> PatchGrid:
        return self.grids[i]

    def again(self) -> _SavedMaps:
        """Return the same for another process: nothing is open."""
        return self


def write_page(
    outputs: Outputs,
    model: Model,
    photos: Sequence[PhotoFile],
    coco: dict[str, Any],
    left_out: Sequence[tuple[str, str]],
) -> None:
    """Write the page; without a photo there is none.

    Args:
        outputs: the folder of results.
        model: what found them.
        photos: those with a record.
        coco: content of the folder's COCO JSON.
        left_out: (path, reason) of photos that could not be read.
    """
    if not photos:
        (outputs.folder / PAGE).unlink(missing_ok=True)
        return
    found = _gather(outputs, model, photos, coco)
    found.manifest.info["skipped"] = [{"path": path, "reason": reason} for path, reason in left_out]
    clusters = model.parts.clusters
    of_model = "none in the model: regions are parted in foreground and background alone"
    if clusters is not None:
        of_model = (
            f"the model's: {clusters.foreground} of foreground and {clusters.background} of background regions, "
            f"found in {clusters.dataset}"
        )
    made = [
        ("encoder", model.encoder_label),
        ("model", model.name),
        ("photos", str(len(photos))),
        ("regions", str(len(found.clusters.table))),
        ("clusters", of_model),
    ]
    settings = ReportSettings()
    page = render(
        name=f"{len(photos)} {NAME}",
        version=__version__,
        encoders=[(model.encoder_label, encoder_note(model.encoder_label))],
        tables=[],
        histories=[],
        sections=[make_section(found, [None], settings, int(1e6 * settings.gallery_mb), made)],
        warnings=[("", word) for word in model.warnings],
        about="",
    )
    outputs.place(PAGE, lambda path: write_text(path, page))


def _gather(outputs: Outputs, model: Model, photos: Sequence[PhotoFile], coco: dict[str, Any]) -> Found:
    """Return photos, maps and regions in the form in which the report takes a dataset's."""
    ids = [photo.item.image_id for photo in photos]
    files = [outputs.folder / outputs.regions(image_id) for image_id in ids]
    parts = [_read(file) for file in files]
    patch_px = model.encoder.patch_px
    grids = [PatchGrid(_size(part["photo_hw"]), _size(part["input_hw"]), patch_px) for part in parts]
    heights, widths = zip(*(grid.photo_hw for grid in grids), strict=True)
    images = pd.DataFrame({"image_id": ids, "height_px": heights, "width_px": widths})
    about = MapReceipt(
        store="none.zarr", method="heap", dataset=NAME, encoder=model.encoder_label, fingerprint="",
        patch_px=grids[0].patch_px, regions=True, skipped=[], files={},
    )  # fmt: skip
    maps = _SavedMaps(files, images, grids, about)
    table = images.assign(path=[str(one.file.absolute()) for one in photos])
    table["split"] = ""
    for column in ("mask_path", "class_mask_path", "boxes", "crowd_boxes"):
        table[column] = None
    manifest = Manifest(table.astype(object), {"dataset": NAME, "root": "/", "warnings": []})
    return Found(manifest, maps, maps.again, _clusters(model, ids, parts), outputs.folder / "masks", coco)


def _read(file: Path) -> dict[str, npt.NDArray[Any]]:
    with np.load(file) as saved:
        return {name: saved[name] for name in saved.files if name not in ("region", "foreground")}


def _size(sides: npt.NDArray[Any]) -> tuple[int, int]:
    return int(sides[0]), int(sides[1])


def _clusters(model: Model, ids: Sequence[str], parts: Sequence[dict[str, npt.NDArray[Any]]]) -> Clusters:
    """Return the regions of all photos with their clusters, and for each the most similar ones of other photos."""
    photo = np.repeat(np.arange(len(ids)), [len(part["token"]) for part in parts])
    names = ("token", "area_px", "box", "score", "cluster", "distance", "embedding")
    joined = {name: np.concatenate([part[name] for part in parts]) for name in names}
    vectors = joined["embedding"].astype(np.float32)
    is_foreground = joined["score"] > FOREGROUND_ABOVE
    clusters = model.parts.clusters
    if clusters is None:
        joined["cluster"] = np.where(is_foreground, 0, 1)
        joined["distance"] = np.zeros(len(vectors), np.float32)
    table = pd.DataFrame(
        {
            "region_id": np.arange(len(vectors)),
            "image_id": np.array(ids, dtype=object)[photo],
            "token": joined["token"],
            "area_px": joined["area_px"],
            "foreground": joined["score"],
            "kind": np.where(is_foreground, FOREGROUND, BACKGROUND),
            "cluster": joined["cluster"],
            "distance": joined["distance"],
            "box": list(joined["box"]),
        }
    )
    index, _ = region_index.build(vectors, seed=0)
    nearest, cosines = region_index.elsewhere(index, vectors, photo, ClusterSettings().neighbours)
    table["nearest"], table["nearest_similarity"] = lists(nearest, nearest >= 0), lists(cosines, nearest >= 0)
    k = (1, 1) if clusters is None else (clusters.foreground, clusters.background)
    return Clusters(table, np.zeros((0, 0), np.float32), {"k": dict(zip((FOREGROUND, BACKGROUND), k, strict=True))})
