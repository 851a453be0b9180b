"""Long curves in few points."""

from __future__ import annotations

import math
import random

import pytest

from app.db.tables.metric import Losses
from app.services.thinning import thinned


def a_run(steps: int, eval_every: int | None = 100) -> list[Losses]:
    chance = random.Random(1)
    rows = [Losses(0, None, 5.0 if eval_every else None)]
    for step in range(1, steps + 1):
        is_judged = eval_every is not None and step % eval_every == 0
        loss = 5 * math.exp(-step / 1000) + chance.random() * 0.1
        rows.append(Losses(step, loss, loss + 0.1 if is_judged else None))
    return rows


@pytest.mark.parametrize("most", [10, 11, 50, 500])
@pytest.mark.parametrize("eval_every", [None, 1, 3, 100])
def test_there_are_at_most_so_many_in_order_from_first_to_last(most, eval_every):
    rows = a_run(5000, eval_every)
    found = thinned(rows, most)
    assert most // 2 <= len(found) <= most
    assert [row.step for row in found] == sorted({row.step for row in found})
    assert (found[0], found[-1]) == (rows[0], rows[-1])


def test_a_short_run_stays_whole():
    rows = a_run(99)
    assert thinned(rows, 100) == rows


def test_a_spike_and_every_evaluation_stay():
    rows = a_run(10_000)
    rows[7321] = Losses(7321, 99.0, None)
    rows[4567] = Losses(4567, -1.0, None)
    found = {row.step for row in thinned(rows, 300)}
    assert {7321, 4567} <= found
    assert {row.step for row in rows if row.val_loss is not None} <= found


def test_of_too_many_evaluations_the_extremes_stay():
    rows = a_run(5000, eval_every=1)
    rows[1234] = Losses(1234, 2.0, 50.0)
    found = thinned(rows, 100)
    assert 1234 in {row.step for row in found}
    best = min(rows, key=lambda row: row.val_loss)
    assert best in found


def test_a_run_that_measured_nothing_but_steps():
    rows = [Losses(step, None, None) for step in range(100)]
    assert thinned(rows, 10) == [rows[0], rows[-1]]
    assert thinned([], 10) == []
