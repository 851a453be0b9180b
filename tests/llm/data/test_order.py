"""The order of an epoch: DataLoader's for few windows, a permutation without a table for many."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.llm.data import order
from app.llm.data.order import EpochOrder


@pytest.fixture
def all_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of windows is as many as a corpus of gigabytes has."""
    monkeypatch.setattr(order, "LARGE", 0)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097])
@pytest.mark.usefixtures("all_large")
def test_each_number_comes_once(count):
    for epoch in range(3):
        assert sorted(EpochOrder(count, 7).numbers(epoch, 0, count)) == list(range(count))


@pytest.mark.usefixtures("all_large")
def test_any_piece_is_the_same_as_in_one_go():
    whole = EpochOrder(1000, 7).numbers(2, 0, 1000)
    pieces = [EpochOrder(1000, 7).numbers(2, start, start + 64) for start in range(0, 1000, 64)]
    assert np.array_equal(np.concatenate(pieces), whole)
    assert whole.dtype == np.int64


@pytest.mark.usefixtures("all_large")
def test_seed_and_epoch_decide():
    def numbers(seed: int, epoch: int) -> list[int]:
        return EpochOrder(10_000, seed).numbers(epoch, 0, 100).tolist()

    assert numbers(1, 0) == numbers(1, 0)
    assert len({tuple(numbers(seed, epoch)) for seed in (0, 1, 2**63 - 1) for epoch in (0, 1)}) == 6


@pytest.mark.usefixtures("all_large")
def test_it_looks_shuffled():
    """Neighbours lie far apart, every part of an epoch reaches every part of the file, and no fixed points gather."""
    count = 100_000
    numbers = EpochOrder(count, 3).numbers(0, 0, count)
    assert abs(np.corrcoef(np.arange(count), numbers)[0, 1]) < 0.02
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.02
    table = np.histogram2d(np.arange(count), numbers, bins=10)[0]  # of 1,000 expected in each
    assert ((table - 1000) ** 2 / 1000).sum() < 150  # chi-square of 81 degrees of freedom, far beyond 1 in 10,000
    assert (numbers == np.arange(count)).sum() < 10


def test_a_billion_windows_are_reached_at_once():
    numbers = EpochOrder(1_000_000_007, 5).numbers(0, 999_999_943, 1_000_000_007)
    assert len(set(numbers.tolist())) == 64
    assert 0 <= numbers.min() < 10**8 < 9 * 10**8 < numbers.max() < 1_000_000_007
    assert EpochOrder(2**40, None).numbers(3, 2**39, 2**39 + 2).tolist() == [2**39, 2**39 + 1]


def test_where_the_orders_part(monkeypatch):
    """One window more, and the order is another one; the documented size is 2,097,152."""
    assert order.LARGE == 2_097_152
    monkeypatch.setattr(order, "LARGE", 100)
    torch.manual_seed(7)
    theirs = torch.utils.data.DataLoader(list(range(99)), batch_size=99, shuffle=True)
    assert EpochOrder(99, 7).numbers(0, 0, 99).tolist() == next(iter(theirs)).tolist()
    torch.manual_seed(7)
    theirs = torch.utils.data.DataLoader(list(range(100)), batch_size=100, shuffle=True)
    assert EpochOrder(100, 7).numbers(0, 0, 100).tolist() != next(iter(theirs)).tolist()


def test_epochs_may_be_asked_for_in_any_order(monkeypatch):
    monkeypatch.setattr(order, "_DRAWS_AT_ONCE", 3)
    expected = [EpochOrder(9, 1).numbers(epoch, 0, 9).tolist() for epoch in range(12)]
    asked = EpochOrder(9, 1)
    for epoch in (5, 0, 1, 11, 3, 3, 4):
        assert asked.numbers(epoch, 0, 9).tolist() == expected[epoch]
