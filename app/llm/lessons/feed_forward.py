"""Section 4.3: GELU, a bend that is smooth at zero, between a layer that widens and one that narrows."""

from __future__ import annotations

import math

from torch import Tensor, nn


class GELU(nn.Module):
    """x times about the share of a normal distribution below x, by the tanh formula that GPT-2 was trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x * (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)).tanh())


class FeedForward(nn.Module):
    """Each token for itself: four times as wide, bent, and back."""

    def __init__(self, emb_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(emb_dim, 4 * emb_dim), GELU(), nn.Linear(4 * emb_dim, emb_dim))

    def forward(self, x: Tensor) -> Tensor:
        narrowed: Tensor = self.layers(x)
        return narrowed  # (B, T, E)
