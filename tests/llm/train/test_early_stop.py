"""Evaluations counted towards an end."""

from __future__ import annotations

import math

from app.llm.train.early_stop import Best


def counted(losses: list[float], min_improvement: float = 0.0) -> Best:
    best = Best()
    for number, loss in enumerate(losses):
        best = best.after(10 * number, loss, min_improvement)
    return best


def test_what_is_lower_is_better():
    assert counted([3.0, 2.0, 2.5]) == Best(2.0, step=10, counted_step=20, worse=1)
    assert counted([3.0, 2.0, 2.0]).worse == 1
    assert counted([3.0, 2.9, 2.8], min_improvement=0.15) == Best(2.8, step=20, counted_step=20, worse=0)
    assert counted([3.0, 2.9], min_improvement=0.15) == Best(3.0, step=0, counted_step=10, worse=1)


def test_an_evaluation_counts_once():
    best = counted([3.0, 4.0])
    assert best.after(10, 4.0, 0.0) is best
    assert best.after(11, 4.0, 0.0).worse == 2


def test_what_is_no_number_improves_nothing():
    assert counted([math.nan, math.inf]) == Best(None, step=0, counted_step=10, worse=2)
    assert counted([3.0, math.nan]).worse == 1


def test_patience_is_a_number_of_evaluations():
    best = counted([3.0, 4.0, 5.0])
    assert [best.is_enough(patience) for patience in (1, 2, 3, None)] == [True, True, False, False]
