"""The tables of `heap predict`: COCO JSON of all photos, one row an object, one row a photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from heap import __version__, parquet
from heap.data.manifest import printable
from heap.discover.model import Model
from heap.discover.outputs import INSTANCES, OBJECTS, PHOTOS, Outputs
from heap.discover.photos import PhotoFile
from heap.files import write_json
from heap.segment.stage import Categories
from heap.spreadsheet import write_csv

_OBJECT_COLUMNS = ["photo", "object", "cluster", "score", "area_px", "x1", "y1", "x2", "y2"]
_PHOTO_COLUMNS = ["photo", "file", "state", "height_px", "width_px", "foreground_share", "objects", "reason"]


def write_tables(
    outputs: Outputs,
    model: Model,
    photos: Sequence[PhotoFile],
    records: dict[str, dict[str, Any]],
    unreadable: dict[str, str],
) -> dict[str, Any]:
    """Write the COCO JSON and the tables of objects and photos; return the content of the JSON.

    Args:
        outputs: the folder.
        model: the model.
        photos: all of them.
        records: of the photos that are done, by image_id.
        unreadable: reason for each of the others.
    """
    clusters = model.parts.clusters
    categories = Categories(*((0, 0) if clusters is None else (clusters.foreground, clusters.background)))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for photo in photos:
        image_id = photo.item.image_id
        record = records.get(image_id)
        state = {"photo": printable(image_id), "file": printable(str(photo.file))}
        if record is None:
            rows.append({**state, "state": "unreadable", "reason": unreadable[image_id]})
            continue
        rows.append({**state, "state": "done", "height_px": record["size"][0], "width_px": record["size"][1],
                     "foreground_share": record["foreground"], "objects": len(record["objects"])})  # fmt: skip
        number = len(images) + 1
        images.append({"id": number, "file_name": photo.item.path, "heap_id": image_id,
                       "height": record["size"][0], "width": record["size"][1]})  # fmt: skip
        for place, one in enumerate(record["objects"]):
            cluster = one["cluster"]
            coco = {name: value for name, value in one.items() if name != "cluster"}
            annotations.append({**coco, "id": len(annotations) + 1, "image_id": number,
                                "category_id": categories.number(cluster)})  # fmt: skip
            x, y, width, height = one["bbox"]
            objects.append({"photo": image_id, "object": place, "cluster": cluster, "score": one["score"],
                            "area_px": one["area"], "x1": x, "y1": y, "x2": x + width, "y2": y + height})  # fmt: skip
    table = pd.DataFrame(objects, columns=_OBJECT_COLUMNS)
    outputs.place(f"{OBJECTS}.parquet", lambda path: parquet.write(path, table))
    outputs.place(f"{OBJECTS}.csv", lambda path: write_csv(path, table))
    frame = pd.DataFrame(rows, columns=_PHOTO_COLUMNS)
    counts = ["height_px", "width_px", "objects"]
    frame[counts] = frame[counts].astype("Int64")  # a photo that could not be read has none
    outputs.place(PHOTOS, lambda path: write_csv(path, frame))
    info = {
        "description": "Objects found by HEAP, without labels; categories are cluster numbers",
        "version": __version__,
        "model": model.name,
        "encoder": model.encoder_label,
        "identity": model.identity,
        "max_px": outputs.options["max_px"],
        "unreadable": len(unreadable),
    }
    content = {"info": info, "images": images, "annotations": annotations, "categories": categories.listed()}
    outputs.place(INSTANCES, lambda path: write_json(path, content))
    return content
