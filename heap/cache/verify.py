"""Is the cache what it says? Every byte against its checksum, every photo against its hash, some encoded again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from heap.cache.notes import note_path, read_description, read_note, stamp
from heap.cache.reader import FeatureReader, FeatureReceipt, read_features_receipt, store_folder
from heap.cache.store import ARRAYS, open_array, read_images, read_rows
from heap.cache.stores import pointed_to, receipt_of
from heap.data.manifest import DIGEST_BYTES, THREADS
from heap.data.photos import read_photo
from heap.errors import CacheError, HeapError
from heap.files import file_sha256
from heap.progress import track
from heap.receipts import Weights

# How far fresh and cached features may lie apart, as a share of the photo's largest value. Rounding to float16 costs
# 2^-11 = 0.0005; the rest is for other batch sizes, thread counts and devices. Other weights differ by about 1.
TOLERANCE = {"float32": 0.004, "float16": 0.02, "bfloat16": 0.1}
# Half a step of 8-bit codes that span at most twice the largest value is 1/255 of it; twice that.
TOLERANCE_OF_CODES = 2 / 255


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written.

    Attributes:
        dataset: whose features.
        where: the file.
        what: what was found and what was expected.
        todo: what to do about it.
        shard: the shard that must be computed again, where that repairs it.
        store: its store; without a shard, all of it must be computed again.
    """

    dataset: str
    where: Path
    what: str
    todo: str
    shard: int | None = None
    store: Path | None = None


_AGAIN = "`--repair` forgets this shard, the next extract computes it again"
_WHOLE = "`--repair` removes this store, the next extract makes it again"
_MANIFEST = "delete the dataset's manifest and run the pipeline: changed photos get features of their own"


def verify(root: Path, dataset: str, photos: bool, sample: int, seed: int, device: str | None) -> list[Finding]:
    """Return what is wrong with a dataset's features: of the store its receipt points to, else of all that are there.

    Args:
        root: folder of receipts and stores.
        dataset: its name.
        photos: compare every photo's hash too.
        sample: photos to encode again; 0 needs neither weights nor a GPU.
        seed: of the sample.
        device: torch device, see `choose_device`.
    """
    path = receipt_of(root, dataset)
    receipt = read_features_receipt(path) if path.is_file() else None
    current = [store_folder(root / dataset, name) for name in sorted(pointed_to(root, dataset))]
    found: list[Finding] = []
    for store in current or sorted((root / dataset).glob("*.zarr")):
        own = receipt if receipt is not None and receipt.fingerprint == store.stem else None
        of_files = list(verify_files(store, dataset, own))
        found += of_files
        if own is None or any(finding.shard is None for finding in of_files):
            continue
        if photos:
            found += verify_photos(store, dataset, Path(own.root))
        if sample and not of_files:
            found += verify_sample(FeatureReader(path), sample, seed, device)
    return found


def verify_files(folder: Path, dataset: str, receipt: FeatureReceipt | None) -> Iterator[Finding]:
    """Yield what is wrong with the files of one store: description, plan, and every shard to the last byte.

    Args:
        folder: the store.
        dataset: for the findings.
        receipt: the dataset's receipt where it points to this store.
    """
    try:
        described, images = read_description(folder), read_images(folder)
        wrong = [(folder / path, what) for path, stamp in described["files"].items()
                 for what in _differs(folder / path, stamp)]  # fmt: skip
        wrong += [(folder, what) for what in (*_misfits(folder, described, receipt), *wrong_in_plan(images, described))]
    except HeapError as error:
        wrong = [(folder, str(error))]
    yield from (Finding(dataset, where, what, _WHOLE, store=folder) for where, what in wrong)
    if wrong:
        return
    shards = range(int(described["shards"]))
    arrays = {name: open_array(folder, name) for name in ARRAYS}
    skipped: set[str] = set()
    for shard in track(shards, len(shards), "shards", f"verifying {dataset}"):
        found = list(_shard(folder, dataset, shard, receipt is not None))
        yield from found
        if found or not note_path(folder, shard).is_file():
            continue
        left_out = {item["image_id"] for item in (read_note(folder, shard) or {})["skipped"]}
        skipped |= left_out
        for what in _values(folder, arrays, images[images["shard"] == shard], described, left_out):
            yield Finding(dataset, note_path(folder, shard), what, _AGAIN, shard, folder)
    listed = skipped if receipt is None else {item.image_id for item in receipt.skipped}
    if unlisted := sorted(skipped - listed):
        what = f"{len(unlisted)} photos were skipped that the receipt does not list, first {unlisted[0]}"
        yield Finding(dataset, folder, what, "delete the receipt and run gather again")


def _misfits(folder: Path, described: dict[str, Any], receipt: FeatureReceipt | None) -> Iterator[str]:
    if described["fingerprint"] != folder.stem:
        yield f"is the store {described['fingerprint']}, under another's name"
    if receipt is None:
        return
    said = receipt.as_json()
    for key in ("encoder", "dim", "heads", "rows_per_shard", "shards"):
        if key in described and described[key] != said[key]:
            yield f"{key} is {described[key]!r}, the receipt says {said[key]!r}"
    if described.get("weights_sha256") != receipt.weights.sha256:
        yield f"made with weights {described.get('weights_sha256')}, the receipt says {receipt.weights.sha256}"


def wrong_in_plan(images: pd.DataFrame, described: dict[str, Any]) -> list[str]:
    """Return what is impossible in a plan: photos that overlap, cross a shard, or lie outside."""
    rows, slots = int(described["rows_per_shard"]), int(described["slots"]) // int(described["shards"])
    start = images["offset"].to_numpy(dtype=np.int64)
    stop = start + images["grid_h"].to_numpy(dtype=np.int64) * images["grid_w"].to_numpy(dtype=np.int64)
    shard = images["shard"].to_numpy(dtype=np.int64)
    order = np.argsort(start)
    problems = []
    if (start[order][1:] < stop[order][:-1]).any():
        problems.append("its plan lets photos overlap")
    if (start // rows != shard).any() or ((stop - 1) // rows != shard).any() or (stop <= start).any():
        problems.append("its plan lets a photo cross a shard")
    if shard.min(initial=0) < 0 or shard.max(initial=0) >= described["shards"]:
        problems.append("its plan has photos outside its shards")
    if (images["slot"].to_numpy(dtype=np.int64) // slots != shard).any() or not images["slot"].is_unique:
        problems.append("its plan mixes up the photos' own vectors")
    return problems


def _shard(folder: Path, dataset: str, shard: int, expected_done: bool) -> Iterator[Finding]:
    path = note_path(folder, shard)
    try:
        note = read_note(folder, shard)
        files = {} if note is None else note["files"]
        wrong = [(folder / name, what) for name, stamp in files.items() for what in _differs(folder / name, stamp)]
        if note is None and expected_done:
            wrong = [(path, f"shard {shard} is missing, the receipt says it is done")]
    except HeapError as error:
        wrong = [(path, str(error))]
    yield from (Finding(dataset, where, what, _AGAIN, shard, folder) for where, what in wrong)


def _differs(path: Path, expected: dict[str, int]) -> Iterator[str]:
    try:
        found = stamp(path)
    except FileNotFoundError:
        yield f"is gone ({expected['bytes']} bytes were written)"
        return
    except OSError as error:
        yield f"cannot be read ({error.strerror})"
        return
    if found["bytes"] != expected["bytes"]:
        cut = "is cut" if found["bytes"] < expected["bytes"] else "has grown"
        yield f"{cut}: {found['bytes']} bytes, {expected['bytes']} were written"
    elif found["crc32"] != expected["crc32"]:
        yield f"was changed: CRC-32 {found['crc32']:08x}, {expected['crc32']:08x} was written"


def _values(
    folder: Path, arrays: dict[str, Any], photos: pd.DataFrame, described: dict[str, Any], skipped: set[str]
) -> Iterator[str]:
    """Decode one shard, which checks Zarr's own checksums, and see that each photo is there and each skipped is not."""
    if photos.empty:
        return
    rows = int(described["rows_per_shard"])
    first = int(photos["shard"].iloc[0]) * rows
    try:
        features = read_rows(arrays["features"], first, first + rows, folder)
        attention = read_rows(arrays["attention"], first, first + rows, folder)
        slots = photos["slot"].to_numpy()
        cls = read_rows(arrays["cls"], int(slots.min()), int(slots.max()) + 1, folder)
    except CacheError as error:
        yield str(error)
        return
    for photo in photos.itertuples():
        where = slice(int(photo.offset) - first, int(photo.offset) - first + int(photo.grid_h) * int(photo.grid_w))
        own = (features[where], attention[where], cls[int(photo.slot) - int(slots.min())])
        if str(photo.image_id) not in skipped and not all(np.isfinite(values).all() for values in own):
            yield f"photo {photo.image_id} has values that were never written"


def verify_photos(folder: Path, dataset: str, root: Path) -> Iterator[Finding]:
    """Yield the photos that are no longer those that were encoded, by the hash of every file."""
    images = read_images(folder)
    rows = list(images.itertuples())
    with ThreadPoolExecutor(THREADS) as pool:
        results = pool.map(lambda photo: _changed(root, photo), rows)
        for photo, what in zip(rows, track(results, len(rows), "photos", f"hashing {dataset}"), strict=True):
            if what is not None:
                yield Finding(dataset, root / str(photo.path), what, _MANIFEST)


def _changed(root: Path, photo: Any) -> str | None:
    try:
        with (root / str(photo.path)).open("rb") as stream:
            found = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=DIGEST_BYTES)).hexdigest()
    except OSError as error:
        return f"the photo cannot be read ({error.strerror})"
    return None if found == photo.content else "the photo was changed since it was encoded"


def verify_sample(reader: FeatureReader, sample: int, seed: int, device: str | None) -> Iterator[Finding]:
    """Yield the photos of a random sample whose cached features are not what the encoder gives now.

    Args:
        reader: the features; its receipt says encoder, weights, and how photos are scaled.
        sample: photos to draw.
        seed: of the draw.
        device: torch device, see `choose_device`.
    """
    from heap.encoders.open import choose_device, open_encoder
    from heap.settings import section
    from heap.settings.models import Encoder as EncoderSettings

    receipt = reader.receipt
    dataset, weights, root = receipt.dataset, receipt.weights, Path(receipt.root)
    other = _other_weights(dataset, weights)
    if other is not None:
        yield other
        return
    settings: EncoderSettings = section({"encoder": receipt.encoder_settings}, "encoder", EncoderSettings)
    encoder = open_encoder(settings, weights, choose_device(device))
    tolerance = TOLERANCE[settings.precision]
    if receipt.storage == "uint8":
        tolerance = max(tolerance, TOLERANCE_OF_CODES)
    drawn = np.sort(np.random.default_rng(seed).permutation(len(reader))[:sample]).tolist()
    for i in track(drawn, len(drawn), "photos", f"encoding a sample of {dataset}"):
        photo = reader.images.iloc[i]
        if _changed(root, photo) is not None:
            continue  # `verify_photos` finds it; that its features differ says nothing of the store
        fresh = encoder.encode(read_photo(root / str(photo.path), receipt.max_px, receipt.resize_px)[None])
        apart = distance(fresh.features[0], reader.features(i))
        if not apart <= tolerance:
            what = f"differs from a fresh encoding by {apart:.3g} of its largest value (at most {tolerance})"
            what = f"made with other weights or another encoder: {photo.image_id} {what}"
            yield Finding(dataset, reader.folder, what, _WHOLE, store=reader.folder)


def _other_weights(dataset: str, weights: Weights) -> Finding | None:
    if weights.file is None:
        return None
    path = Path(weights.file)
    if not path.is_file():
        what = "the weights are gone, so nothing can be encoded again"
        return Finding(dataset, path, what, "bring them back, or verify with --checksums-only")
    if (sha256 := file_sha256(path)) == weights.sha256:
        return None
    what = f"other weights than the store was made with: sha256 {sha256}, the receipt says {weights.sha256}"
    return Finding(dataset, path, what, "bring the old weights back, or extract again")


def distance(fresh: npt.NDArray[np.float32], cached: npt.NDArray[np.float32]) -> float:
    """Return the largest difference of two photos' features as a share of the largest fresh value."""
    if fresh.shape != cached.shape:
        return float("inf")
    return float(np.abs(fresh - cached).max() / max(np.abs(fresh).max(), np.finfo(np.float32).tiny))
