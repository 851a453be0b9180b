"""Likelihoods of continuations: the numbers of one plain pass, whatever stands beside them in the batch."""

from __future__ import annotations

import pytest
import torch

from app.llm import continuations
from app.llm.config import ModelConfig
from app.llm.continuations import Pair, likelihoods
from app.llm.errors import ContextOverflow
from app.llm.model.transformer import Transformer

CONFIG = ModelConfig(vocab_size=23, context_length=16, emb_dim=8, n_heads=2, n_layers=2)


@pytest.fixture
def model() -> Transformer:
    torch.manual_seed(3)
    return Transformer(CONFIG).eval()


def ids(count: int, seed: int) -> list[int]:
    return torch.randint(0, 23, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


@torch.no_grad()
def plainly(model: Transformer, context: list[int], continuation: list[int]) -> float:
    """By the whole pass of all tokens, (T, V), in double precision."""
    logits = model(torch.tensor([[*context, *continuation]]))[0].double().log_softmax(-1)
    return sum(float(logits[len(context) - 1 + place, token]) for place, token in enumerate(continuation))


PAIRS = [Pair(ids(5, 1), ids(1, 2)), Pair(ids(9, 3), ids(4, 4)), Pair(ids(1, 5), ids(7, 6))]


def test_they_are_those_of_a_plain_pass(model: Transformer) -> None:
    found = likelihoods(model, PAIRS)
    wanted = [plainly(model, list(context), list(continuation)) for context, continuation in PAIRS]
    assert [each.log_probability for each in found] == pytest.approx(wanted, rel=1e-5)
    assert [each.cut for each in found] == [0, 0, 0]


def test_what_stands_beside_one_changes_nothing(model: Transformer) -> None:
    together = [each.log_probability for each in likelihoods(model, PAIRS)]
    alone = [likelihoods(model, [pair])[0].log_probability for pair in PAIRS]
    assert together == pytest.approx(alone, rel=1e-6)


def test_logits_that_are_made_in_parts_are_the_same(model: Transformer, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = likelihoods(model, PAIRS)
    monkeypatch.setattr(continuations, "LOGITS_AT_ONCE", 2 * CONFIG.vocab_size)
    parts = likelihoods(model, PAIRS)
    assert [each.log_probability for each in parts] == pytest.approx([each.log_probability for each in whole], rel=1e-6)
    assert [each.is_greedy for each in parts] == [each.is_greedy for each in whole]


def test_the_likeliest_text_is_greedy_and_another_is_not(model: Transformer) -> None:
    context = ids(6, 7)
    written = list(context)
    for _ in range(3):
        written.append(int(model(torch.tensor([written]))[0, -1].argmax()))
    other = [*written[6:8], (written[8] + 1) % 23]
    found = likelihoods(model, [Pair(context, written[6:]), Pair(context, other)])
    assert [each.is_greedy for each in found] == [True, False]


def test_a_context_that_does_not_fit_is_read_at_its_end(model: Transformer) -> None:
    context, continuation = ids(30, 8), ids(4, 9)
    (found,) = likelihoods(model, [Pair(context, continuation)])
    assert found.cut == 30 + 4 - 17  # one more than the context: the last token is foretold and not read
    assert found.log_probability == pytest.approx(plainly_cut(model, context, continuation), rel=1e-5)


@torch.no_grad()
def plainly_cut(model: Transformer, context: list[int], continuation: list[int]) -> float:
    read = [*context, *continuation][-17:]
    logits = model(torch.tensor([read[:-1]]))[0].double().log_softmax(-1)  # (16, V)
    return sum(float(logits[place, token]) for place, token in zip(range(12, 16), continuation, strict=True))


def test_a_continuation_may_fill_the_context_and_be_no_longer(model: Transformer) -> None:
    (found,) = likelihoods(model, [Pair(ids(3, 1), ids(16, 2))])
    assert found.cut == 2
    assert found.log_probability < 0
    with pytest.raises(ContextOverflow, match="17 tokens is longer than the context of 16"):
        likelihoods(model, [Pair(ids(3, 1), ids(17, 2))])
