"""The choice between seeds, by signs alone."""

from __future__ import annotations

import pytest
import torch

from heap.head.batches import Batch
from heap.head.choose import best_of, figure_of_merit
from heap.head.diagnose import diagnostics
from heap.head.model import Grouping


def test_the_head_whose_edge_is_ground_is_chosen_whatever_its_rho() -> None:
    # The prototype's case on real features: the wrong partition follows the biased attention better.
    wrong = {"framing": 0.2, "area": 0.52, "rho": 0.63}
    right = {"framing": 1.1, "area": 0.35, "rho": 0.52}
    assert best_of([wrong, right]) == 1
    assert best_of([right, right]) == 0


@pytest.mark.parametrize("area", [0.0, 0.01, 0.9])
def test_a_collapsed_head_is_not_chosen(area: float) -> None:
    assert figure_of_merit({"framing": 1.9, "area": area}) < figure_of_merit({"framing": -1.9, "area": 0.3})


def test_framing_by_hand() -> None:
    # Edge patches [1, 0], [1, 0]; an inner one [0, 1]. P takes the inner one: F^f = [0, 1], F^b = [2, 0].
    normed = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])
    border, mask = torch.tensor([[True, False, True]]), torch.ones(1, 3, dtype=torch.bool)
    zeros = torch.zeros(1, 3)
    batch = Batch(normed, zeros, zeros, border, mask, photo=torch.tensor([0]), counts=(3,))

    def framing(p: list[float]) -> float:
        found = torch.tensor([p], dtype=torch.float32)
        assignment = torch.stack([found, 1 - found], dim=1)
        regions = assignment @ normed / assignment.sum(-1, keepdim=True)
        out = Grouping(assignment, assignment.sum(-1), regions, torch.tensor([[1.0, 0.0]]), found, normed)
        return diagnostics(out, batch)["framing"]

    assert framing([0, 1, 0]) == pytest.approx(1 - 0)
    assert framing([1, 0, 1]) == pytest.approx(0 - 1)
