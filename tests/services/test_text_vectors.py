"""A text as one vector, beside an engine that writes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import torch

from app.config import Settings
from app.db.session import Database
from app.llm.config import PRESETS, ModelConfig, SamplingParams
from app.llm.engine.request import Request
from app.llm.model.piecewise import PIECE
from app.llm.model.transformer import Transformer
from app.services.float_network import FloatNetwork
from app.services.text_vectors import _vector
from tests.fakes import ScriptedModel, scripted_runtime


def a_slow_network() -> FloatNetwork:
    """Each block takes 20 ms, however much it is given."""
    network = Transformer(ModelConfig(**{"vocab_size": 97, **PRESETS["llama-tiny"], "context_length": 4 * PIECE}))
    for block in network.blocks:
        block.register_forward_pre_hook(lambda *_: time.sleep(0.02))
    return FloatNetwork(lambda: network, lambda: None, network=network.eval())


def test_a_stream_goes_on_while_a_long_text_is_read(settings: Settings, database: Database) -> None:
    runtime = scripted_runtime(settings, database, ScriptedModel(ending=65, pass_s=0.001))
    model = runtime.models.get()
    reader, ids = replace(model, network=a_slow_network()), torch.randint(97, (4 * PIECE,)).tolist()

    async def scenario() -> int:
        stream = model.loop.submit([Request("r", (1,), SamplingParams(500, temperature=0.0))])
        await stream.next()
        reading, steps = asyncio.ensure_future(asyncio.to_thread(_vector, reader, ids)), 0
        while not reading.done():
            assert await stream.next()
            steps += 1
        model.loop.abort(["r"])
        assert abs(float((await reading).dot(reading.result())) - 1) < 1e-5
        return steps

    assert asyncio.run(scenario()) >= 4 * PRESETS["llama-tiny"]["n_layers"]
    runtime.models.close()
