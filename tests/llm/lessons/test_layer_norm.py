"""Section 4.2. The inputs are torch's CPU draws after seed 123: `randn`, then Linear's first weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.llm.lessons.layer_norm import LayerNorm, standardise
from tests.llm.lessons.book import assert_is


@pytest.fixture(scope="module")
def out() -> Tensor:
    """Two rows of six features after a ReLU."""
    torch.manual_seed(123)
    rows = torch.randn(2, 5)
    return nn.Sequential(nn.Linear(5, 6), nn.ReLU())(rows).detach()


def test_the_books_rows(out: Tensor) -> None:
    assert_is(out, "ch04.ln.input")
    assert_is(out.mean(dim=-1), "ch04.ln.stats", "mean")
    assert_is(out.var(dim=-1), "ch04.ln.stats", "var")


def test_by_hand(out: Tensor) -> None:
    normed = standardise(out)
    assert_is(normed, "ch04.ln.manual")
    torch.testing.assert_close(normed.mean(dim=-1), torch.zeros(2))
    torch.testing.assert_close(normed.var(dim=-1), torch.ones(2))


def test_the_layer_divides_by_n_and_adds_eps(out: Tensor) -> None:
    normed = LayerNorm(emb_dim=6)(out)
    assert_is(normed, "ch04.ln.layer", "out")
    assert_is(normed.mean(dim=-1), "ch04.ln.layer", "row_mean")
    assert_is(normed.var(dim=-1, unbiased=False), "ch04.ln.layer", "row_var_biased")


def test_it_is_torchs_own(out: Tensor) -> None:
    layer, x = LayerNorm(6), torch.randn(2, 3, 6) * 7 + 5
    with torch.no_grad():
        layer.scale.uniform_()
        layer.shift.normal_()
    torch.testing.assert_close(layer(x), F.layer_norm(x, (6,), layer.scale, layer.shift, layer.eps))
    assert torch.isfinite(layer(torch.ones(1, 6))).all()
