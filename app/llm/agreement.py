"""How far two judges of the same answers agree (chapter 7's evaluation): correlations of their scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def pearson(one: Sequence[float], other: Sequence[float]) -> float:
    """Linear correlation, from -1 to 1; NaN without scores, or where one judge's never vary."""
    if not len(one):
        return float("nan")
    a, b = (np.asarray(scores, dtype=np.float64) - np.mean(scores) for scores in (one, other))
    return _ratio(float(a @ b), float(a @ a) * float(b @ b))


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Pearson's correlation of the ranks; equal scores share the mean of their ranks."""
    return pearson(_ranks(one).tolist(), _ranks(other).tolist())


def kendall_tau_b(one: Sequence[float], other: Sequence[float]) -> float:
    """Pairs in the same order less pairs in opposite order, over all pairs, ties taken out on either side."""
    a, b = (_signs(scores) for scores in (one, other))
    return _ratio(float((a * b).sum()), float(np.abs(a).sum()) * float(np.abs(b).sum()))


def _ranks(scores: Sequence[float]) -> Numbers:
    _, places, counts = np.unique(np.asarray(scores), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: Numbers = (ends - (counts - 1) / 2)[places]
    return means


def _signs(scores: Sequence[float]) -> Numbers:
    """Which of each two is larger, (N, N)."""
    values = np.asarray(scores, dtype=np.float64)
    signs: Numbers = np.sign(values[:, None] - values[None, :])
    return signs


def _ratio(common: float, product: float) -> float:
    return common / float(np.sqrt(product)) if product > 0 else float("nan")
