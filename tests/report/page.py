"""The report page of a planted dataset, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cluster.world import World, clustered, freeze, make

from heap.report.stage import report
from heap.segment.stage import segment
from heap.settings.stages import SegmentSettings

# Names that would run as markup, script, template or shell wherever one of these were not escaped.
EVIL = [
    "<script>alert(1)</script>", "a\" onerror='x'", "deep/Grüße & more", "{{ 7*7 }}",
    "<img src=x onerror=alert(1)>.jpg", "$(touch x).jpg", "--><!--<script>alert(2)",
    "x</script><script>alert(3)</script>", *[f"p{i}" for i in range(10)],
]  # fmt: skip
CSV = "dataset,task,method,variant,metric,value,images\n" + "".join(
    f"tiny,saliency,{method},multi,iou,{value},18\n" for method, value in (("heap", 0.876), ("<b>mine</b>", 0.123))
)


def prepared(folder: Path, **world: Any) -> World:
    made = make(folder, **world)
    clustered(folder, made, neighbours=5)
    values = SegmentSettings().model_dump(mode="json")
    frozen = freeze(folder, "segment", segment=values)
    masks, table = folder / "masks/tiny.json", folder / "instances/tiny.parquet"
    segment(frozen, made.maps, folder / "c.parquet", made.manifest, masks, table)
    (folder / "metrics.csv").write_text(CSV)
    (folder / "metrics.json").write_text('{"warnings": ["something is <odd>"], "seed": 3}')
    (folder / "<model>.csv").write_text("iteration,loss,<i>\n0,2.0,1\n10,1.0,2\n")
    return made


def write(world: World, photos: int = 6, alone: bool = False, truth: str = "255", **files: list[Path]) -> str:
    tasks = [{"task": "saliency", "dataset": "tiny", "truth": truth}]
    frozen = freeze(
        world.folder,
        "report",
        report={"photos": photos, "thumbnail_px": 128},
        benchmark=None if alone else {"tasks": tasks},
    )
    metrics = None if alone else world.folder / "metrics.csv"
    given = {
        "manifests": [world.manifest], "maps": [world.maps], "clusters": [world.folder / "c.parquet"],
        "masks": [world.folder / "masks/tiny.json"], "histories": [world.folder / "<model>.csv"],
    }  # fmt: skip
    report(frozen, metrics, **{**given, **files}, out_html=world.folder / "page.html")
    return (world.folder / "page.html").read_text(encoding="utf-8")
