"""Section 3.5: a token must not look at what comes after it, and in training some of its looks are dropped."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from app.llm.lessons.self_attention import attention_weights


def causal_mask(tokens: int, device: torch.device | None = None) -> Tensor:
    """True above the diagonal of (T, T): where a token would look ahead."""
    return torch.ones(tokens, tokens, dtype=torch.bool, device=device).triu(diagonal=1)


def hide_and_renormalise(weights: Tensor) -> Tensor:
    """The book's first way: zeros above the diagonal of weights (T, T), then each row made to sum to 1 again.

    It equals a mask on the scores before softmax, as shares of what is left do not depend on what was hidden.
    """
    seen = weights.masked_fill(causal_mask(weights.size(-1), weights.device), 0.0)
    return seen / seen.sum(dim=-1, keepdim=True)


class CausalAttention(nn.Module):
    """One head over a batch. The mask is made for the tokens at hand, so no context length need be known."""

    def __init__(self, d_in: int, d_out: int, dropout: float = 0.0, qkv_bias: bool = False) -> None:
        super().__init__()
        self.W_query = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_key = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_value = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Context vectors (B, T, d_out) of token vectors (B, T, d_in)."""
        mask = causal_mask(x.size(1), x.device)
        weights = self.dropout(attention_weights(self.W_query(x), self.W_key(x), mask))  # (B, T, T)
        context: Tensor = weights @ self.W_value(x)
        return context
