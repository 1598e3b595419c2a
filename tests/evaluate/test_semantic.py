from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from heap.evaluate.semantic import Described, confusion_of, describe, match, miou, nmi_of, summary


def nmi(clusters: Any, classes: Any) -> float:
    table = np.zeros((clusters.max() + 1, classes.max() + 1), dtype=np.int64)
    np.add.at(table, (clusters, classes), 1)
    return nmi_of(table)


def instance(pixels: Any, category: int) -> dict[str, Any]:
    rle = coco_mask.encode(np.asfortranarray(pixels, dtype=np.uint8))
    segmentation = {"size": list(rle["size"]), "counts": rle["counts"].decode()}
    return {"category_id": category, "segmentation": segmentation}


def photo(instances: list[tuple[int, list[int]]], outside: list[int]) -> Described:
    return Described(
        np.array([cluster for cluster, _ in instances], dtype=np.int64),
        np.array([inside for _, inside in instances], dtype=np.int64).reshape(-1, len(outside)),
        np.array(outside, dtype=np.int64),
    )


def test_pixels_are_counted_by_instance_and_the_later_one_wins() -> None:
    labels = np.array([[0, 1, 1, 255], [2, 2, 0, 0]], np.uint8)
    first = np.array([[0, 1, 1, 1], [0, 0, 0, 0]], bool)
    second = np.array([[0, 0, 1, 0], [1, 0, 0, 0]], bool)
    found = describe([instance(first, 4), instance(second, 1)], labels, 3)
    assert found.clusters.tolist() == [3, 0]
    assert found.inside.tolist() == [[0, 1, 0], [0, 1, 1]]  # the 255 counts nowhere
    assert found.outside.tolist() == [3, 0, 1]


def test_uncompressed_rle_is_read_too() -> None:
    labels = np.array([[1, 0], [1, 0]], np.uint8)
    rle = {"size": [2, 2], "counts": [0, 2, 2]}  # column-major: two ones, two zeros
    found = describe([{"category_id": 1, "segmentation": rle}], labels, 2)
    assert found.inside.tolist() == [[0, 2]]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ("abc", "neither polygons nor RLE"),
        ({"size": [3, 2], "counts": [6]}, r"a mask of size \[3, 2\], but its photo has \[2, 2\]"),
    ],
)
def test_other_segmentations_are_refused(segmentation: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        describe([{"category_id": 1, "segmentation": segmentation}], np.zeros((2, 2), np.uint8), 2)


def test_unknown_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="label 7, expected 0 to 2 or 255"):
        describe([], np.full((2, 2), 7, np.uint8), 3)


def test_clusters_are_matched_by_the_best_sum_of_ious() -> None:
    # Greedy would give cluster 0 its best class 1 (IoU 10/20) and leave cluster 1 with 0; crosswise 4/14 + 6/16.
    confusion = np.array([[50, 0, 0], [0, 10, 4], [0, 6, 0]])
    assert match(confusion).tolist() == [0, 2, 1]
    assert miou(confusion) == pytest.approx((1 + 6 / 16 + 4 / 14) / 3)


def test_clusters_left_over_are_background() -> None:
    confusion = np.array([[50, 0], [0, 9], [2, 3]])
    assert match(confusion).tolist() == [0, 1, 0]
    # background: 52 right, 3 wrong; class 1: 9 right, 3 missed
    assert miou(confusion) == pytest.approx((52 / 55 + 9 / 12) / 2)


def test_a_pair_without_a_common_pixel_is_no_match() -> None:
    confusion = np.array([[50, 0, 0], [0, 9, 0], [3, 0, 0]])
    assert match(confusion).tolist() == [0, 1, 0]
    assert miou(confusion) == pytest.approx((1 + 1 + 0) / 3)


def test_classes_left_over_have_an_iou_of_0() -> None:
    confusion = np.array([[50, 0, 0], [0, 9, 4]])
    assert miou(confusion) == pytest.approx((1 + 9 / 13 + 0) / 3)


def test_without_instances_only_background_is_right() -> None:
    figures = summary([photo([], [6, 4, 0])])
    background = pytest.approx(0.6 / 3)
    assert figures == {
        "miou_3": background, "miou_shuffled": background, "miou_objects": 0, "miou_objects_shuffled": 0, "nmi": 0,
        "nmi_shuffled": 0,
    }  # fmt: skip


def test_background_is_no_object() -> None:
    # 10 of 20 pixels of the one class are found, and background is all right but for them.
    figures = summary([photo([(0, [0, 10])], [90, 10])])
    assert figures["miou_objects"] == pytest.approx(10 / 20)
    assert figures["miou_2"] == pytest.approx((90 / 100 + 10 / 20) / 2)


def test_many_clusters_tell_of_classes_by_chance_alone() -> None:
    random = np.random.default_rng(0)
    photos = [photo([(int(random.integers(20)), np.eye(8, dtype=int)[1 + i % 7].tolist())], [0] * 8) for i in range(98)]
    figures = summary(photos)
    # Nothing links these clusters to the classes: the figure is far above 0, and no further from its chance level.
    assert figures["nmi"] > 0.2
    assert figures["nmi"] == pytest.approx(figures["nmi_shuffled"], abs=0.05)


def test_perfect_clusters() -> None:
    inside = [[0, 0, 9, 0], [0, 0, 0, 9], [0, 9, 0, 0]]
    photos = [photo([(i % 3, inside[i % 3])], [5, 0, 0, 0]) for i in range(30)]
    figures = summary(photos)
    assert (figures["miou_4"], figures["nmi"]) == (1, pytest.approx(1))
    assert figures["miou_shuffled"] < 0.6
    assert figures == summary(photos)  # the deals have a fixed seed


def test_instances_mostly_on_background_have_no_say_in_nmi() -> None:
    clean = [photo([(0, [1, 5, 0])], [0, 0, 0]), photo([(1, [1, 0, 5])], [0, 0, 0])]
    stray = photo([(0, [9, 0, 5]), (1, [0, 0, 0])], [0, 0, 0])  # mostly background; wholly on 255
    assert summary(clean)["nmi"] == summary([*clean, stray])["nmi"] == pytest.approx(1)


def test_nmi_by_hand() -> None:
    # Clusters 2 + 2, classes 3 + 1, joint 2, 1, 1 of 4.
    h_clusters, h_classes = np.log(2), -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    h_joint = -(0.5 * np.log(0.5) + 2 * 0.25 * np.log(0.25))
    value = nmi(np.array([0, 0, 5, 5]), np.array([1, 1, 1, 2]))
    assert value == pytest.approx((h_clusters + h_classes - h_joint) / ((h_clusters + h_classes) / 2))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1))
def test_nmi_laws(pairs: list[tuple[int, int]]) -> None:
    clusters, classes = np.array(pairs).T
    value = nmi(clusters, classes)
    assert 0 <= value <= 1
    assert value == pytest.approx(nmi(classes, clusters), abs=1e-9)
    assert nmi(clusters, 7 - clusters) == pytest.approx(1)
    if len(set(clusters.tolist())) > 1:
        assert nmi(clusters, np.zeros_like(classes)) == pytest.approx(0, abs=1e-9)


@given(st.integers(0, 99), st.permutations(range(4)))
def test_the_numbers_of_clusters_mean_nothing(seed: int, names: list[int]) -> None:
    values = np.random.default_rng(seed)
    photos = [
        photo([(int(values.integers(0, 4)), values.integers(0, 10**6, 3).tolist())], [10**6, 0, 0]) for _ in range(5)
    ]
    clusters = np.concatenate([p.clusters for p in photos])
    renamed = np.array(names)[clusters]
    # Two matchings may reach one sum; with counts of this size that is not met.
    assert miou(confusion_of(photos, clusters, 4)) == pytest.approx(miou(confusion_of(photos, renamed, 4)))
