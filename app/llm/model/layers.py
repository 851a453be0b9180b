"""The parts of a block beside attention: norms and feed-forward layers of both families (chapter 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.llm.config import ModelConfig


class LayerNorm(nn.Module):
    """Zero mean, unit variance over the features, then scale and shift (section 4.2)."""

    def __init__(self, emb_dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.scale = nn.Parameter(torch.ones(emb_dim))
        self.shift = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.scale.shape, self.scale, self.shift, self.eps)  # (B, T, E)


class RMSNorm(nn.Module):
    """Unit root mean square over the features, then scale (Zhang and Sennrich 2019)."""

    def __init__(self, emb_dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.scale = nn.Parameter(torch.ones(emb_dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.scale.shape, self.scale, self.eps)  # (B, T, E)


class GELUFeedForward(nn.Module):
    """Widen, GELU (its tanh form, as in GPT-2), narrow (section 4.3)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        bias = config.norm == "layernorm"
        self.up = nn.Linear(config.emb_dim, config.mlp_dim, bias=bias)
        self.down = nn.Linear(config.mlp_dim, config.emb_dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        narrowed: Tensor = self.down(F.gelu(self.up(x), approximate="tanh"))
        return narrowed  # (B, T, E)


class SwiGLUFeedForward(nn.Module):
    """Widen twice, gate one half by the other's SiLU, narrow (Shazeer 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        bias = config.norm == "layernorm"
        self.gate = nn.Linear(config.emb_dim, config.mlp_dim, bias=bias)
        self.up = nn.Linear(config.emb_dim, config.mlp_dim, bias=bias)
        self.down = nn.Linear(config.mlp_dim, config.emb_dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        narrowed: Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return narrowed  # (B, T, E)


def make_norm(config: ModelConfig) -> LayerNorm | RMSNorm:
    kind = LayerNorm if config.norm == "layernorm" else RMSNorm
    return kind(config.emb_dim, config.norm_eps)


def make_feed_forward(config: ModelConfig) -> GELUFeedForward | SwiGLUFeedForward:
    return GELUFeedForward(config) if config.mlp == "gelu" else SwiGLUFeedForward(config)
