"""Stage `pictures`: a picture of each photo for people: photo, saliency, regions by cluster, objects found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from pycocotools import mask as coco

from heap import __version__
from heap.cache.maps import MapReader
from heap.cluster.table import BACKGROUND, FOREGROUND
from heap.data.photos import read_photo
from heap.evaluate.truth import photos_of
from heap.files import atomic_path, write_json
from heap.locks import alone
from heap.progress import track
from heap.report import pictures
from heap.report.photos import gather
from heap.segment.instances import UNCLUSTERED, clusters_of_patches
from heap.segment.names import folder_of, mask_path
from heap.settings.freeze import read_frozen, section
from heap.settings.stages import PicturesSettings
from heap.workers import Reading, spread

SUFFIX = ".jpg"
QUALITY = 88


@dataclass(frozen=True)
class Subject:
    """One photo to draw.

    Attributes:
        row: in the patch maps.
        image_id: its name.
        path: of its file.
        cluster_of_token: of its regions.
        objects: their masks as COCO RLE, and their clusters.
    """

    row: int
    image_id: str
    path: Path
    cluster_of_token: dict[int, int]
    objects: list[tuple[dict[str, Any], int]]


@alone("out")
def write_pictures(
    frozen: Path, manifest: Path, maps: Path, clusters: Path, masks: Path, out: Path, workers: int | None = None
) -> None:
    """Write one JPEG a photo: photo and saliency above, regions by cluster and objects found below.

    Args:
        frozen: frozen settings of the stage.
        manifest: of the dataset.
        maps: receipt of HEAP's patch maps.
        clusters: table of clusters.
        masks: COCO instances.
        out: receipt to write; the pictures go to the folder of its name.
        workers: processes; None chooses by cores and photos.

    Raises:
        DataError: the files are of different datasets, or an image id cannot name a file inside the folder.
        PhotoError: a photo cannot be read.
    """
    settings: PicturesSettings = section(read_frozen(frozen, "pictures"), "pictures", PicturesSettings)
    (found,) = gather([manifest], [maps], [clusters], [masks])
    k = {kind: int(found.clusters.info["k"][kind]) for kind in (FOREGROUND, BACKGROUND)}
    subjects = [
        Subject(
            row=found.row_of[photo.image_id],
            image_id=photo.image_id,
            path=found.manifest.root / photo.path,
            cluster_of_token=found.cluster_of_token(photo.image_id),
            objects=found.objects_of.get(photo.image_id, []),
        )
        for photo in photos_of(found.manifest.table, found.manifest.root)
        if photo.image_id in found.row_of
    ]
    colours = pictures.cluster_colours(k[FOREGROUND], k[BACKGROUND])
    with folder_of(out, (subject.image_id for subject in subjects), SUFFIX) as folder:
        work = partial(_write_picture, folder, settings.longest_px, colours)
        done = spread(Reading(partial(MapReader, maps), work), subjects, workers)
        progress = out.with_name(f"progress.{found.name}.json")
        for _ in track(done, len(subjects), "photos", f"pictures of {found.name}", progress):
            pass
    # The receipt last: once it is there, every picture is.
    known = {"dataset": found.name, "encoder": found.maps.receipt.encoder, "model": found.clusters.info.get("model")}
    write_json(out, {**known, "images": len(subjects), "longest_px": settings.longest_px, "version": __version__})


def _write_picture(folder: Path, longest_px: int, colours: pictures.Pixels, maps: MapReader, subject: Subject) -> None:
    sheet = draw(maps, subject, longest_px, colours)
    with atomic_path(mask_path(folder, subject.image_id, SUFFIX), durable=False) as temporary:
        Image.fromarray(sheet).save(temporary, format="JPEG", quality=QUALITY)


def draw(maps: MapReader, subject: Subject, longest_px: int, colours: pictures.Pixels) -> pictures.Pixels:
    """Return the four panels of a photo, each at most `longest_px` long.

    Args:
        maps: HEAP's patch maps.
        subject: the photo.
        longest_px: longest side of a panel.
        colours: `(K, 3)`, of each cluster.
    """
    photo = read_photo(subject.path, max_px=longest_px)
    size = (photo.shape[0], photo.shape[1])
    grid = maps.grid(subject.row).at(size)
    soft = grid.saliency(maps.foreground(subject.row))
    labels = grid.enlarge(clusters_of_patches(maps.region(subject.row), subject.cluster_of_token))
    objects = [
        (pictures.resized(coco.decode(rle) > 0, size), _colour(colours, cluster)) for rle, cluster in subject.objects
    ]
    return pictures.side_by_side(
        [
            [photo, pictures.heat(soft)],
            [pictures.regions_over(photo, labels, colours), pictures.overlays(photo, objects)],
        ]
    )


def _colour(colours: pictures.Pixels, cluster: int) -> pictures.Colour:
    if cluster == UNCLUSTERED:
        return pictures.FOUND
    red, green, blue = (int(value) for value in colours[cluster])
    return red, green, blue
