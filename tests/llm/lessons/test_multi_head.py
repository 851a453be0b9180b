"""Section 3.6, and that one module serves a decoder, an encoder and what lies between them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.llm.errors import BadConfig
from app.llm.lessons.causal_attention import causal_mask
from app.llm.lessons.cost import parameter_count
from app.llm.lessons.multi_head import MultiHeadAttention, MultiHeadAttentionWrapper
from tests.llm.lessons.book import assert_is, seeded


def test_heads_in_a_list(words: Tensor) -> None:
    """Exercise 3.2: two heads of one feature each."""
    attention = seeded(123, lambda: MultiHeadAttentionWrapper(d_in=3, d_out=1, num_heads=2))
    for text in attention(torch.stack((words, words))):
        assert_is(text, "ch03.wrapper.d1")


def test_heads_in_one_go(golden: Any, words: Tensor) -> None:
    attention, inputs = seeded(123, lambda: MultiHeadAttention(3, 2, num_heads=2)), golden("ch03.mha.out")["inputs"]
    made = [name for name, layer in attention.named_modules() if isinstance(layer, nn.Linear)]
    assert made == inputs["init_order"]
    out = attention(torch.stack((words, words)), causal_mask(6))
    assert list(out.shape) == inputs["shape"]
    for text in out:
        assert_is(text, "ch03.mha.out")


def test_weights_of_gpt2s_size(golden: Any) -> None:
    fact = golden("ch03.mha.params")
    width = fact["inputs"]["d"]
    with torch.device("meta"):  # exercise 3.3
        assert parameter_count(MultiHeadAttention(width, width, num_heads=12)) == fact["expected"]


def test_splitting_is_the_list_of_heads() -> None:
    """With the same weights, each head its rows of the one matrix, and the output projection left out."""
    split, listed = MultiHeadAttention(6, 8, num_heads=4), MultiHeadAttentionWrapper(6, 2, num_heads=4)
    x = torch.randn(2, 5, 6)
    with torch.no_grad():
        for name in ("W_query", "W_key", "W_value"):
            for head, rows in zip(listed.heads, getattr(split, name).weight.split(2), strict=True):
                getattr(head, name).weight.copy_(rows)
        split.out_proj.weight.copy_(torch.eye(8))
        split.out_proj.bias.zero_()
    torch.testing.assert_close(split(x, causal_mask(5)), listed(x))


@pytest.mark.parametrize("looks", ["ahead and back", "back", "at another text"])
def test_it_is_torchs_own_module(looks: str) -> None:
    theirs, ours = nn.MultiheadAttention(8, 2, batch_first=True), MultiHeadAttention(8, 8, num_heads=2, qkv_bias=True)
    parts = zip(theirs.in_proj_weight.split(8), theirs.in_proj_bias.split(8), strict=True)
    with torch.no_grad():
        for layer, (weight, bias) in zip((ours.W_query, ours.W_key, ours.W_value), parts, strict=True):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
    ours.out_proj.load_state_dict(theirs.out_proj.state_dict())
    x, other = torch.randn(3, 5, 8), torch.randn(3, 7, 8)
    mask = causal_mask(5) if looks == "back" else None
    context = other if looks == "at another text" else None
    seen = x if context is None else context
    expected, weights = theirs(x, seen, seen, attn_mask=mask, average_attn_weights=False)
    torch.testing.assert_close(ours(x, mask, context), expected)
    torch.testing.assert_close(ours.weights(x, mask, context), weights)


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(BadConfig, match="3 heads do not divide d_out 8"):
        MultiHeadAttention(8, 8, num_heads=3)
