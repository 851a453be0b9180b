"""Services that hand generation on: to a server of plain OpenAI, or to a second Inkling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from app.services.runtime import Runtime
from tests.fakes import ScriptedModel, eventually, scripted_runtime
from tests.plain_openai import PlainOpenAI
from tests.serving import app_of, served


@pytest.fixture
def plain() -> PlainOpenAI:
    return PlainOpenAI()


@pytest.fixture
def plain_url(plain) -> Iterator[str]:
    with served(plain.app) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def front(settings, database) -> Iterator[Callable[..., httpx.Client]]:
    """Makes a client of a service whose backend is at an address; at the end it has nothing under way."""
    with ExitStack() as stack:
        runtimes: list[Runtime] = []

        def make(url: str, **fields: object) -> httpx.Client:
            fields = {"generation_backend": url, "default_model": "default-of-ours"} | fields
            runtime = scripted_runtime(settings.model_copy(update=fields), database, ScriptedModel("ours"))
            runtimes.append(runtime)
            port = stack.enter_context(served(app_of(runtime)))
            return stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30))

        yield make
        for runtime in runtimes:
            eventually(lambda runtime=runtime: runtime.is_idle, 2.0)
            assert runtime.models.loops() == {}, "a model was loaded here"
            runtime.models.close()


@pytest.fixture
def back(settings, database) -> Iterator[Callable[..., tuple[Runtime, str]]]:
    """Makes a second Inkling around a network: its runtime and its address; at the end it holds nothing."""
    with ExitStack() as stack:
        runtimes: list[Runtime] = []

        def make(network: object, **fields: object) -> tuple[Runtime, str]:
            given = network if isinstance(network, ScriptedModel) else lambda *_: network
            runtime = scripted_runtime(settings.model_copy(update=fields), database, given)
            runtimes.append(runtime)
            port = stack.enter_context(served(app_of(runtime)))
            return runtime, f"http://127.0.0.1:{port}"

        yield make
        for runtime in runtimes:
            loop = runtime.models.get().loop
            eventually(lambda loop=loop: (loop.running, loop.waiting) == (0, 0), 2.0)
            runtime.models.close()
