"""Attention in training: by scores, where the compiler makes that faster, and by PyTorch's fused operator."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from app.llm.config import ModelConfig
from app.llm.model import attention
from app.llm.model.attention import CausalSelfAttention

SHAPE = ModelConfig(vocab_size=16, context_length=64, emb_dim=32, n_heads=4, n_layers=1, drop_rate=0.0, qkv_bias=True)


def layer() -> CausalSelfAttention:
    torch.manual_seed(1)
    return CausalSelfAttention(SHAPE)


def gradients(by_scores: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor]:
    """What comes out of (2, 64, 32) states, and the gradient of the query's weight."""
    monkeypatch.setattr(CausalSelfAttention, "_is_faster_by_scores", lambda *_: by_scores)
    own = layer()
    states = torch.randn(2, 64, 32, generator=torch.Generator().manual_seed(2))
    out = own(states)
    out.pow(2).sum().backward()
    assert own.query.weight.grad is not None
    return out.detach(), own.query.weight.grad


def test_both_ways_give_the_same_outputs_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    found, wanted = gradients(True, monkeypatch), gradients(False, monkeypatch)
    for ours, theirs in zip(found, wanted, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_scores_are_for_compiled_training_in_bfloat16_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    own, q = layer(), torch.zeros(1, 4, 64, 8)
    assert not own._is_faster_by_scores(q, q)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert not own._is_faster_by_scores(q, q)
    with torch.autocast("cpu", torch.bfloat16):
        assert own._is_faster_by_scores(q, q)
        assert not own._is_faster_by_scores(q[:, :, :1], q)
        monkeypatch.setattr(attention, "MOST_BY_SCORES", 63)
        assert not own._is_faster_by_scores(q, q)
