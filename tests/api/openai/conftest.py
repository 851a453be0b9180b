"""OpenAI's own client, calling a real server around a scripted network or a small random one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import openai
import pytest
import torch

from app.llm.config import ModelConfig
from app.llm.model.transformer import Transformer
from tests.fakes import ByteTokenizer, ScriptedModel, eventually, scripted_runtime
from tests.serving import app_of, served

MODEL = "smollm2-135m-instruct"


def small_network() -> Transformer:
    torch.manual_seed(7)
    config = ModelConfig(
        vocab_size=ByteTokenizer.vocab_size, context_length=64, emb_dim=32, n_heads=2, n_layers=2, drop_rate=0.0
    )
    return Transformer(config).eval()


@pytest.fixture
def client(settings, database) -> Iterator[Callable[..., openai.OpenAI]]:
    """Makes a client of a service around a network; at the end nothing runs and nothing is held."""
    with ExitStack() as stack:
        runtimes = []

        def make(network: object = None, **fields: object) -> openai.OpenAI:
            made = network or ScriptedModel("né 👍!", margin=20.0)
            given = made if isinstance(made, ScriptedModel) else lambda *_: made
            runtime = scripted_runtime(settings.model_copy(update=fields), database, given)
            runtimes.append(runtime)
            port = stack.enter_context(served(app_of(runtime)))
            one = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
            return stack.enter_context(one)

        yield make
        for runtime in runtimes:
            loop = runtime.models.get().loop
            eventually(lambda loop=loop: (loop.running, loop.waiting) == (0, 0), 2.0)
            loop._engine.check_integrity()
            runtime.models.close()
