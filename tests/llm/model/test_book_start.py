"""The book's starting weights. That they are its numbers, chapter 4's facts say in tests/test_book_training.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from app.llm.config import ModelConfig
from app.llm.errors import BadConfig
from app.llm.lessons.gpt import GPT
from app.llm.model.book_start import book_network

TINY = dict(vocab_size=30, context_length=8, emb_dim=12, n_heads=2, n_layers=2)


def test_they_are_those_of_the_lessons_gpt() -> None:
    torch.manual_seed(3)
    ours = list(book_network(ModelConfig(**TINY)).parameters())
    after = torch.rand(1)
    torch.manual_seed(3)
    theirs = list(GPT(ModelConfig(**TINY)).parameters())
    assert torch.equal(after, torch.rand(1))
    assert sorted(p.sum().item() for p in ours) == sorted(p.sum().item() for p in theirs)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tied": True}, "tied"),
        ({"norm": "rmsnorm"}, "norm"),
        ({"n_kv_heads": 1}, "n_kv_heads"),
        ({"mlp": "swiglu"}, "mlp"),
    ],
)
def test_other_networks_have_no_such_weights(change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadConfig) as refused:
        book_network(ModelConfig(**TINY | change))
    assert refused.value.field == field
