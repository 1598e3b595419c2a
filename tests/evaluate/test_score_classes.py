"""`heap score retrieval` and `heap score semantic`: classes found without labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scoring import Called, save


@pytest.fixture
def problem(golden: Path, tmp_path: Path) -> Path:
    """The golden retrieval as files: masks, feature maps, class masks, two lists."""
    arrays = np.load(golden / "retrieval" / "problem.npz")
    (tmp_path / "features").mkdir()
    for part in ("gallery", "query"):
        names = []
        for i, labels in enumerate(arrays[f"{part}_labels"]):
            names.append(f"{part}{i:06}")
            save(tmp_path / "truth" / f"{names[-1]}.png", labels)
            save(tmp_path / "pred" / f"{names[-1]}.png", arrays[f"{part}_saliency_logits"][i] > 0.5)
            np.save(tmp_path / "features" / f"{names[-1]}.npy", arrays[f"{part}_features"][i])
        (tmp_path / f"{part}.txt").write_text("\n".join(names))
    return tmp_path


def retrieval(folder: Path, *options: str, bootstrap: int = 0) -> Called:
    given = ["--pred", "pred", "--features", "features", "--truth", "truth", "--gallery", "gallery.txt"]
    paths = [folder / word if not word.startswith("--") else word for word in [*given, "--query", "query.txt"]]
    return Called(folder, "retrieval", *paths, *options, bootstrap=bootstrap)


def told(golden: Path, name: str) -> Any:
    variants = json.loads((golden / "retrieval" / "expected.json").read_text())["variants"]
    return next(variant for variant in variants if variant["name"] == name)


def test_golden_retrieval(problem: Path, golden: Path) -> None:
    done = retrieval(problem, bootstrap=20)
    every, seven = told(golden, "21_binary_nearest"), told(golden, "7_binary_nearest")
    assert done.value("miou_21") == pytest.approx(every["mean_reported"], abs=2e-6)
    assert done.value("miou_7") == pytest.approx(seven["mean_reported"], abs=2e-6)
    assert done.about["counts"]["gallery_with_a_class"] == every["gallery_kept"]
    assert done.photos["class"].tolist() == every["query_class"]
    np.testing.assert_allclose(done.photos["similarity"], every["neighbour_similarity"], atol=2e-6)
    rows = done.table.set_index("metric")
    assert (rows["low"] <= rows["high"]).all()
    # The same from one mean vector a photo.
    for path in (problem / "features").iterdir():
        from PIL import Image

        mask = np.asarray(Image.open(problem / "pred" / f"{path.stem}.png")) > 0
        weights = mask.reshape(8, 8, 8, 8).sum(axis=(1, 3))
        values = np.load(path).astype(np.float64)
        np.save(path, (values * weights[..., None]).sum(axis=(0, 1)) / max(weights.sum(), 1))
    of_vectors = retrieval(problem)
    assert of_vectors.value("miou_21") == pytest.approx(every["mean_reported"], abs=2e-6)
    assert of_vectors.photos["nearest"].tolist() == done.photos["nearest"].tolist()


def test_other_subsets_and_wrong_ones(problem: Path) -> None:
    done = retrieval(problem, "--subset", "miou_people=15", "--subset", "miou_cars=6,7")
    assert done.table["metric"].tolist() == ["miou_21", "miou_people", "miou_cars"]
    assert "--subset miou=21" in retrieval(problem, "--subset", "miou=21").error
    assert "--subset 1,2" in retrieval(problem, "--subset", "1,2").error


def test_labels_are_brought_to_the_protocols_size(problem: Path, golden: Path) -> None:
    assert "64 x 64 px (height x width), but" in retrieval(problem, "--size-px", "32").error
    for path in (problem / "truth").iterdir():
        from PIL import Image

        save(path, np.asarray(Image.open(path)).repeat(2, axis=0).repeat(3, axis=1))
    expected = told(golden, "7_binary_nearest")["mean_reported"]
    assert retrieval(problem, "--size-px", "64").value("miou_7") == pytest.approx(expected, abs=2e-6)


def test_features_that_do_not_fit_are_named(problem: Path) -> None:
    np.save(problem / "features" / "gallery000003.npy", np.zeros((7, 8, 16), np.float32))
    error = retrieval(problem).error
    assert "gallery000003.npy: a grid of 7 x 8 does not divide a mask of 64 x 64 px" in error
    np.save(problem / "features" / "gallery000003.npy", np.zeros((8, 8, 15), np.float32))
    np.save(problem / "features" / "gallery000004.npy", np.zeros((8, 8, 14), np.float32))
    error = retrieval(problem).error  # of three lengths
    assert all(length in error for length in ("14 (gallery000004)", "15 (gallery000003)", "16 ("))
    np.save(problem / "features" / "gallery000003.npy", np.full(16, np.nan, np.float32))
    assert "expected finite floats" in retrieval(problem).error
    (problem / "features" / "gallery000003.npy").unlink()
    assert "1 photos have no prediction in" in retrieval(problem).error


def semantic(folder: Path, *options: str | Path, truth: Path | None = None, bootstrap: int = 0) -> Called:
    given = ("--pred", folder / "pred", "--truth", truth or folder / "truth")
    return Called(folder, "semantic", *given, *options, bootstrap=bootstrap)


def test_clusters_are_matched_to_classes(tmp_path: Path) -> None:
    labels = np.zeros((6, 8), np.uint8)
    labels[1:3, 1:5], labels[4:, :] = 2, 1
    labels[0, 0] = 255
    clusters = np.choose(labels % 255, [0, 9, 4])
    for name in ("a", "b"):
        save(tmp_path / "truth" / f"{name}.png", labels)
        save(tmp_path / "pred" / f"{name}.png", clusters)
    done = semantic(tmp_path, "--classes", "3", bootstrap=20)
    assert done.value("miou_3") == 1
    assert done.value("nmi") == pytest.approx(1)
    assert done.photos["acc"].tolist() == [1, 1]
    assert done.table.set_index("metric")["low"].isna().to_dict() == {
        "miou_3": False, "miou_shuffled": True, "miou_objects": False, "miou_objects_shuffled": True, "nmi": False,
        "nmi_shuffled": True,
    }  # fmt: skip
    # A label is wrong in the truth, and a cluster in the prediction.
    wrong = semantic(tmp_path, "--classes", "2").error
    assert f"{tmp_path / 'truth' / 'a.png'}: label 2, expected 0 to 1 or 255" in wrong
    assert f"{tmp_path / 'pred'}" not in wrong
    save(tmp_path / "pred" / "b.png", np.full((6, 8), 255))
    assert "b.png: holds 255" in semantic(tmp_path, "--classes", "3").error
    save(tmp_path / "pred" / "b.png", np.zeros((8, 6)))
    assert "8 x 6 px (height x width)" in semantic(tmp_path, "--classes", "3").error
    shutil.move(tmp_path / "pred" / "b.png", tmp_path / "pred" / "c.png")
    assert "1 predictions of" in semantic(tmp_path).error


def test_coco_instances_are_painted_as_classes(tmp_path: Path) -> None:
    def box(category: int, x: int, y: int, side: int, crowd: int = 0) -> dict[str, Any]:
        polygon = [[x, y, x + side, y, x + side, y + side, x, y + side]]
        one = {"image_id": 1, "category_id": category, "bbox": [x, y, side, side], "segmentation": polygon}
        return {**one, "iscrowd": crowd}

    truth = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 12, "width": 16}],
        # The small one lies within the large one, and the crowd below both.
        "annotations": [box(44, 2, 2, 3), box(7, 0, 0, 8), box(7, 4, 4, 8, crowd=1)],
        "categories": [{"id": 44, "name": "cup"}, {"id": 7, "name": "table"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(truth))
    expected = np.zeros((12, 16), np.uint8)
    expected[4:12, 4:12] = 255
    expected[:8, :8] = 1
    expected[2:5, 2:5] = 2
    save(tmp_path / "pred" / "a.png", np.choose(expected % 255, [0, 5, 3]))
    done = semantic(tmp_path, truth=tmp_path / "instances.json")
    assert done.value("miou_3") == 1
    # Ignored pixels count nowhere.
    save(tmp_path / "pred" / "a.png", np.where(expected == 255, 5, np.choose(expected % 255, [0, 5, 3])))
    assert semantic(tmp_path, truth=tmp_path / "instances.json").value("miou_3") == 1
