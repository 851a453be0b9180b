"""OpenAI's own client, calling a real server around a scripted network or a small random one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpx
import openai
import pytest
import torch

from app.llm.config import ModelConfig
from app.llm.model.transformer import Transformer
from app.main import create_app
from app.services.runtime import Runtime
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


@dataclass(frozen=True)
class Site:
    """A whole service without assets, with a tokenizer of the shipped story's words; no worker."""

    openai: openai.OpenAI
    native: httpx.Client
    runtime: Runtime


@pytest.fixture
def site(settings) -> Iterator[Site]:
    chosen = settings.model_copy(update={"assets_dir": settings.data_dir / "no-assets", "default_tokenizer": "tides"})
    app = create_app(chosen)
    with ExitStack() as stack:
        port = stack.enter_context(served(app))
        address = f"http://127.0.0.1:{port}"
        native = stack.enter_context(httpx.Client(base_url=address))
        new = {"name": "tides", "kind": "word", "version": 2, "dataset": "the-tide-clock"}
        assert native.post("/tokenizers", json=new).status_code == 201
        one = stack.enter_context(openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0))
        yield Site(one, native, app.state.runtime)


def refusal(error: openai.APIStatusError) -> tuple[int, str, str | None]:
    """Status, code and field of a refusal in the one shape."""
    body = error.response.json()["error"]
    assert set(body) == {"message", "type", "param", "code"}
    assert body["message"]
    assert body["param"] is None or body["param"] in body["message"]
    return error.status_code, body["code"], body["param"]
