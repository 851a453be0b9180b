"""Batches of like lengths that go through every row once."""

from __future__ import annotations

import numpy as np
import pytest

from app.llm.data.batches_by_length import POOL_BATCHES, BatchesByLength
from app.llm.data.taught import TaughtIds


def rows(count: int) -> list[TaughtIds]:
    lengths = np.random.default_rng(1).integers(2, 100, count)
    return [TaughtIds([number] * length, [True] * length, 1) for number, length in enumerate(lengths)]


def a_batch(given: list[TaughtIds]) -> list[int]:
    return [len(row) for row in given]


@pytest.mark.parametrize("count", [8, 50, 4 * POOL_BATCHES * 3 + 5])
def test_every_epoch_goes_through_every_row_once(count):
    batches = BatchesByLength(rows(count), a_batch, 4, seed=3)
    for epoch in range(2):
        steps = range(epoch * len(batches), (epoch + 1) * len(batches))
        seen = [number for step in steps for number in batches.indices(step)]
        assert len(set(seen)) == len(seen) == count - count % 4


def test_rows_of_a_batch_have_about_one_length():
    """Of what is read, less than a tenth is padding; by chance it were more than a third."""
    given = rows(4 * POOL_BATCHES)
    batches = BatchesByLength(given, a_batch, 4, seed=3)
    padded = sum(max(batches[step]) * 4 for step in range(len(batches)))
    assert padded < 1.1 * sum(map(len, given))


def test_a_step_has_the_same_rows_however_it_is_come_by():
    in_order, anew = (BatchesByLength(rows(200), a_batch, 4, seed=3) for _ in range(2))
    expected = [in_order.indices(step) for step in range(2 * len(in_order))]
    for step in (60, 3, 99, 17):
        assert anew.indices(step) == expected[step]
    assert expected[: len(in_order)] != expected[len(in_order) :]
