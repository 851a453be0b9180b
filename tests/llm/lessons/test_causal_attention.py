"""Section 3.5: two ways to hide the future that are one, and dropout."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from app.llm.lessons.causal_attention import CausalAttention, causal_mask, hide_and_renormalise
from app.llm.lessons.self_attention import SelfAttentionV2
from tests.golden_facts import FACTS
from tests.llm.lessons.book import assert_is, seeded


def test_masked_scores_and_both_ways_to_weights(words: Tensor) -> None:
    v2, mask = seeded(789, lambda: SelfAttentionV2(d_in=3, d_out=2)), causal_mask(6)
    scores = (v2.W_query(words) @ v2.W_key(words).T).masked_fill(mask, -math.inf)
    expected = [[-math.inf if x is None else x for x in row] for row in FACTS["ch03.mask.scores"]["expected"]]
    torch.testing.assert_close(scores, torch.tensor(expected), atol=1e-4, rtol=0)
    assert_is(v2.weights(words, mask), "ch03.mask.weights")
    assert_is(hide_and_renormalise(v2.weights(words)), "ch03.mask.weights")


def test_dropout_of_ones(golden: Any) -> None:
    """The draw of this torch on this kind of machine; the book warns that other systems may draw otherwise."""
    fact = golden("ch03.dropout.ones")
    dropped = seeded(fact["inputs"]["seed"], lambda: nn.Dropout(fact["inputs"]["p"])(torch.ones(6, 6)))
    assert_is(dropped, "ch03.dropout.ones")
    assert set(dropped.unique().tolist()) == {0.0, 2.0}  # what stays is scaled up, so that the mean does


def test_a_batch_of_two(golden: Any, words: Tensor) -> None:
    attention = seeded(123, lambda: CausalAttention(d_in=3, d_out=2))
    out = attention(torch.stack((words, words)))
    assert list(out.shape) == golden("ch03.causal.out")["inputs"]["shape"]
    for text in out:
        assert_is(text, "ch03.causal.out")


def test_the_future_does_not_count(words: Tensor) -> None:
    attention, changed = CausalAttention(3, 2), words.clone()
    changed[4:] = 9.0
    before, after = attention(words[None])[0], attention(changed[None])[0]
    torch.testing.assert_close(before[:4], after[:4])
    assert not torch.allclose(before[4:], after[4:])


def test_dropout_acts_in_training_alone(words: Tensor) -> None:
    attention = CausalAttention(3, 2, dropout=0.5)
    assert not torch.equal(attention(words[None]), attention(words[None]))
    attention.eval()
    assert torch.equal(attention(words[None]), attention(words[None]))
