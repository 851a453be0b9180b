"""Nearest rows by cosine, sums of directions, and the first principal components."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.llm import vectors
from app.llm.vectors import nearest, nearest_to, principal_axes, signed_sum


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


def test_several_rows_can_be_left_out():
    table = torch.randn(30, 4, generator=torch.Generator().manual_seed(3))
    found, scores = nearest_to(table, table[:2] + table[5], 40, torch.tensor([[0, 5], [1, 5]]))
    assert (found.shape, scores.shape) == ((2, 28), (2, 28))
    assert not {0, 5} & set(found[0].tolist())
    expected = torch.nn.functional.cosine_similarity(table, table[1] + table[5], dim=-1)
    torch.testing.assert_close(scores[1], expected[found[1]])


def test_a_sum_is_of_directions():
    """gensim's `most_similar`: unit vectors, added and taken away; a term of several tokens by the mean of them."""
    table = torch.tensor([[3.0, 0.0], [0.0, 7.0], [1.0, 1.0], [0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    assert signed_sum(table, [([0], 1), ([1], 1)]).tolist() == [1.0, 1.0]
    assert signed_sum(table, [([0], 1), ([1], -1), ([3], -1)]).tolist() == [1.0, -1.0]
    torch.testing.assert_close(signed_sum(table, [([4, 5], 1)]), torch.full((2,), 0.5**0.5))


@pytest.mark.parametrize("axes", [2, 3])
def test_the_axes_are_those_of_the_covariance(axes):
    points = torch.randn(40, 5, generator=torch.Generator().manual_seed(1)) * torch.tensor([5.0, 3.0, 1.0, 0.5, 0.1])
    plane = principal_axes(points, axes)
    centred = (points - points.mean(0)).double().numpy()
    values, directions = np.linalg.eigh(np.cov(centred.T))
    expected = centred @ directions[:, ::-1][:, :axes]
    assert plane.explained.tolist() == pytest.approx((values[::-1] / values.sum())[:axes].tolist())
    for axis in range(axes):
        ours, theirs = plane.points[:, axis].numpy(), expected[:, axis]
        assert np.allclose(ours, theirs) or np.allclose(ours, -theirs)
    assert plane.points.mean(0).tolist() == pytest.approx([0.0] * axes, abs=1e-9)


def test_the_same_vectors_give_the_same_picture_whichever_way_they_come():
    points = torch.randn(12, 8, generator=torch.Generator().manual_seed(2))
    plane, turned = principal_axes(points, 3), principal_axes(points.flip(0), 3)
    torch.testing.assert_close(plane.points, turned.points.flip(0))
    line = principal_axes(torch.tensor([[0.0, 0.0], [1.0, 2.0]]), 2)
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
    plane = principal_axes(points, 3)
    assert plane.explained.tolist() == pytest.approx([*explained, 0.0])
    assert plane.points.shape == (len(points), 3)
    assert plane.points.isfinite().all()
