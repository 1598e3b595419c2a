"""`heap cache verify`: each damage is found, named, and repaired by computing just what is damaged."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from tiny_cache import Tiny, flip, payload
from typer.testing import CliRunner, Result

from heap.cache.notes import note_path, read_description, stamp, write_note
from heap.cache.reader import FeatureReader
from heap.cache.verify import distance, wrong_in_plan
from heap.cli import app
from heap.errors import CacheError
from heap.files import read_json, write_json


@pytest.fixture
def tiny(made: Tiny, tmp_path: Path) -> Tiny:
    """A copy to damage. Its photos are those of the original: receipts name them by their whole path."""
    shutil.copytree(made.features, tmp_path / "features")
    copy = Tiny.__new__(Tiny)
    copy.__dict__ |= made.__dict__ | {"features": tmp_path / "features", "receipt": tmp_path / "features/set.json"}
    return copy


def store(tiny: Tiny) -> Path:
    return FeatureReader(tiny.receipt).folder


def verify(tiny: Tiny, *options: str) -> Result:
    return CliRunner().invoke(app, ["--quiet", "cache", "verify", "--folder", str(tiny.features), *options])


def test_a_whole_cache_is_called_whole(tiny: Tiny) -> None:
    result = verify(tiny)
    assert result.exit_code == 0, result.output
    assert result.output == "set: whole\n"
    assert json.loads(verify(tiny, "--json").output) == {"findings": [], "repaired": []}


Damage = Callable[[Path], object]


def delete_inner_chunks(folder: Path) -> None:
    """Write the shard again without its first photo's chunk, as a faulty tool would: all of Zarr's checksums hold."""
    array = zarr.open_array(folder / "features", mode="r+")
    array[: array.chunks[0]] = np.nan


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: flip(folder / "features/c/2/0", 40), r"features/c/2/0: was changed: CRC-32"),
        (lambda folder: flip(folder / "cls/c/1/0", -1), r"cls/c/1/0: was changed"),
        (lambda folder: (folder / "attention/c/3/0").unlink(), r"attention/c/3/0: is gone"),
        (lambda folder: (folder / "features/c/0/0").write_bytes(b"short"), r"features/c/0/0: is cut: 5 bytes"),
        (lambda folder: shutil.copy(folder / "features/c/0/0", folder / "features/c/2/0"), r"features/c/2/0: "),
        (delete_inner_chunks, r"features/c/0/0: "),
        (lambda folder: note_path(folder, 1).unlink(), r"shards/1\.json: shard 1 is missing"),
        (lambda folder: flip(note_path(folder, 1), 30), r"shards/1\.json: .*(damaged|not readable)"),
    ],
    ids=["flip", "flip at end", "deleted", "cut", "another shard", "deleted chunk", "no note", "flipped note"],
)
def test_a_damaged_shard_is_named_and_repaired_alone(made: Tiny, tiny: Tiny, damage: Damage, said: str) -> None:
    folder = store(tiny)
    damage(folder)
    result = verify(tiny, "--checksums-only", "--no-photos")
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 3, result.output
    assert re.search(said, result.output), result.output
    fixed = verify(tiny, "--checksums-only", "--repair")
    assert fixed.exit_code == 1
    assert "snakemake --cores all" in fixed.output
    assert not tiny.receipt.exists(), "snakemake would not extract again while the receipt is there"
    shards = read_description(folder)["shards"]
    assert len(list((folder / "shards").glob("*.json"))) == shards - 1
    assert 0 < tiny.extract()["photos_encoded"] < 11
    tiny.gather()
    assert payload(folder) == payload(store(made))
    assert tiny.receipt.read_bytes() == made.receipt.read_bytes(), "nothing downstream needs to run again"
    assert verify(tiny).exit_code == 0


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: flip(folder / "images.parquet", 60), "images.parquet"),
        (lambda folder: flip(folder / "features/zarr.json", 200), r"features/zarr\.json: was changed"),
        (lambda folder: flip(folder / "store.json", 20), r"store\.json: .*(damaged|not readable)"),
        (lambda folder: (folder / "store.json").unlink(), r"store\.json is missing"),
        (shutil.rmtree, "no feature store"),
    ],
    ids=["plan", "metadata", "description", "no description", "gone"],
)
def test_a_damaged_description_is_named_and_the_store_made_again(
    made: Tiny, tiny: Tiny, damage: Damage, said: str
) -> None:
    folder = store(tiny)
    damage(folder)
    result = verify(tiny, "--checksums-only", "--repair")
    assert result.exit_code == 1
    assert re.search(said, result.output), result.output
    assert not folder.exists()
    tiny.extract()
    tiny.gather()
    assert payload(folder) == payload(store(made))


def test_photos_that_changed_or_went_are_named_and_the_store_is_kept(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path)
    folder = tiny.make().folder
    tiny.draw("03.png", (48, 40), seed=99)
    (tiny.photos / "05.png").unlink()
    result = verify(tiny, "--repair")
    assert result.exit_code == 1
    assert f"{tiny.photos / '03.png'}: the photo was changed since it was encoded" in result.output
    assert f"{tiny.photos / '05.png'}: the photo cannot be read (No such file or directory)" in result.output
    assert "set: 2 findings" in result.output
    assert folder.exists()
    assert verify(tiny, "--no-photos").exit_code == 0, "the features are still those of the photos that were encoded"


def test_a_store_of_another_encoder_is_named_though_every_checksum_holds(tiny: Tiny) -> None:
    """What a wrong copy, or a library that computes something else today, would leave."""
    reader = FeatureReader(tiny.receipt)
    array = zarr.open_array(reader.folder / "features", mode="r+")
    array[:] = np.asarray(array[:])[:, ::-1]
    for shard in range(reader.receipt.shards):
        note = read_json(note_path(reader.folder, shard))
        note["files"] = {path: stamp(reader.folder / path) for path in note["files"]}
        write_note(note_path(reader.folder, shard), note)
    assert verify(tiny, "--checksums-only").exit_code == 0
    result = verify(tiny, "--sample", "3")
    assert result.exit_code == 1
    assert "set: 3 findings" in result.output
    assert "made with other weights or another encoder" in result.output


def test_other_weights_are_named(tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    weights = tmp_path / "w.safetensors"
    architecture = "test_vit.r160_in1k"

    def draw() -> None:
        model = timm.create_model(architecture, pretrained=False, num_classes=0)
        save_file(model.state_dict(), weights)

    draw()
    tiny = Tiny(tmp_path / "tiny", photos=2, encoder=architecture)
    tiny.freeze(weights=str(weights))
    tiny.make()
    assert verify(tiny).exit_code == 0
    draw()
    result = verify(tiny)
    assert result.exit_code == 1
    assert f"{weights}: other weights than the store was made with: sha256" in result.output
    weights.unlink()
    assert "the weights are gone" in verify(tiny).output
    assert verify(tiny, "--checksums-only").exit_code == 0


def test_a_store_under_anothers_name_is_refused(tiny: Tiny) -> None:
    folder = store(tiny)
    folder.rename(folder.with_name(f"{'0' * 16}.zarr"))
    receipt = read_json(tiny.receipt)
    write_json(tiny.receipt, {**receipt, "fingerprint": "0" * 16})
    assert "under another's name" in verify(tiny, "--checksums-only").output
    with pytest.raises(CacheError, match="receipt of another store"):
        FeatureReader(tiny.receipt)


def test_an_unknown_dataset_is_an_error_that_lists_the_known(tiny: Tiny) -> None:
    result = verify(tiny, "nothing")
    assert isinstance(result.exception, CacheError)
    assert "no features of nothing (there are: set)" in str(result.exception)


def test_impossible_plans_are_reported(tiny: Tiny) -> None:
    folder = store(tiny)
    images, described = pd.read_parquet(folder / "images.parquet"), read_description(folder)
    assert wrong_in_plan(images, described) == []
    same = images.assign(offset=images["offset"].where(images.index != 1, images["offset"][0]))
    assert "its plan lets photos overlap" in wrong_in_plan(same, described)
    shifted = images.assign(offset=images["offset"] + 30)
    assert "its plan lets a photo cross a shard" in wrong_in_plan(shifted, described)
    outside = images.assign(shard=images["shard"] + 1)
    assert "its plan has photos outside its shards" in wrong_in_plan(outside, described)
    twice = images.assign(slot=images["slot"].where(images.index != 1, images["slot"][0]))
    assert wrong_in_plan(twice, described) == ["its plan mixes up the photos' own vectors"]


def test_distance_is_relative_to_the_largest_value() -> None:
    fresh = np.array([[4.0, -8.0]], np.float32)
    assert distance(fresh, np.array([[4.0, -7.0]], np.float32)) == 1 / 8
    assert distance(fresh, fresh[:, :1]) == np.inf
    assert not distance(fresh, fresh * np.nan) <= 1
