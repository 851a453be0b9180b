"""A text read piece by piece has the states of one read at once."""

from __future__ import annotations

import pytest
import torch

from app.llm.config import PRESETS, ModelConfig
from app.llm.errors import ContextOverflow
from app.llm.model.piecewise import PIECE, PiecewisePass
from app.llm.model.transformer import Transformer


@pytest.mark.parametrize("preset", ["llama-tiny", "gpt-tiny"])
@pytest.mark.parametrize("tokens", [1, PIECE, PIECE + 1, 2 * PIECE + 7])
def test_the_states_are_those_of_one_pass(preset: str, tokens: int) -> None:
    torch.manual_seed(0)
    config = ModelConfig(**{"vocab_size": 97, **PRESETS[preset], "context_length": 2 * PIECE + 7})
    network = Transformer(config).eval()
    ids = torch.randint(97, (tokens,)).tolist()
    read = PiecewisePass(network, ids)
    steps = sum(1 for _ in read.steps())
    assert steps == 1 + config.n_layers * -(-tokens // PIECE)
    with torch.inference_mode():
        torch.testing.assert_close(read.states, network.hidden(torch.tensor([ids])), rtol=1e-4, atol=1e-5)


def test_more_than_the_context_is_refused() -> None:
    config = ModelConfig(**{"vocab_size": 97, **PRESETS["llama-tiny"], "context_length": 4})
    with pytest.raises(ContextOverflow):
        PiecewisePass(Transformer(config), [1] * 5)
