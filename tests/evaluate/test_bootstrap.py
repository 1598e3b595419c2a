"""Intervals resample photos: the statistic of a draw is the figure of the drawn photos."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heap.evaluate import bootstrap, retrieval, saliency, semantic
from heap.evaluate.bootstrap import draws, intervals, of_means

PHOTOS = 12


def repeated(photos: list[Any], drawn: Any) -> list[Any]:
    return [photo for photo, times in zip(photos, drawn, strict=True) for _ in range(int(times))]


def some_draws(count: int = 5) -> Any:
    return next(draws(PHOTOS, count, 3))


def test_draws_take_as_many_photos_as_there_are_and_hang_on_the_seed_alone() -> None:
    first = np.concatenate(list(draws(7, 50, 1)))
    assert first.shape == (50, 7)
    assert (first.sum(axis=1) == 7).all()
    assert (first == np.concatenate(list(draws(7, 50, 1)))).all()
    assert (first != np.concatenate(list(draws(7, 50, 2)))).any()


def test_the_size_of_blocks_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(draws(7, 50, 1)))
    monkeypatch.setattr(bootstrap, "_BLOCK_VALUES", 21)
    blocks = list(draws(7, 50, 1))
    assert len(blocks) == 17
    assert (np.concatenate(blocks) == whole).all()


def test_an_interval_of_a_mean_is_the_normal_one() -> None:
    # 400 coin tosses of .3: standard error sqrt(.3 * .7 / 400) = .0229, so about .3 -+ .045.
    tosses = [1.0] * 120 + [0.0] * 280
    low, high = intervals(of_means({"share": tosses}), 400, 4000, 0)["share"]
    assert low == pytest.approx(0.255, abs=0.004)
    assert high == pytest.approx(0.345, abs=0.004)
    assert intervals(of_means({"share": tosses}, scale=100), 400, 4000, 0)["share"][0] == pytest.approx(100 * low)


def test_equal_photos_have_no_spread_and_no_resamples_no_interval() -> None:
    assert intervals(of_means({"m": [0.5] * 9}), 9, 100, 0) == {"m": (0.5, 0.5)}
    assert intervals(of_means({"m": [0.5] * 9}), 9, 0, 0) == {}


def test_an_interval_of_mutual_information_is_around_the_figure() -> None:
    # 60 photos of one object, 7 classes, clusters right for two in three: draws repeat photos, and so raise NMI.
    random = np.random.default_rng(0)
    photos = []
    for kind in random.integers(7, size=60):
        cluster = kind if random.random() < 2 / 3 else random.integers(7)
        inside = 10 * (np.arange(8) == kind + 1)[None]
        photos.append(semantic.Described(np.array([cluster]), inside.astype(np.int64), np.full(8, 5)))
    nmi = semantic.summary(photos)["nmi"]
    statistic = bootstrap.of_semantic(photos)
    raised = statistic(next(draws(60, 300, 0)))["nmi"].mean() - nmi
    assert raised > 0.02
    low, high = intervals(statistic, 60, 300, 0)["nmi"]
    assert (low + high) / 2 == pytest.approx(nmi, abs=raised / 3)


def test_saliency_of_a_draw_is_the_summary_of_the_drawn_photos() -> None:
    values = np.random.default_rng(0)
    photos = [
        saliency.score(values.random((6, 8), dtype=np.float32), values.random((6, 8)) > 0.6)["multi"]
        for _ in range(PHOTOS)
    ]
    drawn = some_draws()
    found = bootstrap.of_saliency(photos)(drawn)
    for i, row in enumerate(drawn):
        expected = saliency.summary(repeated(photos, row))
        assert {metric: column[i] for metric, column in found.items()} == pytest.approx(expected, abs=1e-12)


def test_retrieval_of_a_draw_is_the_miou_of_the_drawn_queries() -> None:
    values = np.random.default_rng(0)

    def photo() -> retrieval.Described:
        vector = values.normal(size=4).astype(np.float32)
        inside, outside = values.integers(0, 50, (2, 5))
        return retrieval.Described(inside, outside, vector / np.linalg.norm(vector))

    gallery, queries = [photo() for _ in range(6)], [photo() for _ in range(PHOTOS)]
    drawn = some_draws()
    for subset in (None, [1, 3]):
        found = bootstrap.of_queries(gallery, queries, "m", subset)(drawn)["m"]
        expected = [retrieval.miou(gallery, repeated(queries, row), subset) for row in drawn]
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_semantic_of_a_draw_matches_clusters_anew() -> None:
    values = np.random.default_rng(0)
    photos = []
    for _ in range(PHOTOS):
        count = int(values.integers(0, 4))
        clusters = values.integers(0, 3, count)
        photos.append(semantic.Described(clusters, values.integers(0, 90, (count, 4)), values.integers(0, 90, 4)))
    photos[0] = semantic.Described(np.array([2]), np.array([[0, 1, 0, 0]]), photos[0].outside)
    drawn = some_draws()
    found = bootstrap.of_semantic(photos)(drawn)
    for i, row in enumerate(drawn):
        expected = semantic.summary(repeated(photos, row))
        assert found["miou_4"][i] == pytest.approx(expected["miou_4"], abs=1e-12)
        assert found["nmi"][i] == pytest.approx(expected["nmi"], abs=1e-12)


def test_semantic_without_any_cluster_has_an_interval_too() -> None:
    empty = semantic.Described(np.zeros(0, np.int64), np.zeros((0, 3), np.int64), np.array([6, 4, 0]))
    found = bootstrap.of_semantic([empty, empty])(np.array([[1.0, 1.0], [2.0, 0.0]]))
    np.testing.assert_allclose(found["miou_3"], 0.2)
    assert found["nmi"].tolist() == [0, 0]
