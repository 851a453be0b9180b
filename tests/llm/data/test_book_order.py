"""The book's order beside torch's own loaders: the same batches, whatever else is drawn between them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from app.llm.data.book_order import BookBatches
from app.llm.data.windows import Windows
from tests.book_gpt import LoadedBatches

EVERY = 3


def windows(count: int) -> Windows:
    return Windows(torch.arange(count * 4 + 1), 4, 4)


def draws_before(step: int) -> int:
    return 3 if step > 0 and step % EVERY == 1 else 0


def by_torch(count: int, size: int, steps: int) -> tuple[list[Tensor], list[Tensor]]:
    """Batches of a run that draws dropout in each step, and evaluates on two loaders after steps 1, 4, 7, …"""
    train, other = LoadedBatches(windows(count), size, shuffle=True), LoadedBatches(windows(5), size, shuffle=False)
    learnt, measured = [], []
    for step in range(steps):
        learnt.append(train[step][0])
        torch.rand(7)  # dropout
        if step % EVERY == 0:
            measured.append(next(iter(train.loader))[0])
            next(iter(other.loader))
    return learnt, measured


def by_ours(batches: BookBatches, steps: range) -> tuple[list[Tensor], list[Tensor]]:
    learnt, measured = [], []
    for step in steps:
        learnt.append(batches[step][0])
        torch.rand(7)
        if step % EVERY == 0:
            with torch.random.fork_rng(devices=[]):
                measured.append(batches.epoch_anew()[0][0])
    return learnt, measured


def same(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return len(ours) == len(theirs) and all(map(torch.equal, ours, theirs))


@pytest.mark.parametrize(("count", "size"), [(9, 2), (8, 2), (7, 3), (4, 4)])
def test_batches_come_as_from_torchs_loaders(count: int, size: int) -> None:
    torch.manual_seed(123)
    theirs = by_torch(count, size, 15)
    torch.manual_seed(123)
    ours = by_ours(BookBatches(windows(count), size, draws_before), range(15))
    assert same(ours[0], theirs[0])
    assert same(ours[1], theirs[1])


@pytest.mark.parametrize("stop", [1, 4, 6, 8])
def test_a_run_goes_on_from_the_two_generators(stop: int) -> None:
    """Within an epoch, at its end, and right after an evaluation, whose chance is then drawn by the next step."""
    torch.manual_seed(5)
    whole, _ = by_ours(BookBatches(windows(8), 2, draws_before), range(15))
    torch.manual_seed(5)
    first = BookBatches(windows(8), 2, draws_before)
    begun, _ = by_ours(first, range(stop))
    states = torch.get_rng_state(), first.shuffle.get_state()
    torch.manual_seed(99)
    second = BookBatches(windows(8), 2, draws_before)
    torch.set_rng_state(states[0])
    second.shuffle.set_state(states[1])
    rest, _ = by_ours(second, range(stop, 15))
    assert same(begun + rest, whole)


def test_a_step_asked_for_twice_is_the_same_step() -> None:
    torch.manual_seed(1)
    batches = BookBatches(windows(8), 2, lambda _step: 0)
    assert torch.equal(batches[0][0], batches[0][0])
    assert batches.indices(0) == batches.indices(0)
