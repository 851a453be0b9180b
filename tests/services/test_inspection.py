"""From a body to a checked inspection, and its work in turns that nobody has to wait out."""

import asyncio
import threading

import pytest
import torch

from app.errors import InvalidRequest, UnknownWord
from app.llm.config import PRESETS, ModelConfig
from app.llm.model.transformer import Transformer
from app.llm.tokenizer.word import WordTokenizer
from app.schemas.inspect import InspectIn
from app.services.inspection import Abandoned, prepare
from tests.fakes import ByteTokenizer, scripted_runtime


@pytest.fixture
def make(settings, database):
    made = []

    def make(tokenizer=None):
        torch.manual_seed(0)
        vocab_size = (tokenizer or ByteTokenizer()).vocab_size
        network = Transformer(ModelConfig(vocab_size, **PRESETS["gpt-tiny"])).eval().requires_grad_(False)
        made.append(scripted_runtime(settings, database, lambda *_: network, tokenizer=tokenizer))
        return made[-1]

    yield make
    for runtime in made:
        runtime.models.close()


def prepared(runtime, **fields: object):
    return asyncio.run(prepare(runtime, InspectIn(**({"text": "abc", "want": ["loss"]} | fields))))


def test_work_that_nobody_wants_ends_between_two_steps_and_frees_the_gate(make):
    inspection, answers = prepared(make()), iter([True, True, False])
    with pytest.raises(Abandoned):
        inspection.open(lambda: next(answers))
    with inspection.model.gate:
        pass


def test_it_waits_for_its_turn(make):
    inspection, found = prepared(make()), []
    waiting = threading.Thread(target=lambda: found.append(b"".join(inspection.open(lambda: True))))
    with inspection.model.gate:
        waiting.start()
        waiting.join(0.1)
        assert found == []
    waiting.join(10)
    assert found[0].startswith(b'{"model":')


def test_a_word_that_the_model_does_not_know_and_a_text_without_a_token(make):
    runtime = make(WordTokenizer.build(["the sea was calm"], 1))
    assert prepared(runtime, text="the calm sea").ids == prepared(runtime, text="the  calm sea").ids
    with pytest.raises(UnknownWord, match="text: ") as refused:
        prepared(runtime, text="the storm")
    assert refused.value.param == "text"
    with pytest.raises(InvalidRequest, match="no token") as refused:
        prepared(runtime, text="   ")
    assert refused.value.param == "text"
