"""What vectors tell: which lie nearest to each other, what sums of them mean, and how they lie in a plane or a space.

Knows no model and no words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

ROWS_AT_ONCE = 1 << 13
"""Rows of a table that are compared at one time: 19 MB of SmolLM2's."""


def nearest(table: Tensor, ids: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """As `nearest_to` of the rows `ids` (N,) of `table` (V, E), each row itself left out."""
    return nearest_to(table, table[ids], count, ids[:, None])


def nearest_to(table: Tensor, vectors: Tensor, count: int, without: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of `table` (V, E) that lie nearest to each of `vectors` (N, E), by cosine.

    Args:
        without: ids of rows that are left out for each vector, (N, M), each of them once.

    Returns:
        Ids and cosines, (N, K) each, the nearest first, the lower id of two equal ones; K is `count`, or V - M.
    """
    count = min(count, len(table) - without.size(1))
    queries = F.normalize(vectors.float(), dim=-1)  # (N, E)
    scores = queries.new_empty(len(vectors), 0)
    found = without.new_empty(len(vectors), 0)
    for start in range(0, len(table), ROWS_AT_ONCE):
        rows = F.normalize(table[start : start + ROWS_AT_ONCE].float(), dim=-1)  # (R, E)
        numbers = torch.arange(start, start + len(rows))
        cosines = (queries @ rows.T).nan_to_num(-1.0).clamp(-1.0, 1.0)  # (N, R)
        is_out = (numbers == without[..., None]).any(1)  # (N, R)
        scores = torch.cat((scores, cosines.masked_fill_(is_out, -2.0)), dim=-1)  # behind all others
        found = torch.cat((found, numbers.expand(len(vectors), -1)), dim=-1)
        scores, places = scores.topk(min(count, scores.size(-1)), dim=-1)
        found = found.gather(-1, places)
    order = torch.from_numpy(np.lexsort((found.numpy(), -scores.numpy()), axis=-1))
    return found.gather(-1, order), scores.gather(-1, order)


def signed_sum(table: Tensor, terms: Sequence[tuple[Sequence[int], int]]) -> Tensor:
    """What lies where "king - man + woman" points to: a vector (E,), of rows of `table` (V, E).

    A term counts by its direction alone, as in Mikolov et al. (2013): its vector, or the mean of its tokens', is made
    one long before it is added. A term of nothing adds nothing.

    Args:
        terms: the ids of each, and 1 or -1.
    """
    vectors = torch.stack([table[torch.tensor(ids)].float().mean(0) for ids, _ in terms])  # (terms, E)
    signs = torch.tensor([[float(sign)] for _, sign in terms])  # (terms, 1)
    return (signs * F.normalize(vectors, dim=-1)).sum(0)


@dataclass(frozen=True)
class Projection:
    """Points along the axes along which they differ most."""

    points: Tensor  # (N, A), around their middle
    explained: Tensor  # (A,): the share of all variance along each axis


def principal_axes(vectors: Tensor, axes: int) -> Projection:
    """The first principal components of N vectors, (N, E): 2 of them make a plane, 3 a space.

    An axis points to where the coordinate of largest size is positive, so that the same vectors give the same
    picture. Along an axis that is not there (fewer vectors, or vectors that do not differ) all lie at 0.
    """
    centred = vectors.double() - vectors.double().mean(0)
    left, sizes, right = torch.linalg.svd(centred, full_matrices=False)  # (N, R), (R,), (R, E)
    points, explained = centred.new_zeros(len(vectors), axes), centred.new_zeros(axes)
    total = sizes.square().sum()
    for axis in range(min(axes, len(sizes))):
        if sizes[axis] <= 1e-12 * max(1.0, float(sizes[0])):
            continue
        direction = right[axis]
        sign = direction[direction.abs().argmax()].sign()
        points[:, axis] = left[:, axis] * sizes[axis] * sign
        explained[axis] = sizes[axis].square() / total
    return Projection(points, explained)
