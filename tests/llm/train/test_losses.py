"""The piecewise loss against torch's cross entropy: value and gradients."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from app.llm.data.examples import IGNORED
from app.llm.train import losses
from app.llm.train.losses import class_loss, next_token_loss

B, T, E, V = 3, 7, 5, 11


def torch_loss(hidden, weight, targets):
    return F.cross_entropy(F.linear(hidden, weight).flatten(0, 1), targets.flatten())


def our_loss(hidden, weight, targets, tokens_at_once=B * T):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses, "LOGITS_AT_ONCE", tokens_at_once * V)
        patch.setattr(losses, "IN_CACHE", 2 * V)
        return next_token_loss(hidden, targets, weight)


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


@pytest.mark.parametrize("tokens_at_once", [4, B * T])
def test_under_autocast_products_alone_are_narrow(tokens_at_once):
    """What torch's own loss in float32 gives on the very logits that the narrow product gives."""
    hidden, weight, targets = (each.float().detach() if each.is_floating_point() else each for each in inputs())
    weight *= 30  # so that a softmax in bfloat16 would be seen
    leaves = [hidden.requires_grad_(), weight.requires_grad_()]
    with torch.autocast("cpu", torch.bfloat16):
        ours = our_loss(hidden, weight, targets, tokens_at_once)
        with torch.no_grad():
            assert our_loss(hidden, weight, targets, tokens_at_once).item() == pytest.approx(ours.item(), rel=1e-6)
    narrow = [leaf.detach().bfloat16().requires_grad_() for leaf in leaves]
    theirs = F.cross_entropy(F.linear(*narrow).float().flatten(0, 1), targets.flatten())
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs)
    for mine, wanted in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(theirs, narrow), strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, wanted.float(), rtol=0.02, atol=0.02)


def test_evaluation_gives_the_same_value():
    hidden, weight, targets = inputs()
    with torch.no_grad():
        torch.testing.assert_close(our_loss(hidden, weight, targets, 4), torch_loss(hidden, weight, targets))


def test_ignored_targets_do_not_count():
    hidden, weight, targets = inputs()
    targets[0, 2:] = IGNORED
    torch.testing.assert_close(our_loss(hidden, weight, targets), torch_loss(hidden, weight, targets))


def loss_of(logits, targets):
    return next_token_loss(torch.tensor([logits]), torch.tensor([targets]), torch.eye(2)).item()


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
    loss = next_token_loss(hidden, torch.arange(4)[None], weight)
    assert loss.item() == pytest.approx(golden("ch05.uniform")["expected"], abs=1e-4)
