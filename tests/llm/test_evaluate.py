"""Mean loss and greedy text."""

from __future__ import annotations

import math

import pytest
import torch

from app.llm.config import PRESETS, ModelConfig
from app.llm.errors import TrainingStopped
from app.llm.evaluate import mean_loss, write_greedily
from app.llm.model.transformer import Transformer

CONFIG = ModelConfig(**{**PRESETS["llama-tiny"], "vocab_size": 23, "context_length": 12})


@pytest.fixture(scope="module")
def model() -> Transformer:
    torch.manual_seed(4)
    return Transformer(CONFIG).eval()


def by_full_passes(model: Transformer, prompt: list[int], new_tokens: int) -> list[int]:
    ids = list(prompt)
    for _ in range(new_tokens):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


def test_the_mean_of_no_loss_is_no_number():
    assert math.isnan(mean_loss([], lambda: None))
    assert mean_loss([torch.tensor(1.0), torch.tensor(2.0)], lambda: None) == 1.5


def test_a_check_ends_the_work_between_two_losses():
    taken = []

    def stop() -> None:
        raise TrainingStopped("cancelled")

    with pytest.raises(TrainingStopped):
        mean_loss((taken.append(i) or torch.tensor(1.0) for i in range(5)), stop)
    assert taken == [0]


def test_text_is_the_likeliest_token_each_time(model):
    assert write_greedily(model, [1, 2, 3], 6) == by_full_passes(model, [1, 2, 3], 6)


def test_a_full_context_ends_the_text(model):
    assert len(write_greedily(model, [1, 2, 3], 12)) == 11  # the last token of the prompt is left, and 11 places
    assert len(write_greedily(model, list(range(20)), 5)) == 5


def test_a_long_prompt_is_read_from_its_end(model):
    assert write_greedily(model, list(range(20)), 5) == by_full_passes(model, list(range(13, 20)), 5)


def test_the_stop_id_ends_the_text_and_is_left_out(model):
    written = write_greedily(model, [1, 2, 3], 6)
    assert write_greedily(model, [1, 2, 3], 6, stop_id=written[-1]) == written[: written.index(written[-1])]
