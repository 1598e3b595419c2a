"""Objects of hand-made masks, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco

from heap.segment.instances import UNCLUSTERED, annotation, clusters_of_patches, instances


def picture(*rows: str) -> np.ndarray:
    return np.array([[-2 if c == "." else int(c) for c in row] for row in rows])


def found(labels: np.ndarray, min_area: float = 0.0) -> list[tuple[int, list[str]]]:
    soft = np.ones(labels.shape, dtype=np.float32)
    objects = instances(labels != -2, labels, soft, min_area)
    return [(one.cluster, ["".join("#" if v else "." for v in row) for row in one.mask]) for one in objects]


HOLE = ("11111", "1...1", "1.2.1", "1...1", "11111")


@pytest.mark.parametrize(
    ("rows", "min_area", "expected"),
    [
        (("11..", "11..", "..11"), 0, [(1, ["##..", "##..", "...."]), (1, ["....", "....", "..##"])]),
        (("1112", "1112"), 0, [(1, ["###.", "###."]), (2, ["...#", "...#"])]),
        (("111", "1.1", "111"), 0, [(1, ["###", "###", "###"])]),
        (HOLE, 0, [(1, ["#####", "#####", "##.##", "#####", "#####"]), (2, [*["....."] * 2, "..#..", *["....."] * 2])]),
        (HOLE, 2 / 25, [(1, ["#####"] * 5)]),
        (("...", "..."), 0, []),
    ],
    ids=[
        "parts that touch at a corner are two", "one part of two clusters is two", "holes are filled",
        "an object in a hole keeps its pixels", "a dropped speck in a hole is filled like the hole", "nothing",
    ],
)  # fmt: skip
def test_objects_by_hand(rows: tuple[str, ...], min_area: float, expected: list[tuple[int, list[str]]]) -> None:
    assert found(picture(*rows), min_area) == expected


def test_the_least_area_is_a_share_of_the_photo_and_inclusive() -> None:
    labels = picture("11..", "....", "..22", "..2.")
    assert [cluster for cluster, _ in found(labels, min_area=2 / 16)] == [2, 1]
    assert [cluster for cluster, _ in found(labels, min_area=2.1 / 16)] == [2]


def test_score_is_the_mean_over_the_object_alone() -> None:
    labels = picture("1..", "1..")
    soft = np.array([[0.75, 0, 0], [0.5, 0, 0]], dtype=np.float32)
    assert instances(labels == 1, labels, soft, 0.0)[0].score == 0.625


def test_tokens_that_are_not_listed_have_no_cluster() -> None:
    tokens = np.array([[5, 0], [7, 5]], dtype=np.int16)
    assert clusters_of_patches(tokens, {5: 3, 0: 1}).tolist() == [[3, 1], [UNCLUSTERED, 3]]


def test_annotation_by_hand() -> None:
    labels = picture("....", ".33.", "..3.")
    one = annotation(instances(labels == 3, labels, np.full((3, 4), 0.5, np.float32), 0.0)[0], image=7, category=4)
    assert (one["image_id"], one["category_id"], one["bbox"], one["area"]) == (7, 4, [1, 1, 2, 2], 3)
    assert (one["iscrowd"], one["score"]) == (0, 0.5)
    assert np.array_equal(coco.decode(one["segmentation"]), labels == 3)
    assert one["bbox"] == coco.toBbox(one["segmentation"]).tolist()
