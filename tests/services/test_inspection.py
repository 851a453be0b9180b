"""From a body to a checked inspection, and its work in turns that nobody has to wait out."""

import asyncio
import threading

import pytest
import torch

from app.errors import DataMissing, InvalidRequest, UnknownWord
from app.llm.config import PRESETS, ModelConfig, SamplingParams
from app.llm.engine.request import Request
from app.llm.model.transformer import Transformer
from app.llm.tokenizer.word import WordTokenizer
from app.schemas.inspect import InspectIn
from app.services.inspection import Abandoned, prepare
from app.services.model_files import BUILT_IN
from tests.fakes import ByteTokenizer, eventually, scripted_runtime


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


def test_files_that_went_or_changed_are_told_and_generation_goes_on(make):
    runtime = make()
    inspection = prepared(runtime)
    model, file = inspection.model, runtime.storage.asset(BUILT_IN[inspection.model.name].file_name)
    file.write_bytes(b"others")
    with pytest.raises(DataMissing, match="changed since it was loaded; unload it"):
        inspection.open(lambda: True)
    file.unlink()
    with pytest.raises(DataMissing, match=r"cannot be read again: .*No such file") as refused:
        inspection.open(lambda: True)
    assert refused.value.param == "model"

    async def write() -> None:
        stream = model.loop.submit([Request("r", (1,), SamplingParams(2, temperature=0.0))])
        assert await stream.next()

    asyncio.run(write())
    assert not model.network.is_lent


def test_the_gate_is_open_while_the_network_is_read_again(make):
    runtime, may_read = make(), threading.Event()
    inspection = prepared(runtime)
    read = inspection.model.network._read
    inspection.model.network._read = lambda: read() if may_read.wait(5) else None
    waiting = threading.Thread(target=lambda: inspection.open(lambda: True))
    waiting.start()
    eventually(lambda: inspection.model.network.is_lent)
    with inspection.model.gate:
        may_read.set()
        eventually(lambda: inspection.model.network._network is not None)
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_word_that_the_model_does_not_know_and_a_text_without_a_token(make):
    runtime = make(WordTokenizer.build(["the sea was calm"], 1))
    assert prepared(runtime, text="the calm sea").ids == prepared(runtime, text="the  calm sea").ids
    with pytest.raises(UnknownWord, match="text: ") as refused:
        prepared(runtime, text="the storm")
    assert refused.value.param == "text"
    with pytest.raises(InvalidRequest, match="no token") as refused:
        prepared(runtime, text="   ")
    assert refused.value.param == "text"
