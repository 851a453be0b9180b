"""The book's starting weights: torch's defaults, drawn in the order in which its GPT makes its layers (chapter 4).

Ours start as GPT-2's did, with numbers drawn apart for each run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from app.llm.config import ModelConfig
from app.llm.model.transformer import Transformer


def book_network(config: ModelConfig) -> Transformer:
    """A network on the CPU with the book's weights, out of torch's global generator.

    Raises:
        BadConfig: it is no network of the book's parts.
    """
    config.check_book_parts()
    with torch.device("meta"):
        model = Transformer(config)  # draws nothing
    model.to_empty(device="cpu")
    for module in _as_the_book_makes_them(model):
        module.reset_parameters()
    for norm in [model.final_norm, *(part for block in model.blocks for part in _norms(block))]:
        nn.init.ones_(norm.scale)
        nn.init.zeros_(norm.shift)
    return model


def _as_the_book_makes_them(model: Transformer) -> Iterator[Any]:
    yield from (model.token_embedding, model.position_embedding)
    for block in model.blocks:
        attention: Any = block.attention
        forward: Any = block.feed_forward
        yield from (attention.query, attention.key, attention.value, attention.out, forward.up, forward.down)
    yield model.output


def _norms(block: nn.Module) -> tuple[Any, Any]:
    return block.attention_norm, block.feed_forward_norm
