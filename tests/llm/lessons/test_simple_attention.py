"""Section 3.3, where nothing is drawn: six words, and how much each is like each."""

from __future__ import annotations

import torch
from torch import Tensor

from app.llm.lessons.simple_attention import attend, softmax_by_hand
from tests.llm.lessons.book import assert_is


def test_the_six_words(words: Tensor) -> None:
    assert_is(words, "ch03.inputs")
    found = attend(words)
    assert_is(found.scores, "ch03.simple.scores")
    assert_is(found.weights, "ch03.simple.weights")
    assert_is(found.context, "ch03.simple.context")


def test_softmax_of_the_second_words_scores(words: Tensor) -> None:
    scores = words @ words[1]  # how the book begins: one query alone
    assert_is(softmax_by_hand(scores), "ch03.simple.weights2.softmax")
    torch.testing.assert_close(softmax_by_hand(scores), torch.softmax(scores, dim=0))


def test_shares_sum_to_one_and_context_is_their_mean(words: Tensor) -> None:
    found = attend(words)
    torch.testing.assert_close(found.weights.sum(dim=1), torch.ones(6))
    by_hand = torch.stack([sum(w * x for w, x in zip(row, words, strict=True)) for row in found.weights])
    torch.testing.assert_close(found.context, by_hand)
