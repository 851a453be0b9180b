"""Chapter 2's tables. Their numbers are those of torch's CPU generator, `normal_` and `uniform_`, after a seed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from app.llm.lessons.embeddings import InputEmbedding, look_up_by_multiplying
from tests.llm.lessons.book import assert_is, seeded


@pytest.mark.parametrize(("fact", "shape"), [("ch02.emb.6x3", (6, 3)), ("ch02.emb.4x5", (4, 5))])
def test_a_table_is_drawn_from_the_seed(fact: str, shape: tuple[int, int]) -> None:
    assert_is(seeded(123, lambda: nn.Embedding(*shape)).weight, fact)
    assert_is(seeded(123, lambda: InputEmbedding(shape[0], 2, shape[1])).tok_emb.weight, fact)


@pytest.mark.parametrize("fact", ["ch02.emb.lookup3", "ch02.emb.lookup"])
def test_a_lookup_takes_rows(golden: Any, fact: str) -> None:
    table = seeded(123, lambda: nn.Embedding(6, 3))
    ids = torch.tensor(golden(fact)["inputs"]["ids"])
    assert_is(table(ids), fact)
    assert_is(look_up_by_multiplying(table.weight, ids), fact)


def test_a_linear_layer_on_one_hot_vectors_is_an_embedding() -> None:
    """Its weights are drawn otherwise and stored transposed; the same numbers in either do the same."""
    linear, ids = seeded(123, lambda: nn.Linear(4, 5, bias=False)), torch.tensor([2, 3, 1])
    assert_is(linear.weight, "ch02.lin.4x5")
    embedding = nn.Embedding.from_pretrained(linear.weight.T.detach())
    torch.testing.assert_close(linear(torch.eye(4)[ids]), embedding(ids))
    torch.testing.assert_close(look_up_by_multiplying(embedding.weight, ids), embedding(ids))


def test_positions_are_added_to_tokens(golden: Any) -> None:
    fact = golden("ch02.emb.shapes")
    shape, expected = fact["inputs"], fact["expected"]
    layer = InputEmbedding(shape["vocab"], shape["length"], shape["dim"])
    ids = torch.randint(0, shape["vocab"], (shape["batch"], shape["length"]))
    tokens, positions = layer.tok_emb(ids), layer.pos_emb(torch.arange(shape["length"]))
    assert [list(x.shape) for x in (tokens, positions, layer(ids))] == [expected[k] for k in expected]
    for batch in range(shape["batch"]):
        torch.testing.assert_close(layer(ids)[batch] - tokens[batch], positions)


def test_one_token_twice_differs_by_its_place() -> None:
    layer = InputEmbedding(5, 4, 3)
    first, second = layer(torch.tensor([[2, 2]]))[0]
    assert not torch.equal(first, second)
    with pytest.raises(IndexError):
        layer(torch.tensor([[0, 1, 2, 3, 4]]))  # a fifth place has no vector
