"""Section 4.2: each token's features get mean 0 and variance 1, whatever the layers before made of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def standardise(x: Tensor) -> Tensor:
    """Rows of x less their mean, by the root of their variance (that of a sample: divided by n - 1)."""
    return (x - x.mean(dim=-1, keepdim=True)) / x.var(dim=-1, keepdim=True).sqrt()


class LayerNorm(nn.Module):
    """Standardise with the variance divided by n, as GPT-2 does, then scale and shift by what is learned."""

    def __init__(self, emb_dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps  # keeps a row of equal values from a division by zero
        self.scale = nn.Parameter(torch.ones(emb_dim))
        self.shift = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=-1, keepdim=True)  # (…, 1)
        variance = x.var(dim=-1, keepdim=True, unbiased=False)
        return self.scale * (x - mean) / (variance + self.eps).sqrt() + self.shift
