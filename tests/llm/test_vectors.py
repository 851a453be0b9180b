"""Nearest rows by cosine, and the plane of the first two principal components."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.llm import vectors
from app.llm.vectors import nearest, principal_plane


def test_the_nearest_are_those_of_a_full_sort(monkeypatch):
    monkeypatch.setattr(vectors, "ROWS_AT_ONCE", 7)
    table = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    unit = table / table.norm(dim=-1, keepdim=True)
    ids = torch.tensor([0, 13, 49, 13])
    found, scores = nearest(table, ids, 5)
    for row, token_id in enumerate(ids.tolist()):
        cosines = unit @ unit[token_id]
        cosines[token_id] = -2
        expected = cosines.sort(descending=True)
        assert found[row].tolist() == expected.indices[:5].tolist()
        torch.testing.assert_close(scores[row], expected.values[:5])


def test_a_longer_vector_is_no_nearer_and_equals_come_by_id():
    table = torch.tensor([[1.0, 0.0], [0.0, 5.0], [9.0, 0.0], [-1.0, 0.0], [0.5, 0.0]])
    found, scores = nearest(table, torch.tensor([0]), 10)
    assert found.tolist() == [[2, 4, 1, 3]]
    assert scores.tolist() == [[1.0, 1.0, 0.0, -1.0]]


def test_vectors_of_nothing_or_no_number_have_no_direction():
    table = torch.tensor([[1.0, 0.0], [0.0, 0.0], [float("nan"), 1.0]])
    _, scores = nearest(table, torch.tensor([0, 1]), 2)
    assert scores.isfinite().all()
    assert scores[1].tolist() == [0.0, -1.0]


def test_a_table_of_one_row_has_no_neighbours():
    found, scores = nearest(torch.ones(1, 3), torch.tensor([0]), 4)
    assert (found.shape, scores.shape) == ((1, 0), (1, 0))


def test_the_plane_is_that_of_the_covariance():
    points = torch.randn(40, 5, generator=torch.Generator().manual_seed(1)) * torch.tensor([5.0, 3.0, 1.0, 0.5, 0.1])
    plane = principal_plane(points)
    centred = (points - points.mean(0)).double().numpy()
    values, axes = np.linalg.eigh(np.cov(centred.T))
    expected = centred @ axes[:, ::-1][:, :2]
    assert plane.explained.tolist() == pytest.approx((values[::-1] / values.sum())[:2].tolist())
    for axis in range(2):
        ours, theirs = plane.points[:, axis].numpy(), expected[:, axis]
        assert np.allclose(ours, theirs) or np.allclose(ours, -theirs)
    assert plane.points.mean(0).tolist() == pytest.approx([0.0, 0.0], abs=1e-9)


def test_the_same_vectors_give_the_same_picture_whichever_way_they_come():
    points = torch.randn(12, 8, generator=torch.Generator().manual_seed(2))
    plane, turned = principal_plane(points), principal_plane(points.flip(0))
    torch.testing.assert_close(plane.points, turned.points.flip(0))
    line = principal_plane(torch.tensor([[0.0, 0.0], [1.0, 2.0]]))
    assert line.points[1, 0] > 0  # the coordinate of largest size is positive along the axis


@pytest.mark.parametrize(
    ("points", "explained"),
    [
        (torch.zeros(3, 4), [0.0, 0.0]),
        (torch.ones(1, 4), [0.0, 0.0]),
        (torch.tensor([[1.0], [2.0], [4.0]]), [1.0, 0.0]),
        (torch.tensor([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]), [1.0, 0.0]),
    ],
)
def test_where_there_is_less_than_a_plane(points, explained):
    plane = principal_plane(points)
    assert plane.explained.tolist() == pytest.approx(explained)
    assert plane.points.shape == (len(points), 2)
    assert plane.points.isfinite().all()
