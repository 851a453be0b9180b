"""The piecewise loss against torch's cross entropy: value and gradients."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from app.llm.data.examples import IGNORED
from app.llm.train.losses import LOGITS_AT_ONCE, class_loss, next_token_loss

B, T, E, V = 3, 7, 5, 11


def torch_loss(hidden, weight, targets):
    return F.cross_entropy(F.linear(hidden, weight).flatten(0, 1), targets.flatten())


def our_loss(hidden, weight, targets, tokens_at_once=B * T):
    said_size = LOGITS_AT_ONCE // tokens_at_once  # what decides how many tokens make a piece
    return next_token_loss(hidden, targets, lambda states: F.linear(states, weight), [weight], said_size)


def inputs(weight_learns: bool = True):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(B, T, E, generator=generator, dtype=torch.float64).requires_grad_()
    weight = torch.randn(V, E, generator=generator, dtype=torch.float64).requires_grad_(weight_learns)
    return hidden, weight, torch.randint(0, V, (B, T), generator=generator)


@pytest.mark.parametrize("tokens_at_once", [1, 4, B * T])
@pytest.mark.parametrize("weight_learns", [True, False])
def test_value_and_gradients_are_torchs(tokens_at_once, weight_learns):
    results = []
    for loss in (partial(our_loss, tokens_at_once=tokens_at_once), torch_loss):
        hidden, weight, targets = inputs(weight_learns)
        value = loss(hidden, weight, targets)
        (3.0 * value).backward()
        results.append((value, hidden.grad, weight.grad))
    for ours, theirs in zip(*results, strict=True):
        if theirs is None:
            assert ours is None
        else:
            torch.testing.assert_close(ours, theirs)


def test_evaluation_gives_the_same_value():
    hidden, weight, targets = inputs()
    with torch.no_grad():
        torch.testing.assert_close(our_loss(hidden, weight, targets, 4), torch_loss(hidden, weight, targets))


def test_ignored_targets_do_not_count():
    hidden, weight, targets = inputs()
    targets[0, 2:] = IGNORED
    torch.testing.assert_close(our_loss(hidden, weight, targets), torch_loss(hidden, weight, targets))


def loss_of(logits, targets):
    return next_token_loss(torch.tensor([logits]), torch.tensor([targets]), lambda states: states, [], 2).item()


def test_the_books_example_of_an_ignored_target(golden):
    fact = golden("ch07.ignore_index")
    rows, expected = fact["inputs"]["logits"], fact["expected"]
    assert loss_of(rows[:2], [0, 1]) == pytest.approx(expected["two_rows"], abs=fact["tolerance"])
    assert loss_of(rows, [0, 1, 1]) == pytest.approx(expected["three_rows"], abs=fact["tolerance"])
    assert loss_of(rows, [0, 1, IGNORED]) == pytest.approx(expected["third_ignored"], abs=fact["tolerance"])


def test_a_class_costs_the_logarithm_of_its_probability():
    logits = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])
    expected = (math.log(2.0) + math.log(4.0)) / 2
    assert class_loss(logits, torch.tensor([1, 1])).item() == pytest.approx(expected)


def test_a_uniform_guess_costs_the_logarithm_of_the_vocabulary(golden):
    hidden, weight = torch.zeros(1, 4, 8), torch.zeros(50257, 8)
    loss = next_token_loss(hidden, torch.arange(4)[None], lambda states: F.linear(states, weight), [weight], 50257)
    assert loss.item() == pytest.approx(golden("ch05.uniform")["expected"], abs=1e-4)
