"""The lessons and the service compute the same: the book's facts hold for the network that is served, too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from app.llm.config import ModelConfig, SamplingParams
from app.llm.engine.engine import Engine
from app.llm.engine.request import Request, TokenEvent
from app.llm.engine.torch_runner import TorchRunner
from app.llm.lessons.gpt import GPT
from app.llm.lessons.network import as_network
from tests.llm.lessons.book import BATCH, Chapter4, assert_is, ends

SMALL = ModelConfig(vocab_size=23, context_length=9, emb_dim=12, n_heads=3, n_layers=2, drop_rate=0.3)


def greedily(gpt: GPT, prompt: list[int], max_new_tokens: int) -> list[int]:
    """Prompt and continuation, by the engine that `POST /generate` runs on."""
    engine = Engine(TorchRunner(as_network(gpt).eval(), kv_cache_tokens=64))
    engine.add(Request("book", tuple(prompt), SamplingParams(max_new_tokens, temperature=0.0)))
    ids = list(prompt)
    while engine.has_work:
        ids += [event.token_id for event in engine.step() if isinstance(event, TokenEvent)]
    return ids


@torch.no_grad()
def test_the_served_network_has_the_books_logits(chapter4: Chapter4) -> None:
    network = as_network(chapter4.gpt).eval()
    assert_is(ends(network(BATCH)), "ch04.gpt.logits.eval")
    torch.testing.assert_close(network(BATCH), chapter4.gpt(BATCH), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_the_engine_writes_chapter_4s_tokens(golden: Any, chapter4: Chapter4) -> None:
    ids = golden("ch04.generate10")["expected"]["ids"]
    assert greedily(chapter4.gpt, ids[:4], 10) == ids


@torch.inference_mode()
def test_the_engine_writes_chapter_5s_tokens(golden: Any, chapter5: GPT) -> None:
    ids = golden("ch05.generate")["expected"]["ids"]
    assert greedily(chapter5, ids[:4], 10) == ids


@pytest.mark.parametrize("qkv_bias", [False, True])
@torch.no_grad()
def test_weights_are_shared_and_complete(qkv_bias: bool) -> None:
    gpt = GPT(replace(SMALL, qkv_bias=qkv_bias))
    before = torch.get_rng_state()
    network, ids = as_network(gpt), torch.arange(18).view(2, 9)
    assert torch.equal(torch.get_rng_state(), before)  # the book's dropout draws go on where its layers' ended
    assert {p.data_ptr() for p in network.parameters()} == {p.data_ptr() for p in gpt.parameters()}
    assert all(parameter.requires_grad for parameter in network.parameters())
    torch.testing.assert_close(network.eval()(ids), gpt.eval()(ids))
    gpt.emb.tok_emb.weight[3] += 1  # a change to one is a change to the other
    torch.testing.assert_close(network(ids), gpt(ids))


def test_only_the_books_fields_count() -> None:
    """A lesson has no tied head, however its configuration came to be."""
    gpt = GPT(replace(SMALL, tied=True))
    assert not as_network(gpt).config.tied
