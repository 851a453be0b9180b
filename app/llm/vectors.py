"""What vectors tell: which lie nearest to each other, and how they lie in a plane. Knows no model and no words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

ROWS_AT_ONCE = 1 << 13
"""Rows of a table that are compared at one time: 19 MB of SmolLM2's."""


def nearest(table: Tensor, ids: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The rows of `table` (V, E) that lie nearest to each of its rows `ids` (N,), by cosine, the row itself left out.

    Returns:
        Ids and cosines, (N, K) each, the nearest first, the lower id of two equal ones; K is `count`, or V - 1.
    """
    count = min(count, len(table) - 1)
    queries = F.normalize(table[ids].float(), dim=-1)  # (N, E)
    scores = queries.new_empty(len(ids), 0)
    found = ids.new_empty(len(ids), 0)
    for start in range(0, len(table), ROWS_AT_ONCE):
        rows = F.normalize(table[start : start + ROWS_AT_ONCE].float(), dim=-1)  # (R, E)
        numbers = torch.arange(start, start + len(rows))
        cosines = (queries @ rows.T).nan_to_num(-1.0).clamp(-1.0, 1.0)  # (N, R)
        cosines.masked_fill_(numbers == ids[:, None], -2.0)  # the row itself, behind all others
        scores = torch.cat((scores, cosines), dim=-1)
        found = torch.cat((found, numbers.expand(len(ids), -1)), dim=-1)
        scores, places = scores.topk(min(count, scores.size(-1)), dim=-1)
        found = found.gather(-1, places)
    order = torch.from_numpy(np.lexsort((found.numpy(), -scores.numpy()), axis=-1))
    return found.gather(-1, order), scores.gather(-1, order)


@dataclass(frozen=True)
class Plane:
    """Points in the plane along which they differ most."""

    points: Tensor  # (N, 2), around their middle
    explained: Tensor  # (2,): the share of all variance along each axis


def principal_plane(vectors: Tensor) -> Plane:
    """The first two principal components of N vectors, (N, E).

    An axis points to where the coordinate of largest size is positive, so that the same vectors give the same
    picture. Vectors that do not differ all lie at the origin.
    """
    centred = vectors.double() - vectors.double().mean(0)
    left, sizes, right = torch.linalg.svd(centred, full_matrices=False)  # (N, R), (R,), (R, E)
    points, explained = centred.new_zeros(len(vectors), 2), centred.new_zeros(2)
    total = sizes.square().sum()
    for axis in range(min(2, len(sizes))):
        if sizes[axis] <= 1e-12 * max(1.0, float(sizes[0])):
            continue
        direction = right[axis]
        sign = direction[direction.abs().argmax()].sign()
        points[:, axis] = left[:, axis] * sizes[axis] * sign
        explained[axis] = sizes[axis].square() / total
    return Plane(points, explained)
