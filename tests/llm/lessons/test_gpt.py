"""Chapter 4's models: the book's logits, which rest on torch's CPU draws in the order the layers are made."""

from __future__ import annotations

from typing import Any

import torch

from app.llm.config import PRESETS, ModelConfig
from app.llm.lessons.gpt import GPT, GPT_CONFIG_124M, DummyGPT
from app.llm.tokenizer.base import Tokenizer
from tests.llm.lessons.book import BATCH, Chapter4, assert_is, ends, seeded

SMALL = ModelConfig(vocab_size=23, context_length=9, emb_dim=12, n_heads=3, n_layers=2, drop_rate=0.3)


def test_the_configuration(golden: Any) -> None:
    """The service's preset is the released GPT-2: with biases at q, k, v, and the head tied to the embedding."""
    expected = golden("ch04.config")["expected"]
    assert ModelConfig(**expected) == GPT_CONFIG_124M
    preset = ModelConfig(**PRESETS["gpt2-124m"], vocab_size=expected["vocab_size"]).to_dict()
    assert preset | {"qkv_bias": False, "tied": False} == GPT_CONFIG_124M.to_dict()


def test_the_batch_is_the_books_two_sentences(gpt2: Tokenizer) -> None:
    assert [gpt2.encode("Every effort moves you"), gpt2.encode("Every day holds a")] == BATCH.tolist()


@torch.no_grad()
def test_the_frame_alone(golden: Any) -> None:
    """First with dropout, whose draw may differ on other systems, as the book says; then without."""
    model = seeded(123, lambda: DummyGPT(GPT_CONFIG_124M))
    logits = model(BATCH)
    assert list(logits.shape) == golden("ch04.dummy.logits")["inputs"]["shape"]
    assert_is(ends(logits), "ch04.dummy.logits")
    assert_is(ends(model.eval()(BATCH)), "ch04.dummy.logits.nodrop")


@torch.no_grad()
def test_the_whole_model(chapter4: Chapter4) -> None:
    """The first with dropout, whose draw may differ on other systems, as the book says."""
    assert_is(ends(chapter4.training_logits), "ch04.gpt.logits.train")
    assert_is(ends(chapter4.gpt(BATCH)), "ch04.gpt.logits.eval")


@torch.no_grad()
def test_a_token_sees_no_later_one() -> None:
    model, ids = GPT(SMALL).eval(), torch.arange(8)[None]
    changed = ids.clone()
    changed[0, 5:] += 10
    torch.testing.assert_close(model(ids)[:, :5], model(changed)[:, :5])
    assert not torch.allclose(model(ids)[:, 5:], model(changed)[:, 5:])


def test_dropout_acts_in_training_alone() -> None:
    model, ids = GPT(SMALL), torch.arange(8)[None]
    assert not torch.equal(model(ids), model(ids))
    model.eval()
    assert torch.equal(model(ids), model(ids))
