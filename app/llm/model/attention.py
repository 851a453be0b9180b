"""Causal self-attention: multi-head (chapter 3), and with grouped queries and rotary positions for Llama."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.llm.config import ModelConfig
from app.llm.model.embedding import rotate
from app.llm.model.kv_cache import LayerCache

MOST_BY_SCORES = 256


class CausalSelfAttention(nn.Module):
    """Attention in which a token sees itself and the past.

    Without a cache all tokens are attended at once (training). With one, `x` holds only the T newest tokens and
    attends S = past + T. Both give the same numbers.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        self.drop_rate = config.drop_rate
        kv_dim = config.kv_heads * config.head_dim
        self.query = nn.Linear(config.emb_dim, config.emb_dim, bias=config.qkv_bias)
        self.key = nn.Linear(config.emb_dim, kv_dim, bias=config.qkv_bias)
        self.value = nn.Linear(config.emb_dim, kv_dim, bias=config.qkv_bias)
        self.out = nn.Linear(config.emb_dim, config.emb_dim, bias=config.norm == "layernorm")
        self.grouped = config.kv_heads != config.n_heads

    def forward(
        self, x: Tensor, angles: tuple[Tensor, Tensor] | None = None, cache: LayerCache | None = None
    ) -> Tensor:
        """Mix information between tokens.

        Args:
            x: hidden states of the new tokens, (B, T, E).
            angles: rotary cosines and sines of the new tokens' positions, (T, D) each.
            cache: keys and values of earlier tokens; grown in place by T.

        Returns:
            Mixed hidden states, (B, T, E).
        """
        q, k, v = self.project(x, angles)
        if cache is not None:
            k, v = cache.append(k, v)  # (B, H_kv, S, D)
        mixed = self._by_scores(q, k, v) if self._is_faster_by_scores(q, k) else self._fused(q, k, v)  # (B, H, T, D)
        joined: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return joined  # (B, T, E)

    def _fused(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        new, seen = q.size(2), k.size(2)
        return F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=_may_see(new, seen, q.device) if 1 < new < seen else None,
            dropout_p=self.drop_rate if self.training else 0.0,
            is_causal=new == seen and new > 1,
            enable_gqa=self.grouped,
        )

    def _is_faster_by_scores(self, q: Tensor, k: Tensor) -> bool:
        """Whether the compiler, which joins the softmax's passes, beats the fused attention.

        Where it was measured: on a processor, of bfloat16 products, up to 256 tokens (docs/performance.md).
        """
        return (
            torch.compiler.is_compiling()
            and q.device.type == "cpu"
            and torch.is_autocast_enabled("cpu")
            and not self.grouped
            and q.size(2) == k.size(2) <= MOST_BY_SCORES
        )

    def _by_scores(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Section 3.5 as it is written: scores, mask, softmax, dropout. The softmax is float32."""
        scores = (q @ k.transpose(2, 3)).float() * self.head_dim**-0.5  # (B, H, T, T)
        hidden = ~_may_see(q.size(2), k.size(2), q.device)
        shares = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        return F.dropout(shares, self.drop_rate, self.training).to(v.dtype) @ v

    def project(self, x: Tensor, angles: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, D), keys and values (B, H_kv, T, D) of states x, (B, T, E); positions are in q and k."""
        q, k, v = (self._split_heads(part(x)) for part in (self.query, self.key, self.value))
        if angles is not None:
            q, k = rotate(q, angles), rotate(k, angles)
        return q, k, v

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], -1, self.head_dim).transpose(1, 2)  # (B, T, H * D) to (B, H, T, D)


def _may_see(new: int, seen: int, device: torch.device) -> Tensor:
    """Which of S tokens each of the T newest may look at, (T, S)."""
    return torch.ones(new, seen, dtype=torch.bool, device=device).tril(seen - new)
