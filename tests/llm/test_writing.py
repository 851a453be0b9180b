"""Many prompts through one engine: each answer is what its prompt alone gives."""

from __future__ import annotations

import pytest
import torch

from app.llm.config import ModelConfig
from app.llm.engine.engine import Engine
from app.llm.engine.torch_runner import TorchRunner
from app.llm.errors import TrainingStopped
from app.llm.evaluate import write_greedily
from app.llm.model.transformer import Transformer
from app.llm.writing import Written, write_all

CONFIG = ModelConfig(vocab_size=29, context_length=16, emb_dim=8, n_heads=2, n_layers=2)
PROMPTS = [[1], [2, 3, 4], [5, 6], [7, 8, 9, 10], [11]]


@pytest.fixture
def model() -> Transformer:
    torch.manual_seed(5)
    return Transformer(CONFIG).eval()


def engine(model: Transformer) -> Engine:
    return Engine(TorchRunner(model, kv_cache_tokens=64))


def test_answers_are_those_of_each_prompt_alone(model: Transformer) -> None:
    stop = write_greedily(model, PROMPTS[0], 6)[3]
    written = write_all(engine(model), enumerate(PROMPTS), 6, frozenset({stop}), at_once=2)
    found = {each.number: each for each in written}
    assert found == {
        number: Written(number, write_greedily(model, prompt, 6, stop_id=stop)) for number, prompt in enumerate(PROMPTS)
    }
    assert len(found[0].ids) <= 3


def test_a_prompt_that_cannot_run_is_told_and_the_others_go_on(model: Transformer) -> None:
    found = {
        each.number: each
        for each in write_all(engine(model), enumerate([[1], [], [2] * 14, [3]]), 4, frozenset(), at_once=4)
    }
    assert {number for number, each in found.items() if each.error} == {1, 2}
    assert "context" in str(found[2].error)
    assert found[3].ids == write_greedily(model, [3], 4)


def test_it_can_be_stopped(model: Transformer) -> None:
    def check() -> None:
        raise TrainingStopped("paused")

    with pytest.raises(TrainingStopped):
        list(write_all(engine(model), enumerate(PROMPTS), 6, frozenset(), at_once=2, check=check))
