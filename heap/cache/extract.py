"""Stage extract: the frozen encoder over every photo, once, shard by shard, resumable, in as many parts as jobs."""

from __future__ import annotations

import errno
import logging
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from heap.cache.notes import missing_shards, skipped_photos
from heap.cache.pipeline import encode_shards
from heap.cache.plan import Plan, fingerprint, plan, refuse_large
from heap.cache.reader import StoreReceipt, store_folder
from heap.cache.store import FeatureStore, read_images
from heap.data import manifest as manifests
from heap.data.manifest import Manifest
from heap.data.photos import input_size, read_photo
from heap.encoders.base import Encoder
from heap.encoders.open import choose_device, open_encoder
from heap.encoders.precision import largest_error
from heap.encoders.weights import read_weights
from heap.errors import CacheError, DataError, PhotoError, SettingsError
from heap.files import write_json
from heap.progress import Progress
from heap.receipts import Receipt, Skipped, read_receipt
from heap.settings import read_frozen, section
from heap.settings.models import Encoder as EncoderSettings

log = logging.getLogger("heap")

# Settings that change how fast features come, from where weights are read, or what they are called, but no feature.
# Weights and patch size themselves decide, wherever they come from: the encoder says both.
_NO_FEATURE = ("batch_size", "weights", "sha256", "patch_px", "supervision")
# A shard takes minutes; asking more often would only load the file server.
SECONDS_BETWEEN_TRIES = 2.0
# Errors of reading a file whose disk vanished.
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ENXIO)


class Precision(Receipt):
    """By how much reduced precision differed from float32, over how many photos."""

    features: float
    attention: float
    photos: float


class PartReceipt(StoreReceipt):
    """What one part of an extraction says to `gather`."""

    precision_error: Precision | None
    refused: list[Skipped]


def extract(
    frozen: Path,
    manifest: Path,
    weights: Path,
    folder: Path,
    part: str,
    out: Path,
    device: str | None = None,
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
    encoder = open_encoder(encoder_settings, read_weights(weights), chosen)
    photos = manifests.read(manifest)
    layout, refused = _lay_out(photos, encoder, settings)
    about = _about(photos, encoder, settings, layout)
    info = {key: about[key] for key in ("dataset", "fingerprint", "encoder", "patch_px", "weights_sha256")}
    where = store_folder(folder, about["fingerprint"])
    store = FeatureStore.create(where, layout, encoder.dim, encoder.heads, info, encoder_settings.storage)
    mine = layout.part(number, parts)
    todo = [shard for shard in mine if store.done(shard) is None]
    log.info("%s on %s: %d of %d shards to do, %s", encoder.label, chosen, len(todo), len(mine), store.folder)
    total, left = layout.photos(mine), layout.photos(todo)
    file = folder / f"progress.{part}.json"  # next to the store, not in it: a store holds features alone
    progress = Progress(total, "photos", f"extracting {about['dataset']}", file, total - left)
    batch = int(settings["runtime"].get("batch_size", encoder_settings.batch_size))
    started = time.monotonic()
    try:
        if settings["on_bad_image"] == "fail" and (bad := store.skipped()):  # left out while the config said `skip`
            raise PhotoError(f"{photos.root}: {len(bad)} photos cannot be used, the first: {bad[0]['reason']}")
        taken: list[int] = []
        read = partial(_read, photos.root, settings)
        encode_shards(store, claim(store, todo, taken), encoder, read, batch, settings["on_bad_image"], progress.step)
        encoded = layout.photos(taken)
        progress.step(left - encoded)  # what another process did meanwhile
    finally:
        progress.close()
    seconds = round(time.monotonic() - started, 2)
    run = {"part": part, "device": chosen, "photos_encoded": encoded, "refused": refused, "seconds": seconds}
    write_json(out, {**about, **run, "precision_error": encoder.precision_error})
    store.lock.close()  # after the receipt: until then nothing points to the store


def _lay_out(photos: Manifest, encoder: Encoder, settings: dict[str, Any]) -> tuple[Plan, list[dict[str, str]]]:
    """Return where each photo's features go, and the photos that are too large for it.

    Raises:
        PhotoError: some are, and must not be, or all are.
    """
    sized = partial(input_size, max_px=settings["max_px"], resize_px=settings["resize_px"])
    table, refused = refuse_large(photos.table, encoder.patch_px, sized, settings["max_patches"])
    if refused and (settings["on_bad_image"] == "fail" or table.empty):
        raise PhotoError(f"{photos.root}: {len(refused)} photos are too large, the first: {refused[0]['reason']}")
    bytes_per_row = encoder.dim * np.dtype(settings["encoder"]["storage"]).itemsize
    return plan(table, encoder.patch_px, bytes_per_row, sized), refused


def _about(photos: Manifest, encoder: Encoder, settings: dict[str, Any], layout: Plan) -> dict[str, Any]:
    """Return what every part's receipt says of the store, see `StoreReceipt`."""
    encoding = {key: value for key, value in settings["encoder"].items() if key not in _NO_FEATURE}
    encoding["patch_px"] = encoder.patch_px
    decides = {"encoder": encoding, "resize_px": settings["resize_px"], "max_px": settings["max_px"]}
    source = encoder.weights.sha256 or encoder.weights.source
    return {
        "dataset": photos.info["dataset"],
        "fingerprint": fingerprint(decides, source, layout.images, settings["version"]),
        "encoder": encoder.label,
        "patch_px": encoder.patch_px,
        "weights_sha256": encoder.weights.sha256,
        "dim": encoder.dim,
        "heads": encoder.heads,
        "attention_kind": encoder.attention_kind,
        "appearance": encoder.appearance,
        "weights": encoder.weights.as_json(),
        "storage": settings["encoder"]["storage"],
        "encoder_settings": settings["encoder"],
        "max_px": settings["max_px"],
        "resize_px": settings["resize_px"],
        "root": str(photos.root),
        "rows_per_shard": layout.rows_per_shard,
        "shards": layout.shards,
    }


def claim(
    store: FeatureStore, shards: list[int], taken: list[int], wait_s: float = SECONDS_BETWEEN_TRIES
) -> Iterator[int | None]:
    """Yield, locked, each of `shards` that nobody has finished and nobody else is writing.

    Shards that another process holds come last: this waits until they are finished (and passes over them) or their
    writer is gone (and yields them). So two runs on the same shards share the work, and none is computed twice.

    Before each wait None is yielded: write what you have, because the other process may be waiting for that.
    What is yielded is added to `taken`.
    """
    waiting, logged = shards, False
    while waiting:
        held: list[int] = []
        for shard in waiting:
            if store.done(shard) is not None:
                continue
            if not store.lock.try_shard(shard):
                held.append(shard)
            elif store.done(shard) is None:  # not finished between the question and the lock
                taken.append(shard)
                yield shard
        if held:
            if not logged:
                log.info("%s: another process writes shards %s; waiting for it", store.folder, held)
                logged = True
            yield None
            time.sleep(wait_s)
        waiting = held


def gather(parts: list[Path], folder: Path, manifest: Path, out: Path) -> None:
    """Check that the parts of an extraction make up the whole store, and write its receipt.

    Raises:
        CacheError: the parts belong to different stores, or a shard is missing.
    """
    receipts = [read_receipt(path, PartReceipt, "the receipt of a part", CacheError) for path in parts]
    first = receipts[0]
    if len({receipt.fingerprint for receipt in receipts}) != 1:
        raise CacheError(f"{out}: its parts were encoded with different settings; run extract again")
    photos = manifests.read(manifest)
    there = store_folder(folder, first.fingerprint)
    if missing := missing_shards(there, first.shards):
        raise CacheError(f"{there}: shards {missing} are missing; run extract again, it does only these")
    images, skipped = len(read_images(there)), skipped_photos(there, first.shards)
    unread = [{"image_id": item["path"], "reason": item["reason"]} for item in photos.info["skipped"]]
    if len(skipped) == images:
        raise CacheError(f"{out}: every photo was skipped; the first: {skipped[0]}")
    left_out = unread + [item.as_json() for item in first.refused] + skipped
    if left_out:
        log.warning("%s: %d photos skipped", photos.info["dataset"], len(left_out))
    errors = [receipt.precision_error for receipt in receipts]
    write_json(
        out,
        {
            **{key: value for key, value in first.as_json().items() if key in StoreReceipt.model_fields},
            # Of the parts that encoded something in this run; null in float32.
            "precision_error": largest_error([None if error is None else error.as_json() for error in errors]),
            "images": images - len(skipped),
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


def _read(root: Path, settings: dict[str, Any], photo: Any) -> npt.NDArray[np.uint8]:
    """Return the pixels `(input_h_px, input_w_px, 3)` of a row of the plan.

    Raises:
        PhotoError: it cannot be read, or has another size than the manifest says.
        DataError: it is gone, though the manifest lists it. That is no bad photo: skipping all photos of a disk that
            was unmounted would note them as bad for good.
    """
    try:
        pixels = read_photo(root / photo.path, settings["max_px"], settings["resize_px"])
    except PhotoError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _GONE:
            raise DataError(
                f"{root / photo.path}: is gone ({error.__cause__.strerror}), but the manifest lists it; if its disk "
                "was unmounted, mount it and run the same again: finished shards are kept"
            ) from error
        raise
    if pixels.shape[:2] != (photo.input_h_px, photo.input_w_px):
        raise PhotoError(
            f"{root / photo.path}: is {pixels.shape[0]} x {pixels.shape[1]} px, the manifest planned "
            f"{photo.input_h_px} x {photo.input_w_px}; the file changed, run manifest again"
        )
    return pixels
