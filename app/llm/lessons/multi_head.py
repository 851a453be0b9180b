"""Section 3.6: several heads look at once, each in a space of its own; first as a list of heads, then in one go."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from app.llm.errors import BadConfig
from app.llm.lessons.causal_attention import CausalAttention
from app.llm.lessons.self_attention import attention_weights


class MultiHeadAttentionWrapper(nn.Module):
    """Heads of `d_out` features each, one after the other, their results side by side."""

    def __init__(self, d_in: int, d_out: int, num_heads: int, dropout: float = 0.0, qkv_bias: bool = False) -> None:
        super().__init__()
        self.heads = nn.ModuleList(CausalAttention(d_in, d_out, dropout, qkv_bias) for _ in range(num_heads))

    def forward(self, x: Tensor) -> Tensor:
        """Context vectors (B, T, num_heads * d_out) of token vectors (B, T, d_in)."""
        return torch.cat([head(x) for head in self.heads], dim=-1)


class MultiHeadAttention(nn.Module):
    """Heads that share `d_out` features: one projection each for all, split afterwards.

    What may be looked at is the caller's to say. With a causal `mask` it is a decoder's attention, as the book
    has it; without a mask an encoder's; with a `context` it looks at another text than its own.
    """

    def __init__(self, d_in: int, d_out: int, num_heads: int, dropout: float = 0.0, qkv_bias: bool = False) -> None:
        """Draw the layers in the book's order: query, key, value, output.

        Raises:
            BadConfig: the heads do not divide `d_out`.
        """
        if d_out % num_heads:
            raise BadConfig("num_heads", f"{num_heads} heads do not divide d_out {d_out}")
        super().__init__()
        self.head_dim = d_out // num_heads
        self.W_query = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_key = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_value = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.out_proj = nn.Linear(d_out, d_out)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """Look, and take what is seen.

        Args:
            x: vectors that look, (B, T, d_in).
            mask: True where they must not, broadcast to (B, H, T, S).
            context: vectors that are looked at, (B, S, d_in); without it those of `x`, so that S = T.

        Returns:
            Context vectors, (B, T, d_out).
        """
        values = self._split(self.W_value(x if context is None else context))  # (B, H, S, D)
        mixed = self.dropout(self.weights(x, mask, context)) @ values  # (B, H, T, D)
        joined: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return joined  # (B, T, d_out)

    def weights(self, x: Tensor, mask: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """How each head looks, (B, H, T, S), before dropout."""
        queries = self._split(self.W_query(x))  # (B, H, T, D)
        keys = self._split(self.W_key(x if context is None else context))  # (B, H, S, D)
        return attention_weights(queries, keys, mask)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], -1, self.head_dim).transpose(1, 2)  # (B, T, H * D) to (B, H, T, D)
