"""DPO's loss: the book's figures, the formula, and that it learns what is preferred."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from app.llm.data.examples import IGNORED
from app.llm.train.preference_loss import Judged, answer_log_probabilities, preference_loss


def test_a_policy_that_has_not_moved_costs_the_logarithm_of_two(golden):
    fact = golden("dpo.loss.zero")
    judged = Judged(torch.tensor([-1.5, -2.0]), torch.tensor([-0.5, -3.0]))
    result = preference_loss(judged, judged, fact["inputs"]["beta"])
    assert result.loss.item() == pytest.approx(fact["expected"]["loss"], abs=fact["tolerance"])
    assert result.margin.item() == fact["expected"]["margin"]


def test_the_books_example_of_log_probabilities(golden):
    fact = golden("dpo.gather")
    logits, targets = torch.tensor([fact["inputs"]["logits"]]), torch.tensor([fact["inputs"]["targets"]])
    found = answer_log_probabilities(logits, targets, torch.eye(3))
    assert -found.item() == pytest.approx(fact["expected"], abs=fact["tolerance"])


@pytest.mark.parametrize("learns", [True, False])
def test_each_row_is_the_mean_of_what_counts(learns):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 5, 4, generator=generator).requires_grad_(learns)
    weight = torch.randn(7, 4, generator=generator).requires_grad_(learns)
    targets = torch.randint(0, 7, (3, 5), generator=generator)
    targets[0, :3], targets[2, 1:] = IGNORED, IGNORED
    with torch.set_grad_enabled(learns):
        found = answer_log_probabilities(hidden, targets, weight)
    picked = F.linear(hidden, weight).log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    counts = targets != IGNORED
    expected = (picked * counts).sum(1) / counts.sum(1)
    torch.testing.assert_close(found, expected.detach() if not learns else expected)
    if learns:
        weights = torch.tensor([1.0, -2.0, 3.0])
        gradients = [torch.autograd.grad((weights * value).sum(), [hidden, weight]) for value in (found, expected)]
        torch.testing.assert_close(*gradients)


def test_the_loss_is_the_papers():
    policy = Judged(torch.tensor([-1.0, -2.0]), torch.tensor([-3.0, -1.0]))
    reference = Judged(torch.tensor([-1.5, -2.5]), torch.tensor([-2.0, -1.5]))
    ahead = [(-1.0 + 3.0) - (-1.5 + 2.0), (-2.0 + 1.0) - (-2.5 + 1.5)]
    expected = sum(-math.log(1 / (1 + math.exp(-0.3 * value))) for value in ahead) / 2
    result = preference_loss(policy, reference, beta=0.3)
    assert result.loss.item() == pytest.approx(expected)
    assert result.chosen_reward.tolist() == [0.5, 0.5]
    assert result.rejected_reward.tolist() == [-1.0, 0.5]
    assert result.margin.item() == pytest.approx(0.75)


def test_what_is_preferred_becomes_likelier():
    chosen, rejected = torch.tensor([-2.0]).requires_grad_(), torch.tensor([-2.0]).requires_grad_()
    reference = Judged(torch.tensor([-2.0]), torch.tensor([-2.0]))
    result = preference_loss(Judged(chosen, rejected), reference, beta=0.1)
    up, down = torch.autograd.grad(result.loss, [chosen, rejected])
    assert up.item() == pytest.approx(-0.05)
    assert down.item() == pytest.approx(0.05)
    assert not result.chosen_reward.requires_grad
