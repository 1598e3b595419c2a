"""Our encoder against the peers' way of running the same network, on the same photos in one process.

    python benchmarks/encoder.py                          # ViT-S/8, random weights, CPU, 224 px and 304 x 400 px
    python benchmarks/encoder.py --photos ~/pictures --batches 1,4,16 --out encoder.csv

The peers' way (LOST, TokenCut, FOUND): one photo a batch, attention written out as softmax(q k^T) v in every block so
that the last one's map can be read, the last block computed in full. The reference below does just that with the same
modules and weights, and its keys and attention are compared with ours before anything is timed. Repetitions alternate,
so that a busy machine slows both; medians are told, and the median of the repetitions' ratios.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from heap.data.scenes.scene import draw_scene
from heap.encoders.base import Encoded
from heap.encoders.open import choose_device
from heap.encoders.position import interpolate_position
from heap.encoders.vit import Vit, build, load
from heap.encoders.weights import RANDOM_SEED
from heap.receipts import Weights
from heap.settings.models import VitEncoder

SIZES = {"224x224": (224, 224), "304x400": (304, 400)}
GOALS = {"224x224": 1.6, "304x400": 2.2}
SHARED = Path(os.environ.get("HEAP_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@torch.no_grad()
def peers(model: Any, photos: Any) -> Encoded:
    """The peers' way on photos `(B, H, W, 3)` of whole patches: keys and CLS attention of the last block."""
    features, attentions, cls, device = [], [], [], model.cls_token.device
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in
                 ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))  # fmt: skip
    for photo in photos:
        pixels = torch.from_numpy(photo).to(device).permute(2, 0, 1)[None].float() / 255
        patches = model.patch_embed.proj((pixels - mean) / std)
        grid_h, grid_w = patches.shape[2:]
        position = interpolate_position(model.pos_embed, 1, grid_h, grid_w, model.patch_embed.grid_size, "offset")
        x = torch.cat([model.cls_token, patches.flatten(2).transpose(1, 2)], dim=1) + position
        for block in model.blocks:
            attn = block.attn
            _, length, dim = x.shape
            qkv = attn.qkv(block.norm1(x))
            q, k, v = qkv.reshape(1, length, 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
            weights = ((q @ k.transpose(2, 3)) * attn.scale).softmax(dim=3)
            x = x + attn.proj((weights @ v).transpose(1, 2).reshape(1, length, dim))
            x = x + block.mlp(block.norm2(x))
        model.norm(x)
        features.append(qkv[0, 1:, dim : 2 * dim].cpu().numpy())
        attentions.append(weights[0, :, 0, 1:].T.cpu().numpy())
        cls.append(qkv[0, 0, dim : 2 * dim].cpu().numpy())
    return Encoded(np.stack(features), np.stack(attentions), np.stack(cls))


def ours(encoder: Vit, photos: Any, batch: int) -> list[Encoded]:
    """Our encoder on the same photos, in batches."""
    return [encoder.encode(photos[start : start + batch]) for start in range(0, len(photos), batch)]


def read_photos(folder: Path | None, count: int, height: int, width: int) -> tuple[Any, str]:
    """`count` photos brought to a size: of `folder`, of the developers' shared folder, or the generated scenes."""
    folder = folder or (SHARED / "data" / "photos" if (SHARED / "data" / "photos").is_dir() else None)
    if folder is None:
        rng = np.random.default_rng(0)
        return np.stack([draw_scene(rng, height, width).photo for _ in range(count)]), "generated scenes"
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not paths:
        raise typer.BadParameter(f"{folder}: no .jpg or .png in it")
    chosen = [paths[n % len(paths)] for n in range(count)]
    sized = [Image.open(p).convert("RGB").resize((width, height), Image.Resampling.BICUBIC) for p in chosen]
    return np.stack([np.asarray(image) for image in sized]), f"photos of {folder}"


def open_random(architecture: str, device: str) -> Vit:
    settings = VitEncoder(kind="vit", architecture=architecture, weights="random")
    return load(settings, Weights(source="random"), device)


def plain_model(architecture: str, device: str) -> Any:
    """The same random network as timm builds it, untouched by our encoder."""
    torch.manual_seed(RANDOM_SEED)
    return build(architecture).eval().requires_grad_(False).to(device)


def _work(architecture: str, size: tuple[int, int], batch: int, pipe: Any) -> None:
    photos = np.zeros((max(batch, 1), *size, 3), np.uint8)
    if batch == 0:
        model = plain_model(architecture, "cpu")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peers(model, photos)
    else:
        encoder = open_random(architecture, "cpu")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        encoder.encode(photos)
    pipe.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def peak_mb(architecture: str, size: tuple[int, int], batch: int) -> float:
    """How much the memory of a fresh process grows by encoding one batch on the CPU; batch 0 is the peers' way."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(architecture, size, batch, there))
    process.start()
    found: float = here.recv()
    process.join()
    return found


def timed(work: Callable[[], Any], clock: Callable[[], float]) -> float:
    started = clock()
    work()  # both ways end with values in numpy arrays, so a GPU has finished too
    return clock() - started


def main(
    architecture: Annotated[str, typer.Option(help="A DINO architecture of `heap encoders`.")] = "dino_vits8",
    photos: Annotated[Path | None, typer.Option(help="Folder of photos; else ../shared, else the scenes.")] = None,
    count: Annotated[int, typer.Option(help="Photos a repetition.")] = 8,
    repeats: Annotated[int, typer.Option(help="Repetitions, alternating.")] = 7,
    batches: Annotated[str, typer.Option(help="Our batch sizes.")] = "1,2,4,8",
    threads: Annotated[int, typer.Option(help="Threads of torch; 0 leaves its choice.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")] = "cpu",
    clock: Annotated[str, typer.Option(help="wall, or cpu: time of all threads, fair on a busy machine.")] = "wall",
    memory: Annotated[bool, typer.Option(help="Measure each one's memory in a fresh process too.")] = True,
    out: Annotated[Path | None, typer.Option(help="CSV to write.")] = None,
) -> None:
    """Print images/s of the peers' way and of ours at each size and batch, their ratio, and the memory each takes."""
    if threads:
        torch.set_num_threads(threads)
    ticks = {"wall": time.perf_counter, "cpu": time.process_time}[clock]
    chosen = choose_device(device)
    encoder, model = open_random(architecture, chosen), plain_model(architecture, chosen)
    rows = []
    for name, size in SIZES.items():
        pixels, source = read_photos(photos, count, *size)
        reference, found = peers(model, pixels[:2]), encoder.encode(pixels[:2])
        for what in ("features", "attention"):
            a, b = getattr(found, what), getattr(reference, what)
            far = float(np.abs(a - b).max() / np.abs(b).max())
            if not far < 2e-5:
                raise SystemExit(f"{what} at {name}: differs from the peers' way by {far:.1e} of the largest value")
        sizes = [int(batch) for batch in batches.split(",")]
        works: dict[int, Callable[[], Any]] = {0: lambda pixels=pixels: peers(model, pixels)}
        works |= {batch: (lambda pixels=pixels, batch=batch: ours(encoder, pixels, batch)) for batch in sizes}
        for work in works.values():
            work()
        seconds: dict[int, list[float]] = {batch: [] for batch in works}
        for _ in range(repeats):
            for batch, work in works.items():
                seconds[batch].append(timed(work, ticks))
        for batch in works:
            ratios = [slow / fast for slow, fast in zip(seconds[0], seconds[batch], strict=True)]
            rows.append(
                {
                    "size": name,
                    "way": "peers" if batch == 0 else f"heap, batch {batch}",
                    "images_per_s": count / statistics.median(seconds[batch]),
                    "ratio": statistics.median(ratios),
                    "ratio_least": min(ratios),
                    "ratio_most": max(ratios),
                    "goal": GOALS[name],
                    "memory_mb": peak_mb(architecture, size, batch) if memory and chosen == "cpu" else float("nan"),
                }
            )
    title = f"{encoder.label}; {source}; {chosen}, {torch.get_num_threads()} threads, {clock} time"
    table = Table("size", "way", "images/s", "times the peers'", "least to most", "goal", "memory MB", title=title)
    for row in rows:
        table.add_row(
            row["size"], row["way"], f"{row['images_per_s']:.2f}", f"{row['ratio']:.2f}",
            f"{row['ratio_least']:.2f} to {row['ratio_most']:.2f}", f"{row['goal']:.1f}", f"{row['memory_mb']:.0f}",
        )  # fmt: skip
    Console().print(table)
    if out is not None:
        said = {"device": chosen, "threads": torch.get_num_threads(), "clock": clock, "photos": source}
        pd.DataFrame(rows).assign(**said).to_csv(out, index=False)


if __name__ == "__main__":
    typer.run(main)
