"""The network: cached = uncached, counts of the book, and the numbers of another implementation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.llm.config import PRESETS, ModelConfig
from app.llm.errors import ContextOverflow
from app.llm.model.transformer import Transformer

FAMILIES = ("gpt-tiny", "llama-tiny")


def tiny(preset: str, **changed: Any) -> Transformer:
    torch.manual_seed(0)
    return Transformer(ModelConfig(**{"vocab_size": 97, **PRESETS[preset], **changed})).eval()


@pytest.mark.parametrize("preset", FAMILIES)
@pytest.mark.parametrize("cuts", [(1,) * 12, (12,), (5, 1, 4, 2)])
@torch.no_grad()
def test_cached_steps_give_the_logits_of_one_full_pass(preset: str, cuts: tuple[int, ...]) -> None:
    model, ids = tiny(preset), torch.arange(24).view(2, 12)
    cache = model.new_cache(batch_size=2, max_tokens=12)
    steps = [model(part, cache) for part in ids.split(list(cuts), dim=1)]
    torch.testing.assert_close(torch.cat(steps, dim=1), model(ids))


@pytest.mark.parametrize("preset", FAMILIES)
@torch.no_grad()
def test_a_token_sees_no_later_one(preset: str) -> None:
    model = tiny(preset)
    ids = torch.arange(10)[None]
    changed = ids.clone()
    changed[0, 6:] += 20
    torch.testing.assert_close(model(ids)[:, :6], model(changed)[:, :6])
    assert not torch.allclose(model(ids)[:, 6:], model(changed)[:, 6:])


@pytest.mark.parametrize("preset", FAMILIES)
@torch.no_grad()
def test_order_matters(preset: str) -> None:
    model = tiny(preset)
    assert not torch.allclose(model(torch.tensor([[1, 2, 3]]))[:, -1], model(torch.tensor([[2, 1, 3]]))[:, -1])


@pytest.mark.parametrize(
    ("tied", "qkv_bias", "parameters"),
    [(False, False, 163_009_536), (True, False, 124_412_160), (False, True, 163_037_184), (True, True, 124_439_808)],
)
def test_gpt2_small_has_the_books_parameter_count(tied: bool, qkv_bias: bool, parameters: int) -> None:
    config = ModelConfig(50257, 1024, 768, 12, 12, qkv_bias=qkv_bias, tied=tied)
    with torch.device("meta"):
        assert Transformer(config).parameter_count() == parameters


@pytest.mark.parametrize("preset", FAMILIES)
def test_more_than_the_context_is_refused(preset: str) -> None:
    model = tiny(preset, context_length=8)
    with pytest.raises(ContextOverflow, match="9 tokens"):
        model(torch.zeros(1, 9, dtype=torch.long))
    cache = model.new_cache(1, max_tokens=4)
    model(torch.zeros(1, 3, dtype=torch.long), cache)
    with pytest.raises(ContextOverflow, match=r"3 \+ 2 tokens"):
        model(torch.zeros(1, 2, dtype=torch.long), cache)


def test_dropout_acts_in_training_alone() -> None:
    model, ids = tiny("gpt-tiny", drop_rate=0.5), torch.arange(12)[None]
    assert torch.equal(model(ids), model(ids))
    model.train()
    assert not torch.equal(model(ids), model(ids))


@pytest.mark.parametrize("preset", FAMILIES)
def test_it_learns_one_batch_by_heart(preset: str) -> None:
    model, ids = tiny(preset, drop_rate=0.0).train(), torch.randint(0, 97, (2, 17))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(50):
        loss = nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    assert loss.item() < 0.1


def copy_gpt2(model: Transformer, theirs: Any) -> None:
    """Weights of transformers' GPT-2, whose q, k and v are one matrix stored (in, out), into ours."""
    body, width = theirs.transformer, model.config.emb_dim
    model.token_embedding.weight = body.wte.weight
    model.position_embedding.weight = body.wpe.weight
    _copy_norm(model.final_norm, body.ln_f)
    for ours, their in zip(model.blocks, body.h, strict=True):
        _copy_norm(ours.attention_norm, their.ln_1)
        _copy_norm(ours.feed_forward_norm, their.ln_2)
        for number, part in enumerate((ours.attention.query, ours.attention.key, ours.attention.value)):
            where = slice(number * width, (number + 1) * width)
            _copy_linear(part, their.attn.c_attn.weight[:, where], their.attn.c_attn.bias[where])
        _copy_linear(ours.attention.out, their.attn.c_proj.weight, their.attn.c_proj.bias)
        _copy_linear(ours.feed_forward.up, their.mlp.c_fc.weight, their.mlp.c_fc.bias)
        _copy_linear(ours.feed_forward.down, their.mlp.c_proj.weight, their.mlp.c_proj.bias)


def _copy_norm(ours: Any, theirs: Any) -> None:
    ours.scale, ours.shift = theirs.weight, theirs.bias


def _copy_linear(ours: Any, weight: Tensor, bias: Tensor) -> None:
    ours.weight, ours.bias = nn.Parameter(weight.t().contiguous()), nn.Parameter(bias.clone())


@pytest.mark.parity
@torch.no_grad()
def test_gpt2_gives_the_logits_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=97, n_positions=32, n_embd=48, n_head=4, n_layer=3)
    ).eval()
    for parameter in theirs.parameters():  # biases and norms start as zeros and ones, which would hide mistakes
        parameter.add_(torch.randn_like(parameter) * 0.1)
    ours = Transformer(ModelConfig(97, 32, 48, 4, 3, qkv_bias=True, tied=True)).eval()
    copy_gpt2(ours, theirs)
    ids = torch.randint(0, 97, (2, 32))
    torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parity
@torch.no_grad()
def test_llama_gives_the_logits_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    from tests.llm.weights.llama_reference import copy_llama

    torch.manual_seed(2)
    config = ModelConfig(
        97, 32, 48, 6, 3, n_kv_heads=2, hidden_dim=80, norm="rmsnorm", position="rope", mlp="swiglu", rope_base=5e3
    )
    ours = Transformer(config).eval()
    for parameter in ours.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    theirs = copy_llama(transformers, ours)
    ids = torch.randint(0, 97, (2, 32))
    torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-4, rtol=1e-4)
