"""Section 3.4: what a token asks, offers and says are learned: queries, keys and values.

`attention_weights` is the one place in the lessons where attention is computed; all that follow call it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def attention_weights(queries: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
    """How much each query looks at each key: scaled dot products, then softmax.

    Args:
        queries: (…, T, D).
        keys: (…, S, D).
        mask: True where a query must not look, broadcast to (…, T, S). No row may be all True.

    Returns:
        Shares (…, T, S); each row sums to 1.
    """
    scores = queries @ keys.transpose(-2, -1)  # (…, T, S)
    if mask is not None:
        scores = scores.masked_fill(mask, -math.inf)
    return torch.softmax(scores / math.sqrt(keys.size(-1)), dim=-1)  # unscaled, large D would leave tiny gradients


class SelfAttentionV1(nn.Module):
    """Three matrices that a vector is multiplied by."""

    def __init__(self, d_in: int, d_out: int) -> None:
        """Draw query, key and value weights, uniform from 0 to 1, from torch's global generator."""
        super().__init__()
        self.W_query = nn.Parameter(torch.rand(d_in, d_out))
        self.W_key = nn.Parameter(torch.rand(d_in, d_out))
        self.W_value = nn.Parameter(torch.rand(d_in, d_out))

    def forward(self, x: Tensor) -> Tensor:
        """Context vectors (T, d_out) of token vectors (T, d_in)."""
        return attention_weights(x @ self.W_query, x @ self.W_key) @ (x @ self.W_value)


class SelfAttentionV2(nn.Module):
    """The same with linear layers, whose first weights are better to learn from."""

    def __init__(self, d_in: int, d_out: int, qkv_bias: bool = False) -> None:
        """Draw query, key and value layers, as torch does, from its global generator."""
        super().__init__()
        self.W_query = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_key = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_value = nn.Linear(d_in, d_out, bias=qkv_bias)

    def forward(self, x: Tensor) -> Tensor:
        """Context vectors (T, d_out) of token vectors (T, d_in)."""
        context: Tensor = self.weights(x) @ self.W_value(x)
        return context

    def weights(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attention weights (T, T); see `attention_weights` for `mask`."""
        return attention_weights(self.W_query(x), self.W_key(x), mask)


def as_v1(attention: SelfAttentionV2) -> SelfAttentionV1:
    """The same attention as plain matrices (exercise 3.1): a linear layer stores its own transposed."""
    d_out, d_in = attention.W_query.weight.shape
    plain = SelfAttentionV1(d_in, d_out)
    with torch.no_grad():
        plain.W_query.copy_(attention.W_query.weight.T)
        plain.W_key.copy_(attention.W_key.weight.T)
        plain.W_value.copy_(attention.W_value.weight.T)
    return plain
