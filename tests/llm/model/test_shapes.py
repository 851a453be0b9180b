"""Names and shapes told from the configuration are those of the network that is made of it."""

from __future__ import annotations

import pytest
import torch

from app.llm.config import PRESETS, ModelConfig
from app.llm.model.shapes import bytes_by_part, weight_shapes
from app.llm.model.transformer import Transformer
from tests.weight_files import CONFIGS

PRESET_CONFIGS = {name: ModelConfig(vocab_size=301, **fields) for name, fields in PRESETS.items()}
ALL = CONFIGS | PRESET_CONFIGS


@pytest.mark.parametrize("config", ALL.values(), ids=ALL)
def test_names_and_shapes_are_the_networks_in_its_order(config: ModelConfig) -> None:
    with torch.device("meta"):
        network = Transformer(config)
    told = [(weight.name, weight.shape) for weight in weight_shapes(config)]
    assert told == [(name, tuple(weight.shape)) for name, weight in network.named_parameters()]
    parts = bytes_by_part(config)
    assert sum(parts.values()) == 4 * network.parameter_count()
    assert parts["attention"] == 4 * sum(
        weight.numel() for block in network.blocks for weight in block.attention.parameters()
    )
    assert (parts["head"] == 0) == config.tied
    assert min(parts["embedding"], parts["feed_forward"], parts["norms"]) > 0


def test_a_million_blocks_cost_no_more_than_one() -> None:
    config = ModelConfig(vocab_size=10, context_length=8, emb_dim=4, n_heads=1, n_layers=1 << 20)
    assert bytes_by_part(config)["norms"] == 4 * ((1 << 20) * 16 + 8)
