"""A network that still lies in its file: the same weights by parts and as a whole, and no more read than asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from app.llm.errors import BadWeights
from app.llm.model.stored import StoredNetwork, whole
from app.llm.model.transformer import Transformer
from app.llm.progress import Progress
from app.llm.weights.gguf import load_gguf, stored_gguf
from tests.llm.weights.test_gguf import write_gguf
from tests.weight_files import CONFIGS, a_gguf, a_network


def same(part: nn.Module, other: nn.Module) -> bool:
    pairs = zip(part.named_parameters(), other.named_parameters(), strict=True)
    return all(name == theirs and torch.equal(weight, as_well) for (name, weight), (theirs, as_well) in pairs)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_its_parts_are_those_of_the_network(config, tmp_path: Path) -> None:
    path = a_gguf(tmp_path / "m.gguf", a_network(config))
    network, (_, stored) = load_gguf(path), stored_gguf(path)
    assert stored.config == network.config
    assert stored.parameter_count() == network.parameter_count()
    assert same(stored.token_embedding, network.token_embedding)
    assert same(stored.final_norm, network.final_norm)
    for part, other in zip(stored.blocks, network.blocks, strict=True):
        assert same(part, other)
        assert not part.training
    if config.position == "learned":
        assert same(stored.position_embedding, network.position_embedding)
    if not config.tied:
        assert same(stored.output, network.output)
    name = "blocks.1.attention.key.weight"  # of GPT-2 in one matrix with queries and values
    assert torch.equal(stored.get_parameter(name), network.get_parameter(name))


def test_no_more_is_read_than_is_asked_for() -> None:
    network = a_network(CONFIGS["llama"])
    asked: list[str] = []

    def read(start: str) -> Iterator[tuple[str, Tensor]]:
        asked.append(start)
        return ((name, weight) for name, weight in network.named_parameters() if name.startswith(start))

    stored = StoredNetwork(network.config, read)
    blocks = iter(stored.blocks)
    assert asked == []
    assert same(next(blocks), network.blocks[0])
    assert asked == ["blocks.0."]
    assert stored.final_norm is not stored.final_norm


def test_the_whole_tells_how_far_it_is(tmp_path: Path) -> None:
    network = a_network(CONFIGS["llama"])
    _, stored = stored_gguf(a_gguf(tmp_path / "m.gguf", network))
    told: list[Progress] = []
    assert same(whole(stored, told.append), network)
    weights = len(dict(network.named_parameters()))
    assert (told[0], told[-1]) == (
        Progress("reading weights", 0, weights),
        Progress("reading weights", weights, weights),
    )
    assert whole(network) is network


def test_a_damaged_part_is_refused_when_it_is_read(tmp_path: Path) -> None:
    network: Transformer = a_network(CONFIGS["llama"])
    write_gguf(tmp_path / "m.gguf", network, poison="blk.1.ffn_norm.weight")
    _, stored = stored_gguf(tmp_path / "m.gguf")
    blocks = iter(stored.blocks)
    next(blocks)
    with pytest.raises(BadWeights, match=r"blk\.1\.ffn_norm\.weight.*NaN"):
        next(blocks)
