"""What each codec makes of real features: bytes a photo, MB/s written and read; and what 8 bits do to a head's output.

    python benchmarks/codecs.py
    python benchmarks/codecs.py --photos ~/pictures --count 200 --out codecs.csv

Features of real photos, since noise tells nothing about compression: hand-made descriptors, an untrained ViT-S/8, and
MobileNetV2 (ImageNet, supervised; a test bed, no result) where its weights are given. MB/s count float16 bytes of the
same features for every row, so that rows compare; all is in memory, so that the codec decides and not the disk.

The second table trains a head on the float16 features of the descriptors and gives it the same features out of 8 bits:
how far its foreground probability P moves, and how its masks (P > 0.5) of the two agree.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from measuring import PHOTOS, in_turns, photo_files, show, table_of
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.storage import MemoryStore

from heap.cache.pipeline import encode_shards
from heap.cache.plan import plan
from heap.cache.quantise import quantise, restore
from heap.cache.reader import FeatureReader, store_folder
from heap.cache.store import FeatureStore
from heap.data.photos import photo_size, read_photo
from heap.encoders.descriptors import Descriptors
from heap.encoders.vit import load
from heap.files import write_json
from heap.receipts import Weights
from heap.settings.models import DescriptorEncoder, HeadSettings, LossSettings, TrainSettings, VitEncoder

WEIGHTS = PHOTOS.parents[1] / "weights" / "mobilenetv2_100_imagenet.safetensors"
_MEAN, _STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def descriptors(files: list[Path]) -> Iterator[np.ndarray]:
    encoder = Descriptors(DescriptorEncoder(kind="descriptors"))
    for path in files:
        yield encoder.encode([read_photo(path)]).features[0]


def untrained_vit(files: list[Path]) -> Iterator[np.ndarray]:
    settings = VitEncoder(kind="vit", architecture="dino_vits8", weights="random")
    encoder = load(settings, Weights(source="random"), "cpu")
    for path in files:
        yield encoder.encode([read_photo(path, None, (224, 224))]).features[0]


def mobilenet(files: list[Path]) -> Iterator[np.ndarray]:
    import timm
    from safetensors.torch import load_file

    model = timm.create_model("mobilenetv2_100", features_only=True, out_indices=[3]).eval()
    wrong = model.load_state_dict(load_file(WEIGHTS), strict=False)
    assert not wrong.missing_keys, wrong.missing_keys
    for path in files:
        pixels = torch.from_numpy((read_photo(path) / np.float32(255) - _MEAN) / _STD).permute(2, 0, 1)[None]
        with torch.inference_mode():
            yield model(pixels)[0][0].flatten(1).T.contiguous().numpy()  # (N, 96), a patch is 16 px


CODECS: dict[str, list[Any]] = {
    "raw": [Crc32cCodec()],
    "zstd 1": [ZstdCodec(level=1), Crc32cCodec()],
    "zstd 5": [ZstdCodec(level=5), Crc32cCodec()],
    "blosc lz4, shuffle": [BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"), Crc32cCodec()],
    "blosc lz4, bitshuffle": [BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"), Crc32cCodec()],
    "blosc zstd 1, shuffle": [BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"), Crc32cCodec()],
    "blosc zstd 1, bitshuffle": [BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"), Crc32cCodec()],
}


def stored(values: np.ndarray, codecs: list[Any], chunk: int) -> tuple[MemoryStore, Any]:
    store = MemoryStore()
    array = zarr.create_array(
        store, shape=values.shape, chunks=(chunk, values.shape[1]), shards=values.shape, dtype=values.dtype,
        compressors=codecs, filters=None, fill_value=0,
    )  # fmt: skip
    return store, array


def codec_rows(name: str, photos: list[np.ndarray], repeats: int, seconds: float) -> list[dict[str, Any]]:
    """Measure every codec on float16 features and on 8-bit codes; a chunk is a photo of the median size."""
    chunk = int(np.median([len(photo) for photo in photos]))
    codes = [quantise(photo, name) for photo in photos]
    ranges_bytes = codes[0][1].nbytes
    whole = {
        "float16": np.concatenate(photos).astype(np.float16),
        "uint8": np.concatenate([code for code, _ in codes]),
    }
    whole = {kind: values[: len(values) // chunk * chunk] for kind, values in whole.items()}
    jobs: dict[str, Callable[[], Any]] = {}
    stores = {}
    for kind, values in whole.items():
        for codec, chain in CODECS.items():
            stores[kind, codec], array = stored(values, chain, chunk)
            jobs[f"{kind}/{codec}/write"] = lambda array=array, values=values: array.__setitem__(..., values)
            jobs[f"{kind}/{codec}/read"] = lambda array=array: array[...]
    taken = in_turns(jobs, repeats, seconds)
    rows = []
    mb = whole["float16"].nbytes / 1e6
    for kind, codec in stores:
        size = sum(len(value.to_bytes()) for value in stores[kind, codec]._store_dict.values())
        size_photo = size / len(whole[kind]) * np.mean([len(photo) for photo in photos])
        size_photo += ranges_bytes if kind == "uint8" else 0
        if not rows:
            raw = size_photo
        rows.append(
            {
                "features": name, "kept as": kind, "codec": codec, "kB a photo": size_photo / 1e3,
                "of float16 raw": size_photo / raw,
                "write MB/s": mb / float(np.median(taken[f"{kind}/{codec}/write"])),
                "read MB/s": mb / float(np.median(taken[f"{kind}/{codec}/read"])),
            }
        )  # fmt: skip
    return rows


def store_of(files: list[Path], folder: Path) -> FeatureReader:
    """Extract descriptors of photos into a store."""
    encoder = Descriptors(DescriptorEncoder(kind="descriptors"))
    layout = plan(table_of(files, [photo_size(path) for path in files]), 8, encoder.dim * 2, lambda h, w: (h, w))
    name = "1" * 16
    store = FeatureStore.create(store_folder(folder / "set", name), layout, encoder.dim, 1, {"fingerprint": name})
    encode_shards(store, range(layout.shards), encoder, lambda p: read_photo(p.path), 1, "fail", lambda n: None)
    receipt = {
        "dataset": "set", "fingerprint": name, "encoder": encoder.label, "patch_px": 8, "dim": encoder.dim,
        "heads": 1, "attention_kind": encoder.attention_kind, "weights": {"source": "random"}, "encoder_settings": {},
        "storage": "float16", "rows_per_shard": layout.rows_per_shard, "shards": layout.shards, "skipped": [],
    }  # fmt: skip
    write_json(folder / "set.json", receipt)
    return FeatureReader(folder / "set.json")


def effect(files: list[Path], iterations: int) -> dict[str, Any]:
    """Compare a trained head's output on float16 features and on the same features out of 8 bits."""
    from heap.head.batches import TrainingSet
    from heap.head.fit import fit

    with tempfile.TemporaryDirectory(prefix="heap-benchmark-") as folder:
        reader = store_of(files, Path(folder))
        data = TrainingSet(reader, None, "robust", 1.0)
        settings = TrainSettings(
            loss=LossSettings(variant="robust"), steps=iterations, batch_size=16, head=HeadSettings()
        )
        head = fit(data, reader.dim, settings, "cpu", 0)[0]
        moved, agree, rms = [], [], []
        for i in range(len(reader)):
            values = reader.features(i)
            eight = restore(*quantise(values, "photo"))
            with torch.inference_mode():
                p, q = (head(torch.from_numpy(v)[None], torch.ones(1, len(v), dtype=torch.bool)).foreground[0].numpy()
                        for v in (values, eight))  # fmt: skip
            moved.append(np.abs(p - q).max())
            a, b = p > 0.5, q > 0.5
            agree.append(1.0 if not (a | b).any() else (a & b).sum() / (a | b).sum())
            rms.append(np.linalg.norm(eight - values) / np.linalg.norm(values - values.mean(axis=0)))
        return {
            "features": "descriptors", "photos": len(reader), "error of features": float(np.mean(rms)),
            "mean of max |dP|": float(np.mean(moved)), "max |dP|": float(np.max(moved)),
            "IoU of masks, mean": float(np.mean(agree)), "lowest": float(np.min(agree)),
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--count", type=int, default=24, help="photos of the codecs' table")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15, help="no new round of an encoder after this")
    parser.add_argument("--iterations", type=int, default=60, help="of the head of the second table; 0 leaves it out")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    files = photo_files(asked.photos, asked.count)
    encoders = {"descriptors": descriptors, "untrained ViT-S/8": untrained_vit}
    if WEIGHTS.is_file():
        encoders["MobileNetV2 (test bed)"] = mobilenet
    rows = []
    for name, encode in encoders.items():
        rows += codec_rows(name, list(encode(files)), asked.repeats, asked.seconds)
    show("codecs on real features", rows, asked.out)
    if asked.iterations:
        show("a head on 8-bit features", [effect(files, asked.iterations)], None)


if __name__ == "__main__":
    main()
