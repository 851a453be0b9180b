"""Section 4.5: the shape stays, and who sees whom is the mask's alone."""

from __future__ import annotations

import torch

from app.llm.lessons.block import TransformerBlock
from app.llm.lessons.causal_attention import causal_mask


def test_the_shape_stays() -> None:
    """The book's example: two texts of four tokens of 768 features."""
    assert TransformerBlock(768, 12, dropout=0.1)(torch.rand(2, 4, 768), causal_mask(4)).shape == (2, 4, 768)


def test_the_mask_decides_who_is_seen() -> None:
    block, x = TransformerBlock(8, 2), torch.randn(1, 5, 8)
    changed = x.clone()
    changed[0, 3, 0] += 1  # one feature: the norm would take out what is added to all
    for mask, reaches_back in ((causal_mask(5), False), (None, True)):
        moved = (block(changed, mask) - block(x, mask)).abs().sum(dim=-1)[0] > 1e-6
        assert moved.tolist() == [reaches_back] * 3 + [True, True]


def test_with_nothing_learned_to_add_a_block_passes_its_input_on() -> None:
    block, x = TransformerBlock(8, 2), torch.randn(1, 5, 8)
    with torch.no_grad():
        for layer in (block.att.out_proj, block.ff.layers[2]):
            layer.weight.zero_()
            layer.bias.zero_()
    assert torch.equal(block(x), x)
