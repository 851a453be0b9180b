"""Losses and gradients that are no numbers; a bound that is torch's own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from app.llm.errors import TrainingDiverged
from app.llm.train.divergence import check_validation, clipped, mean_loss_of
from app.llm.train.early_stop import Best


def test_the_batches_to_blame_are_named():
    losses = [torch.tensor(value) for value in (1.0, math.inf, 2.0, math.nan)]
    with pytest.raises(TrainingDiverged, match="at step 6 the loss became inf") as caught:
        mean_loss_of(losses, 6, range(20, 24))
    assert caught.value.batches == [21, 23]
    assert mean_loss_of([torch.tensor(1.0), torch.tensor(2.0)], 6, range(2)) == 1.5


def weights(*gradients: list[float]) -> dict[str, nn.Parameter]:
    found = {}
    for number, gradient in enumerate(gradients):
        weight = nn.Parameter(torch.zeros(len(gradient)))
        weight.grad = torch.tensor(gradient)
        found[f"w{number}"] = weight
    return found


@pytest.mark.parametrize("limit", [None, 0.5, 100.0])
def test_a_gradient_is_bounded_as_torch_does(limit):
    ours, theirs = weights([3.0, 0.0], [4.0]), weights([3.0, 0.0], [4.0])
    assert clipped(ours, limit, 1, [0]) == 5.0
    nn.utils.clip_grad_norm_(theirs.values(), math.inf if limit is None else limit)
    assert all(torch.equal(ours[name].grad, theirs[name].grad) for name in ours)


def test_a_norm_that_overflows_is_told_without_a_tensor():
    with pytest.raises(TrainingDiverged, match="norm became inf, the loss being a number") as caught:
        clipped(weights([3e38], [3e38]), 1.0, 4, [7, 8])
    assert (caught.value.cause, caught.value.batches) == ("gradient", [7, 8])


def test_weights_without_a_gradient_are_passed_over():
    found = weights([3.0], [4.0])
    found["w1"].grad = None
    assert clipped(found, 1.0, 1, [0]) == 3.0


def test_a_validation_loss_may_rise_so_far():
    best = Best(2.0, step=10)
    check_validation(2.5, best, 0.5, 20)
    check_validation(99.0, best, None, 20)
    check_validation(99.0, Best(), 0.5, 20)
    with pytest.raises(TrainingDiverged, match=r"2\.6000, more than 0\.5 above the 2\.0000 of step 10"):
        check_validation(2.6, best, 0.5, 20)
