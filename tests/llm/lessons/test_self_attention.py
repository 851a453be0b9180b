"""Section 3.4. Numbers of torch's CPU generator: `rand` for the plain matrices, Linear's first weights for layers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from app.llm.lessons.self_attention import SelfAttentionV1, SelfAttentionV2, as_v1, attention_weights
from tests.llm.lessons.book import assert_is, seeded


@pytest.fixture(scope="module")
def v1() -> SelfAttentionV1:
    return seeded(123, lambda: SelfAttentionV1(d_in=3, d_out=2))


def test_the_three_matrices(v1: SelfAttentionV1) -> None:
    assert_is(v1.W_query, "ch03.qkv.weights", "Wq")
    assert_is(v1.W_key, "ch03.qkv.weights", "Wk")
    assert_is(v1.W_value, "ch03.qkv.weights", "Wv")


def test_the_second_word_step_by_step(v1: SelfAttentionV1, words: Tensor) -> None:
    query, keys, values = words[1] @ v1.W_query, words @ v1.W_key, words @ v1.W_value
    assert_is(query, "ch03.qkv.query2")
    assert_is(keys, "ch03.qkv.keys_values", "k")
    assert_is(values, "ch03.qkv.keys_values", "v")
    assert_is(query @ keys[1], "ch03.qkv.score22")
    weights = attention_weights(query[None], keys)[0]
    assert_is(weights, "ch03.qkv.weights2")
    assert_is(weights @ values, "ch03.qkv.context2")


def test_all_words_by_matrices(v1: SelfAttentionV1, words: Tensor) -> None:
    assert_is(v1(words), "ch03.v1.out")


@pytest.mark.parametrize(("fact", "seed"), [("ch03.v2.out", 789), ("ch03.v2.seed123", 123)])
def test_all_words_by_layers(golden: Any, words: Tensor, fact: str, seed: int) -> None:
    assert golden(fact)["inputs"]["seed"] == seed
    assert_is(seeded(seed, lambda: SelfAttentionV2(d_in=3, d_out=2))(words), fact)


def test_weights_of_the_layers(words: Tensor) -> None:
    assert_is(seeded(789, lambda: SelfAttentionV2(d_in=3, d_out=2)).weights(words), "ch03.v2.weights")


def test_exercise_3_1_both_are_the_same(words: Tensor) -> None:
    v2 = SelfAttentionV2(d_in=3, d_out=2)
    torch.testing.assert_close(as_v1(v2)(words), v2(words))


@pytest.mark.parametrize("masked", [False, True])
def test_it_is_torchs_own_attention(masked: bool) -> None:
    queries, keys, values = torch.randn(2, 5, 4), torch.randn(2, 7, 4), torch.randn(2, 7, 3)
    mask = torch.rand(2, 5, 7) < 0.5 if masked else None
    if mask is not None:
        mask[..., 0] = False  # each row keeps something to look at
    theirs = F.scaled_dot_product_attention(queries, keys, values, attn_mask=None if mask is None else ~mask)
    torch.testing.assert_close(attention_weights(queries, keys, mask) @ values, theirs)


def test_scaling_keeps_wide_heads_from_looking_at_one_key_alone() -> None:
    queries, keys = torch.randn(1, 4096), torch.randn(8, 4096)
    unscaled = attention_weights(queries * math.sqrt(4096), keys)
    assert unscaled.max() > 0.999
    assert attention_weights(queries, keys).max() < 0.95
