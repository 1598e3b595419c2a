from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heap.evaluate import retrieval
from heap.evaluate.retrieval import Described, describe, gallery_label, patch_weights, prototype, restricted

CLASSES = 21
PATCH_PX = 8
VARIANTS = [f"{n}_{w}" for n in (21, 7) for w in ("binary_nearest", "logit_nearest", "binary_bilinear")]


@pytest.fixture(scope="module")
def folder(golden: Path) -> Path:
    return golden / "retrieval"


@pytest.fixture(scope="module")
def problem(folder: Path) -> Any:
    return dict(np.load(folder / "problem.npz"))


@pytest.fixture(scope="module")
def expected(folder: Path) -> Any:
    return json.loads((folder / "expected.json").read_text())


def described(problem: Any, part: str, weighting: str, upsampling: Any) -> list[Described]:
    photos = []
    for features, logits, labels in zip(
        *(problem[f"{part}_{name}"] for name in ("features", "saliency_logits", "labels")), strict=True
    ):
        mask = logits > 0.5  # MaskContrast compares the raw logit
        pixels = np.where(mask, logits.astype(np.float32), 0) if weighting == "logit" else mask
        weights = patch_weights(pixels, PATCH_PX, upsampling)
        flat = features.astype(np.float32).reshape(-1, features.shape[-1])
        photos.append(describe(flat, weights, mask, labels, CLASSES))
    return photos


@pytest.mark.parametrize("name", VARIANTS)
def test_golden(name: str, folder: Path, problem: Any, expected: Any) -> None:
    (told,) = (variant for variant in expected["variants"] if variant["name"] == name)
    count, weighting, upsampling = name.split("_")
    subset = [expected["class_names"].index(c) for c in expected["kept_in_7"]] if count == "7" else None
    gallery = [restricted(p, subset) for p in described(problem, "gallery", weighting, upsampling)]
    queries = [restricted(p, subset) for p in described(problem, "query", weighting, upsampling)]

    answer = retrieval.retrieve(gallery, queries)
    assert len(answer.kept) == told["gallery_kept"]
    assert answer.labels.tolist() == told["gallery_labels"]
    assert answer.neighbours.tolist() == told["neighbour_in_kept_gallery"]
    np.testing.assert_allclose(answer.similarity, told["neighbour_similarity"], atol=2e-6)
    assert answer.classes.tolist() == told["query_class"]
    prototypes = np.load(folder / "gallery_prototypes.npz")[name]
    np.testing.assert_allclose(np.stack([gallery[i].prototype for i in answer.kept]), prototypes, atol=1e-5)

    right, wrong, missed = retrieval.tally(queries, answer.classes)
    assert right.tolist() == told["tp"]
    assert wrong.tolist() == told["fp"]
    assert missed.tolist() == told["fn"]
    ious = retrieval.class_ious(right, wrong, missed)
    for class_name, iou in told["iou_per_class"].items():
        assert ious[expected["class_names"].index(class_name)] == pytest.approx(iou or 0, abs=2e-6)
    assert ious.mean() == pytest.approx(told["mean_over_all_21"], abs=2e-6)
    assert retrieval.miou(gallery, queries, subset) == pytest.approx(told["mean_reported"], abs=2e-6)


def test_of_equal_classes_the_larger_index_wins() -> None:
    assert gallery_label(np.array([900, 0, 5, 5])) == 3
    assert gallery_label(np.array([900, 0, 6, 5])) == 2
    assert gallery_label(np.array([900, 0, 0, 0])) is None


@given(st.integers(1, 25), st.integers(1, 25), st.integers(1, 9), st.integers(0, 99))
def test_weights_are_pixels_of_the_mask_within_each_patch(height: int, width: int, patch_px: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) > 0.5
    weights = patch_weights(mask, patch_px)
    assert weights.shape == (-(-height // patch_px), -(-width // patch_px))
    for row in range(weights.shape[0]):
        for column in range(weights.shape[1]):
            part = mask[row * patch_px : (row + 1) * patch_px, column * patch_px : (column + 1) * patch_px]
            assert weights[row, column] == part.sum()


def test_bilinear_weights_are_the_mean_over_upsampled_features() -> None:
    from torch import from_numpy
    from torch.nn.functional import interpolate

    random = np.random.default_rng(0)
    mask = random.random((20, 27)) > 0.6  # a grid of 3 x 4, cropped
    features = random.normal(size=(3, 4, 5)).astype(np.float32)
    grid = from_numpy(features).permute(2, 0, 1)[None]
    pixels = interpolate(grid, scale_factor=8, mode="bilinear")[0, :, :20, :27].numpy()
    mean = pixels[:, mask].mean(axis=1)
    ours = prototype(features.reshape(-1, 5), patch_weights(mask, 8, "bilinear").ravel())
    np.testing.assert_allclose(ours, mean / np.linalg.norm(mean), atol=1e-6)


def photo(inside: list[int], outside: list[int], direction: list[float]) -> Described:
    return Described(np.array(inside), np.array(outside), np.array(direction, np.float32))


def test_perfect_masks_and_features_give_1() -> None:
    gallery = [photo([0, 4, 0], [5, 0, 0], [1, 0]), photo([0, 0, 3], [5, 0, 0], [0, 1])]
    assert retrieval.miou(gallery, gallery) == 1
    assert retrieval.miou(gallery, gallery, [2]) == 1


def test_swapped_classes_leave_background_alone() -> None:
    gallery = [photo([0, 4, 0], [5, 0, 0], [1, 0]), photo([0, 0, 3], [5, 0, 0], [0, 1])]
    queries = [photo([0, 4, 0], [5, 0, 0], [0, 1]), photo([0, 0, 3], [5, 0, 0], [1, 0])]
    assert retrieval.miou(gallery, queries) == pytest.approx(1 / 3)
    assert retrieval.miou(gallery, queries, [1, 2]) == 0


def test_an_empty_query_paints_nothing() -> None:
    gallery = [photo([0, 4, 0], [5, 0, 0], [1, 0])]
    queries = [photo([0, 0, 0], [6, 2, 0], [0, 0])]
    right, wrong, missed = retrieval.tally(queries, retrieval.retrieve(gallery, queries).classes)
    assert (right.tolist(), wrong.tolist(), missed.tolist()) == ([6, 0, 0], [2, 0, 0], [0, 2, 0])


def test_without_a_gallery_all_is_background() -> None:
    queries = [photo([1, 3, 0], [5, 1, 0], [1, 0])]
    right, wrong, missed = retrieval.tally(queries, retrieval.retrieve([], queries).classes)
    assert (right.tolist(), wrong.tolist(), missed.tolist()) == ([6, 0, 0], [4, 0, 0], [0, 4, 0])


def test_unknown_labels_are_refused() -> None:
    labels = np.array([[0, 3, 255]], np.uint8)
    with pytest.raises(ValueError, match="label 3, expected 0 to 2 or 255"):
        describe(np.ones((1, 2), np.float32), np.ones((1, 1)), labels > 0, labels, 3)


@given(st.integers(0, 99), st.randoms())
def test_the_order_of_photos_does_not_show(seed: int, random: Any) -> None:
    values = np.random.default_rng(seed)

    def draw() -> list[Described]:
        return [photo(values.integers(0, 9, 4), values.integers(0, 9, 4), values.normal(size=3)) for _ in range(6)]

    gallery, queries = draw(), draw()
    shuffled = [random.sample(part, len(part)) for part in (gallery, queries)]
    assert retrieval.miou(gallery, queries) == retrieval.miou(*shuffled)
