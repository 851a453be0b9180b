"""Section 4.3."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from app.llm.lessons.feed_forward import GELU, FeedForward


def test_the_shape_stays(golden: Any) -> None:
    fact = golden("ch04.ffn.shape")
    shape = fact["inputs"]["in"]
    assert list(FeedForward(emb_dim=shape[-1])(torch.rand(shape)).shape) == fact["expected"]


def test_gelu_is_torchs_tanh_form_and_near_the_exact_one() -> None:
    x = torch.linspace(-6, 6, 1001)
    torch.testing.assert_close(GELU()(x), F.gelu(x, approximate="tanh"))
    torch.testing.assert_close(GELU()(x), F.gelu(x), atol=5e-4, rtol=0)
    assert GELU()(torch.tensor(-0.5)) < 0  # unlike ReLU it lets a little through below zero


def test_each_token_is_worked_on_alone() -> None:
    layer, x = FeedForward(4), torch.randn(1, 3, 4)
    torch.testing.assert_close(layer(x)[:, 1:2], layer(x[:, 1:2]))
