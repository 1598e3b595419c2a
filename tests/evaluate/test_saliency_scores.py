from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy.sparse.linalg import cg
from torch.nn.functional import interpolate

from heap.bilateral import BilateralGrid
from heap.evaluate.predictions import PatchMap
from heap.evaluate.saliency import (
    PEERS_VARIANTS,
    SOLVER_VARIANTS,
    THRESHOLDS,
    count,
    f_found,
    score,
    score_refined,
    score_tokencut,
    solver_variants,
    summary,
    truth_of,
)
from heap.grid import PatchGrid

TOLERANCE = 2e-6  # of the golden files, which are rounded to 6 decimals
UPSAMPLED = 5e-5  # of maps that were upsampled in float32, which may carry a pixel across a threshold
FIELDS = {"iou": "iou", "acc": "acc", "fmax": "max_f_found"}

masks = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@pytest.fixture(scope="module")
def folder(golden: Path) -> Path:
    return golden / "saliency_metrics"


@pytest.fixture(scope="module")
def expected(folder: Path) -> Any:
    return json.loads((folder / "expected.json").read_text())


def grey(path: Path) -> Any:
    return np.asarray(Image.open(path))


def check(scores: Any, case: Any, tolerance: float = TOLERANCE) -> None:
    for variant in ("multi", "single"):
        for theirs, ours in FIELDS.items():
            if theirs in case[f"found_{variant}"]:
                value = case[f"found_{variant}"][theirs]
                assert getattr(scores[variant], ours) == pytest.approx(value, abs=tolerance), (variant, ours)


def test_golden_predictions(folder: Path, golden: Path, expected: Any) -> None:
    predictions, singles = np.load(folder / "predictions.npz"), np.load(folder / "single_masks.npz")
    curves = np.load(folder / "found_f_curves.npz")
    curve_of = dict(zip(curves["ids"], curves["f"], strict=True))
    photos = []
    for case in expected["per_image"]:
        name, curve = case["id"], curve_of[case["id"]]
        soft = predictions[name].astype(np.float32)
        truth = truth_of(grey(golden / "gt" / f"{name}.png"), "255")
        scores = score(soft, truth)
        check(scores, case)
        np.testing.assert_allclose(f_found(count(soft, truth)), curve, atol=TOLERANCE)
        # Of two thresholds that are as good to float32 the peers may have the other.
        assert curve.max() - curve[f_found(count(soft, truth)).argmax()] <= TOLERANCE
        assert scores["multi"].f_curve.max() == pytest.approx(case["tokencut"]["fmax"], abs=TOLERANCE)
        # The mask that `single` scores, told by its own figures.
        kept = np.unpackbits(singles[name], count=soft.size).reshape(soft.shape).astype(bool)
        assert scores["single"].acc == (kept == truth).mean()
        photos.append(scores)
    for variant in ("multi", "single"):
        figures = summary([photo[variant] for photo in photos])
        for theirs, ours in FIELDS.items():
            assert figures[ours] == pytest.approx(expected["mean"][f"found_{variant}"][theirs], abs=TOLERANCE)
    assert summary([photo["multi"] for photo in photos])["max_f"] == pytest.approx(
        expected["mean"]["tokencut"]["fmax"], abs=TOLERANCE
    )


def test_golden_dataset_curve_of_found(folder: Path, golden: Path, expected: Any) -> None:
    predictions = np.load(folder / "predictions.npz")
    curves = [
        f_found(count(predictions[name].astype(np.float32), grey(golden / "gt" / f"{name}.png") == 255))
        for name in predictions
    ]
    mean = np.mean(curves, axis=0)
    told = expected["mean"]["found_dataset_curve_max"]
    assert mean.max() == pytest.approx(told["fmax"], abs=TOLERANCE)
    assert mean[told["threshold_index"]] == pytest.approx(told["fmax"], abs=TOLERANCE)


def test_golden_edge_cases(folder: Path, expected: Any) -> None:
    maps = np.load(folder / "edge_cases.npz")
    assert expected["edge_cases"]
    for case in expected["edge_cases"]:
        soft, grey_truth = maps[f"pred_{case['name']}"].astype(np.float32), maps[f"gt_{case['name']}"]
        check(score(soft, truth_of(grey_truth, "255")), case)
        tokencut = score(soft, truth_of(grey_truth, "nonzero"))["multi"]
        assert tokencut.f_curve.max() == pytest.approx(case["tokencut"]["fmax"], abs=TOLERANCE)
        assert tokencut.acc == pytest.approx(case["tokencut"]["acc"], abs=TOLERANCE)
        # TokenCut's IoU of nothing and nothing is NaN, ours 0 like FOUND's.
        assert tokencut.iou == pytest.approx(case["tokencut"]["iou"] or 0.0, abs=TOLERANCE)


def test_golden_patch_logits(folder: Path, golden: Path, expected: Any) -> None:
    grids = np.load(folder / "patch_logits.npz")
    photos = []
    for case in expected["patch_logits"]:
        size = case["h"], case["w"]
        soft = PatchGrid(size, size, 8).soft_map(grids[f"{case['id']}_logits"])
        scores = score(soft, grey(golden / "gt" / f"{case['id']}.png") == 255)
        check(scores, case, UPSAMPLED)
        assert abs(np.count_nonzero(soft > 0.5) - case["mask_area_multi"]) <= 2
        if f"{case['id']}_soft" in grids:
            np.testing.assert_allclose(soft, grids[f"{case['id']}_soft"], atol=2e-7)
        photos.append(scores)
    for variant in ("multi", "single"):
        figures = summary([photo[variant] for photo in photos])
        for theirs, ours in FIELDS.items():
            told = expected["mean"][f"patch_logits_found_{variant}"][theirs]
            assert figures[ours] == pytest.approx(told, abs=UPSAMPLED)


def test_golden_maps_of_8_bits(folder: Path, golden: Path, expected: Any) -> None:
    for case in expected["png8"]["per_image"]:
        soft = grey(folder / case["file"]).astype(np.float32) / np.float32(255)
        multi = score(soft, grey(golden / "gt" / f"{case['id']}.png") == 255)["multi"]
        assert multi.max_f_found == pytest.approx(case["found_fmax_direct_float32"], abs=TOLERANCE)
        assert multi.iou == pytest.approx(case["found_multi_via_logits"]["iou"], abs=TOLERANCE)


def test_golden_figures_after_the_bilateral_solver(golden: Path) -> None:
    folder = golden / "bilateral_solver"
    expected = json.loads((folder / "expected.json").read_text())
    refined, before = [], []
    for case in expected["cases"]:
        binary, truth = grey(folder / case["coarse"]).astype(bool), grey(folder / case["gt"]) == 255
        grid = BilateralGrid.of(np.array(Image.open(folder / case["image"]).convert("RGB")))
        # The peer's map came through a sigmoid, so that the lowest threshold takes everything.
        before.append(score(np.where(binary, np.float32(0.999), np.float32(0.001)), truth))
        refined.append(score_refined(binary, truth, grid, PEERS_VARIANTS))
        for mode in ("multi", "single"):
            scores, told = refined[-1][f"{mode}+bs-peers"], case[mode]
            assert scores.accepted == told["accepted"], case["name"]
            for theirs, ours in FIELDS.items():
                # A refused output falls back to the whole map, also in `single`.
                assert getattr(before[-1][mode], ours) == pytest.approx(told["score_before"][theirs], abs=TOLERANCE)
                told_after = told["score_after_solver"][theirs]
                assert getattr(scores, ours) == pytest.approx(told_after, abs=TOLERANCE), (case["name"], mode, ours)
    for mode in ("multi", "single"):
        figures = summary([scores[f"{mode}+bs-peers"] for scores in refined])
        for theirs, ours in {"iou_pred": "iou", "acc_pred": "acc", "f_max": "max_f_found"}.items():
            told = expected["means"][mode]["after_solver"][theirs]
            assert figures[ours] == pytest.approx(told, abs=TOLERANCE)


def reference_of_tokencut(soft: Any, truth: Any) -> dict[str, float]:
    """TokenCut's figures by plain loops, of its rule as golden/saliency_metrics/README.md states it."""
    curve = []
    for k in range(255):
        above = soft > k / 255
        right, found, true = (above & truth).sum(), above.sum(), truth.sum()
        precision, recall = right / found if found else 1.0, right / true if true else 1.0
        below = 0.3 * precision + recall
        curve.append(1.3 * precision * recall / below if below else 0.0)
    binary = soft > 0.5
    return {
        "iou": (binary & truth).sum() / (binary | truth).sum(), "acc": (binary == truth).mean(), "max_f": max(curve),
    }  # fmt: skip


def reference_solver(photo: Any, mask: Any) -> Any:
    """Barron and Poole's solver written out: a dictionary of vertices, dense matrices, scipy's conjugate gradients."""
    yuv = photo.astype(float) @ np.array(YUV).T + [0, 128, 128]
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]]
    places = np.concatenate([np.stack([rows, columns], -1) // 16, (yuv / [16, 8, 8]).astype(int)], -1).reshape(-1, 5)
    number = {place: i for i, place in enumerate(dict.fromkeys(map(tuple, places.tolist())))}
    of_pixel = np.array([number[tuple(place)] for place in places.tolist()])
    blur = 10.0 * np.eye(len(number))
    for place, i in number.items():
        for axis in range(5):
            for step in (-1, 1):
                other = number.get((*place[:axis], place[axis] + step, *place[axis + 1 :]))
                if other is not None:
                    blur[i, other] = 1
    count = np.bincount(of_pixel).astype(float)
    n = np.ones(len(number))
    for _ in range(10):
        n = np.sqrt(n * count / (blur @ n))
    system = 256 * (np.diag(n * (blur @ n)) - n[:, None] * blur * n) + np.diag(0.999 * count)
    splat = np.bincount(of_pixel, weights=mask.ravel())
    jacobi = np.diag(1 / np.maximum(np.diag(system), 1e-5))
    solved, _ = cg(system, 0.999 * splat, x0=splat / count, rtol=1e-5, atol=0, maxiter=25, M=jacobi)
    return solved[of_pixel].reshape(mask.shape)


YUV = [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1))
def test_tokencuts_reading_is_that_of_its_rule_written_out(seed: int) -> None:
    random = np.random.default_rng(seed)
    # A photo of whole patches, as TokenCut makes it, 5 x 6 patches of 8 px; no luma on a border of two cells.
    photo = (random.integers(0, 12, (40, 48, 3)) // 3 * 60 + 7).astype(np.uint8)
    grid, truth = (random.random((5, 6)) > 0.6).astype(np.float32), random.random((40, 48)) > 0.5
    patches = PatchMap(grid, PatchGrid((40, 48), (40, 48), 8))
    mask = patches.nearest((40, 48))
    nearest = interpolate(torch.from_numpy(grid)[None, None], size=(40, 48), mode="nearest")[0, 0].numpy() > 0.5
    np.testing.assert_array_equal(mask, nearest)
    np.testing.assert_array_equal(
        patches.nearest((67, 31)),
        interpolate(torch.from_numpy(grid)[None, None], size=(67, 31), mode="nearest")[0, 0].numpy() > 0.5,
    )
    scores = score_tokencut(mask, truth, BilateralGrid.of(photo))
    soft = reference_solver(photo, mask.astype(float))
    for variant, values in (("multi-tokencut", mask.astype(float)), ("multi+bs-tokencut", soft)):
        expected = reference_of_tokencut(values, truth)
        assert scores[variant].iou == pytest.approx(expected["iou"], abs=1e-6)
        assert scores[variant].acc == pytest.approx(expected["acc"], abs=1e-9)
        assert scores[variant].f_curve.max() == pytest.approx(expected["max_f"], abs=1e-9)


def test_tokencuts_reading_of_the_golden_soft_outputs(golden: Path) -> None:
    folder = golden / "bilateral_solver"
    cases = json.loads((folder / "expected.json").read_text())["cases"]
    soft = np.load(folder / "soft.npz")
    for case in (case for case in cases if case["name"] in soft):
        binary, truth = grey(folder / case["coarse"]).astype(bool), grey(folder / case["gt"]) == 255
        grid = BilateralGrid.of(np.array(Image.open(folder / case["image"]).convert("RGB")))
        found = score_tokencut(binary, truth, grid)["multi+bs-tokencut"]
        expected = reference_of_tokencut(soft[case["name"]].astype(float), truth)
        # The stored values are float16: 2.4e-4 moves a few pixels across a threshold.
        for name, value in (("iou", found.iou), ("acc", found.acc), ("max_f", found.f_curve.max())):
            assert value == pytest.approx(expected[name], abs=1e-3), (case["name"], name)


def test_the_two_readings_of_the_solver_differ_only_for_large_objects() -> None:
    # The object reaches the edge of the photo in two steps: 30 of 64 columns, and 44 of 64.
    for edge, refused in ((30, False), (44, True)):
        photo = np.full((40, 64, 3), 40, np.uint8)
        photo[:, edge:] = 200
        truth, binary = np.zeros((40, 64), bool), np.zeros((40, 64), bool)
        truth[:, :edge] = binary[:, : edge - 3] = True
        scores = score_refined(binary, truth, BilateralGrid.of(photo), solver_variants("peers"))
        for variant in SOLVER_VARIANTS:
            assert (scores[variant].accepted, scores[variant].acc) == (True, 1)
        for variant in PEERS_VARIANTS:
            assert scores[variant].accepted != refused
            assert scores[variant].acc == (1 - 3 / 64 if refused else 1)


def test_which_variants_are_asked_for() -> None:
    assert solver_variants(False) == {}
    assert list(solver_variants(True)) == ["multi+bs", "single+bs"]
    assert list(solver_variants("peers")) == ["multi+bs", "single+bs", "multi+bs-peers", "single+bs-peers"]


@settings(max_examples=40)
@given(st.data())
def test_one_histogram_counts_what_255_comparisons_do(data: st.DataObject) -> None:
    levels = st.integers(0, 255).map(lambda k: np.float32(k / 255))  # on the thresholds, where it is delicate
    near = levels.map(lambda v: min(np.nextafter(v, np.float32(2), dtype=np.float32), np.float32(1)))
    anywhere = st.floats(0, 1, width=32).map(np.float32)
    shape = (3, 5)
    soft = data.draw(arrays(np.float32, shape, elements=levels | near | anywhere))
    truth = data.draw(arrays(bool, shape))
    counts = count(soft, truth)
    for k in range(THRESHOLDS):
        above = soft > np.float32(k / 255)
        assert counts.predicted[k] == above.sum()
        assert counts.hits[k] == (above & truth).sum()


@given(masks)
def test_a_perfect_map_scores_1_and_its_inverse_0(truth: Any) -> None:
    perfect, inverse = score(truth.astype(np.float32), truth), score((~truth).astype(np.float32), truth)
    assert perfect["multi"].acc == 1
    for variant in ("multi", "single"):
        assert (inverse[variant].iou, inverse[variant].max_f_found) == (0, 0)
    assert inverse["multi"].acc == 0
    if truth.any():
        assert perfect["multi"].iou == pytest.approx(1, abs=1e-6)
        assert perfect["multi"].max_f_found == pytest.approx(1, abs=1e-6)
        assert summary([perfect["multi"]])["max_f"] == pytest.approx(1)
        assert summary([inverse["multi"]])["max_f"] == 0
    else:  # nothing to find and nothing found: FOUND's epsilon gives 0, TokenCut's rules give 1
        assert (perfect["multi"].iou, perfect["multi"].max_f_found) == (0, 0)
        assert summary([perfect["multi"]])["max_f"] == 1


@given(masks)
def test_a_full_map_has_the_truths_share(truth: Any) -> None:
    full = score(np.ones(truth.shape, np.float32), truth)
    for variant in ("multi", "single"):
        assert full[variant].iou == pytest.approx(truth.mean(), abs=1e-6)
        assert full[variant].acc == pytest.approx(truth.mean())


@settings(max_examples=40)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=12), st.randoms())
def test_the_order_of_photos_does_not_show(seeds: list[int], random: Any) -> None:
    photos = []
    for seed in seeds:
        values = np.random.default_rng(seed)
        photos.append(score(values.random((5, 7), dtype=np.float32), values.random((5, 7)) > 0.5)["multi"])
    shuffled = random.sample(photos, len(photos))
    assert summary(photos) == summary(shuffled)


@given(masks, masks)
def test_figures_are_fractions_and_inversion_mirrors_accuracy(soft: Any, noise: Any) -> None:
    height, width = (min(a, b) for a, b in zip(soft.shape, noise.shape, strict=True))
    predicted, truth = soft[:height, :width], noise[:height, :width]
    scores, inverse = (score(m.astype(np.float32), truth)["multi"] for m in (predicted, ~predicted))
    assert scores.acc == pytest.approx(1 - inverse.acc)
    for value in (scores.iou, scores.acc, scores.max_f_found, scores.f_curve.max()):
        assert 0 <= value <= 1
    # A mask is taken alike by all thresholds, so its F is that of its one precision and recall.
    assert np.ptp(scores.f_curve) == 0


@given(masks)
def test_an_empty_map_scores_the_background(truth: Any) -> None:
    for scores in score(np.zeros(truth.shape, np.float32), truth).values():
        assert (scores.iou, scores.max_f_found) == (0, 0)
        assert scores.acc == pytest.approx(1 - truth.mean())
        assert scores.f_curve.max() == (0 if truth.any() else 1)


@pytest.mark.parametrize("value", [1.001, -0.001, np.nan, np.inf])
def test_values_outside_0_to_1_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="expected 0 to 1"):
        score(np.full((2, 2), value, np.float32), np.ones((2, 2), bool))


def test_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        score(np.zeros((2, 3), np.float32), np.ones((3, 2), bool))
    grid = BilateralGrid.of(np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        score_refined(np.zeros((2, 3), bool), np.ones((3, 2), bool), grid, SOLVER_VARIANTS)


def test_no_photos_have_no_mean() -> None:
    with pytest.raises(ValueError, match="no photo"):
        summary([])
