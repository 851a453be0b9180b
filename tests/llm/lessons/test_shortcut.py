"""Section 4.4: the gradients of five layers with and without shortcuts (Linear's first weights, seed 123)."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from app.llm.lessons.shortcut import DeepNetwork
from tests.llm.lessons.book import assert_is, seeded

SIZES = (3, 3, 3, 3, 3, 1)


def gradient_sizes(model: DeepNetwork) -> torch.Tensor:
    """Mean size of each layer's gradient, the first layer first."""
    loss = F.mse_loss(model(torch.tensor([[1.0, 0.0, -1.0]])), torch.zeros(1, 1))
    gradients = torch.autograd.grad(loss, [layer[0].weight for layer in model.layers])
    return torch.stack([gradient.abs().mean() for gradient in gradients])


@pytest.mark.parametrize(("fact", "use_shortcut"), [("ch04.shortcut.off", False), ("ch04.shortcut.on", True)])
def test_the_books_gradients(fact: str, use_shortcut: bool) -> None:
    assert_is(gradient_sizes(seeded(123, lambda: DeepNetwork(SIZES, use_shortcut))), fact)


def test_without_shortcuts_the_first_layer_hardly_learns() -> None:
    off, on = (gradient_sizes(seeded(123, lambda way=way: DeepNetwork(SIZES, way))) for way in (False, True))
    assert off[0] < off[-1] / 20
    assert on[0] > on[-1] / 20
