"""Stage extract: the frozen encoder over every photo, once, shard by shard, resumable, in as many parts as jobs."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from heap.cache.lock import claim
from heap.cache.plan import Plan, fingerprint, plan, refuse_large
from heap.cache.reader import store_folder
from heap.cache.store import FeatureStore, to_float16
from heap.data import manifest as manifests
from heap.data.photos import input_size, read_photo
from heap.encoders.base import Encoder
from heap.encoders.open import choose_device, open_encoder
from heap.errors import CacheError, PhotoError, SettingsError
from heap.files import read_json, write_json
from heap.progress import Progress
from heap.settings import read_frozen, section
from heap.settings.models import Encoder as EncoderSettings

log = logging.getLogger("heap")

# Settings that change how fast features come, or from where weights are read, but no feature.
_NO_FEATURE = ("batch_images", "weights", "sha256", "patch_px")
_DECODERS = 2
# Photos decoded ahead of the encoder; bounds memory whatever the size of the dataset.
_AHEAD = 16


def extract(
    frozen: Path, manifest: Path, weights: Path, folder: Path, part: str, out: Path, device: str | None
) -> None:
    """Encode one part of a dataset into its store and write the part's receipt.

    Args:
        frozen: frozen settings of the stage.
        manifest: the dataset's manifest.
        weights: receipt of the encoder's weights.
        folder: folder of the dataset's stores.
        part: "2-of-4".
        out: receipt of this part.
        device: torch device, see `choose_device`.

    Raises:
        HeapError: names the photo, file or key. Finished shards are kept and not computed again.
    """
    settings = read_frozen(frozen, "extract")
    encoder_settings: EncoderSettings = section(settings, "encoder", EncoderSettings)
    number, parts = _parse_part(part)
    chosen = choose_device(device)
    encoder = open_encoder(encoder_settings, read_json(weights), chosen)
    photos = manifests.read(manifest)
    max_px, resize_px = settings["max_px"], settings["resize_px"]

    def sized(height_px: int, width_px: int) -> tuple[int, int]:
        return input_size(height_px, width_px, max_px, resize_px)

    table, refused = refuse_large(photos.table, encoder.patch_px, sized, settings["max_patches"])
    if refused and (settings["on_bad_image"] == "fail" or table.empty):
        raise PhotoError(f"{photos.root}: {len(refused)} photos are too large, the first: {refused[0]['reason']}")
    layout = plan(table, encoder.patch_px, encoder.dim * 2, sized)
    name = _fingerprint(settings, encoder, table)
    info = {
        "dataset": photos.info["dataset"],
        "fingerprint": name,
        "encoder": encoder.label,
        "weights_sha256": encoder.weights["sha256"],
    }
    store = FeatureStore.create(store_folder(folder, name), layout, encoder.dim, encoder.heads, info)
    mine = layout.part(number, parts)
    todo = [shard for shard in mine if store.done(shard) is None]
    log.info("%s on %s: %d of %d shards to do, %s", encoder.label, chosen, len(todo), len(mine), store.folder)
    total = sum(len(layout.of_shard(shard)) for shard in mine)
    left = sum(len(layout.of_shard(shard)) for shard in todo)
    encoded = 0
    # Progress lies beside the store, not in it: a store holds features alone.
    progress = Progress(
        total, "photos", f"extracting {photos.info['dataset']}", folder / f"progress.{part}.json", total - left
    )
    batch = getattr(encoder_settings, "batch_images", 1)
    started = time.monotonic()
    try:
        for shard in claim(store, todo):
            if shard is None:
                continue
            _extract_shard(store, shard, encoder, photos.root, settings, batch, progress)
            encoded += len(layout.of_shard(shard))
        progress.step(left - encoded)  # what another process did meanwhile
    finally:
        progress.close()
        store.lock.close()
    write_json(
        out,
        {
            **info,
            "part": part,
            "patch_px": encoder.patch_px,
            "dim": encoder.dim,
            "heads": encoder.heads,
            "attention_kind": encoder.attention_kind,
            "weights": encoder.weights,
            "encoder_settings": settings["encoder"],
            "max_px": max_px,
            "resize_px": resize_px,
            "root": str(photos.root),
            "rows_per_shard": layout.rows_per_shard,
            "shards": layout.shards,
            "device": chosen,
            "photos_encoded": encoded,
            "refused": refused,
            "seconds": round(time.monotonic() - started, 2),
        },
    )


def gather(parts: list[Path], folder: Path, manifest: Path, out: Path) -> None:
    """Check that the parts of an extraction make up the whole store, and write its receipt.

    Raises:
        CacheError: the parts belong to different stores, or a shard is missing.
    """
    receipts = [read_json(path) for path in parts]
    first = receipts[0]
    if len({receipt["fingerprint"] for receipt in receipts}) != 1:
        raise CacheError(f"{out}: its parts were encoded with different settings; run extract again")
    photos = manifests.read(manifest)
    store = FeatureStore(store_folder(folder, first["fingerprint"]), _plan_of(first, folder))
    missing = store.missing()
    if missing:
        raise CacheError(f"{store.folder}: shards {missing} are missing; run extract again, it does only these")
    skipped = store.skipped()
    unread = [{"image_id": item["path"], "reason": item["reason"]} for item in photos.info["skipped"]]
    if len(skipped) == len(store.plan.images):
        raise CacheError(f"{out}: every photo was skipped; the first: {skipped[0]}")
    left_out = unread + first["refused"] + skipped
    if left_out:
        log.warning("%s: %d photos skipped", photos.info["dataset"], len(left_out))
    keep = (
        "dataset", "fingerprint", "encoder", "patch_px", "dim", "heads", "attention_kind", "weights",
        "encoder_settings", "max_px", "resize_px", "root", "rows_per_shard", "shards",
    )  # fmt: skip
    write_json(
        out,
        {
            **{key: first[key] for key in keep},
            "images": len(store.plan.images) - len(skipped),
            "skipped": left_out,
            "expected_images": photos.info["expected_images"],
            "warnings": photos.info["warnings"],
        },
    )
    for stale in folder.glob("progress.*.json"):
        stale.unlink()


def _parse_part(part: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)-of-(\d+)", part)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise SettingsError(f"part {part!r}: expected NUMBER-of-PARTS, as 2-of-4")
    return int(match[1]), int(match[2])


def _fingerprint(settings: dict[str, Any], encoder: Encoder, table: pd.DataFrame) -> str:
    encoding = {key: value for key, value in settings["encoder"].items() if key not in _NO_FEATURE}
    decides = {"encoder": encoding, "resize_px": settings["resize_px"], "max_px": settings["max_px"]}
    source = encoder.weights["sha256"] or encoder.weights["source"]
    return fingerprint(decides, source, table, settings["version"])


def _plan_of(receipt: dict[str, Any], folder: Path) -> Plan:
    from heap.cache.store import read_images

    images = read_images(store_folder(folder, receipt["fingerprint"]))
    return Plan(images, receipt["rows_per_shard"], 0, 0, receipt["shards"])


def _extract_shard(
    store: FeatureStore,
    shard: int,
    encoder: Encoder,
    root: Path,
    settings: dict[str, Any],
    batch_images: int,
    progress: Progress,
) -> None:
    layout = store.plan
    photos = layout.of_shard(shard)
    features = np.full((layout.rows_per_shard, encoder.dim), np.nan, np.float16)
    attention = np.full((layout.rows_per_shard, encoder.heads), np.nan, np.float32)
    cls = np.full((layout.slots_per_shard, encoder.dim), np.nan, np.float32)
    skipped: list[dict[str, str]] = []
    for rows, pixels in _batches(photos, root, settings, batch_images, skipped):
        encoded = encoder.encode(pixels)
        for number, (_, photo) in enumerate(rows.iterrows()):
            start = int(photo["offset"]) - shard * layout.rows_per_shard
            stop = start + int(photo["grid_h"]) * int(photo["grid_w"])
            features[start:stop] = to_float16(encoded.features[number], str(root / photo["path"]))
            attention[start:stop] = encoded.attention[number]
            cls[int(photo["slot"]) - shard * layout.slots_per_shard] = encoded.cls[number]
        progress.step(len(rows))
    progress.step(len(skipped))
    store.write_shard(shard, features, attention, cls, skipped)


def _batches(
    photos: pd.DataFrame, root: Path, settings: dict[str, Any], batch_images: int, skipped: list[dict[str, str]]
) -> Iterator[tuple[pd.DataFrame, npt.NDArray[np.uint8]]]:
    """Yield photos of one input size at a time with their pixels `(B, H, W, 3)`; decoding runs ahead of the encoder."""

    def decode(photo: Any) -> npt.NDArray[np.uint8] | PhotoError:
        try:
            pixels = read_photo(root / photo.path, settings["max_px"], settings["resize_px"])
        except PhotoError as error:
            return error
        if pixels.shape[:2] != (photo.input_h_px, photo.input_w_px):
            return PhotoError(
                f"{root / photo.path}: is {pixels.shape[0]} x {pixels.shape[1]} px, the manifest planned "
                f"{photo.input_h_px} x {photo.input_w_px}; the file changed, run manifest again"
            )
        return pixels

    # Photos of one size next to each other, so that batches are full; the order decides no value.
    ordered = photos.sort_values(["input_h_px", "input_w_px"], kind="stable")
    rows = list(ordered.itertuples())
    with ThreadPoolExecutor(_DECODERS) as pool:
        waiting = [pool.submit(decode, row) for row in rows[:_AHEAD]]
        batch: list[Any] = []
        pixels: list[npt.NDArray[np.uint8]] = []
        for number, row in enumerate(rows):
            decoded = waiting.pop(0).result()
            if number + _AHEAD < len(rows):
                waiting.append(pool.submit(decode, rows[number + _AHEAD]))
            if isinstance(decoded, PhotoError):
                if settings["on_bad_image"] == "fail":
                    raise decoded
                log.warning("skipped: %s", decoded)
                skipped.append({"image_id": str(row.image_id), "reason": str(decoded)})
                continue
            if pixels and (decoded.shape != pixels[0].shape or len(pixels) == batch_images):
                yield ordered.loc[batch], np.stack(pixels)
                batch, pixels = [], []
            batch.append(row.Index)
            pixels.append(decoded)
        if pixels:
            yield ordered.loc[batch], np.stack(pixels)
